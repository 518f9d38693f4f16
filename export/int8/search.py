"""Which layers to leave in float so that the score drifts no further than allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from export.drift import Drift, Tolerance, violations
from export.progress import Progress, silent

if TYPE_CHECKING:
    from export.int8.candidate import Candidate, Judge

HEADROOM: Final = 0.7  # of each limit is aimed at: other frames and other runtimes drift further
RANKING_FRAMES: Final = 24
RANKING_WORK: Final = 2e12  # multiply-adds that the ranking may take, if that leaves some frames
FEWEST_FRAMES: Final = 4
CURVE_STEPS: Final = (2, 4, 8, 16, 32, 64, 128)  # units in float, beyond those that must be
RETURNS: Final = 24  # layers that the end of the search tries to take back


@dataclass(frozen=True, slots=True)
class Point:
    """One place on the trade-off curve.

    Attributes:
        in_float: How many units were left in float.
        share: Of the graph's multiply-adds that are in INT8, 0 to 1.
        mean_abs: Mean |Δ score| on the gate frames, in points.
        p99_abs: 99th percentile.
        max_abs: Largest.
        srocc_drop: Loss of rank correlation with the reference.
        passed: Within the tolerance, headroom included.
    """

    in_float: int
    share: float
    mean_abs: float
    p99_abs: float
    max_abs: float
    srocc_drop: float
    passed: bool


@dataclass(frozen=True)
class Found:
    """What the search came to.

    Attributes:
        in_float: The units to leave in float, with the drift in points that each causes alone.
        curve: Every choice that was tried on all gate frames, by rising share.
        drift: That of the choice.
    """

    in_float: Mapping[str, float]
    curve: tuple[Point, ...]
    drift: Drift


def search(
    candidate: Candidate,
    judge: Judge,
    tolerance: Tolerance,
    work: Mapping[str, int],
    *,
    progress: Progress = silent,
) -> Found:
    """Leave the worst layers in float until the gate passes, then take back what it allows.

    Units are ranked by the mean drift that each causes when it alone is quantised. How many of
    the worst must go is found by doubling and bisection; afterwards those with most work are
    taken back one by one where the gate still passes.

    Args:
        candidate: The graph and its calibration.
        judge: Gate frames, none of them a calibration frame.
        tolerance: What drift is allowed; the search aims at `HEADROOM` of each limit.
        work: Multiply-adds by node, of the whole graph.
        progress: Told of each evaluation.

    Returns:
        The choice. If no choice passes, every unit is in float.
    """
    gate = _Gate(candidate, judge, tighten(tolerance), work)
    if gate.passes(()):
        return gate.found((), {})
    alone = dict(_drift_alone(candidate, judge, work, progress))
    worst = sorted(alone, key=lambda unit: -alone[unit])
    chosen = _fewest(worst, gate, progress)
    _trace_curve(worst, len(chosen), gate, progress)
    chosen = _take_back(chosen, gate, work, progress)
    return gate.found(chosen, alone)


def tighten(tolerance: Tolerance) -> Tolerance:
    """The tolerance that the search aims at."""
    names = ("max_abs", "mean_abs", "p99_abs", "srocc_drop")
    limits = {name: getattr(tolerance, name) for name in names}
    return replace(
        tolerance, **{k: HEADROOM * limit for k, limit in limits.items() if limit is not None}
    )


class _Gate:
    """Tries choices on all gate frames and remembers them."""

    def __init__(
        self, candidate: Candidate, judge: Judge, tolerance: Tolerance, work: Mapping[str, int]
    ) -> None:
        self._candidate = candidate
        self._judge = judge
        self._tolerance = tolerance
        self._work = work
        self._tried: dict[frozenset[str], tuple[Point, Drift]] = {}

    def passes(self, in_float: Sequence[str]) -> bool:
        key = frozenset(in_float)
        if key not in self._tried:
            units = [unit for unit in self._candidate.units if unit not in key]
            drift = self._judge.drift(self._candidate.quantised(units))
            share = sum(self._work.get(unit, 0) for unit in units) / sum(self._work.values())
            self._tried[key] = self._point(len(key), share, drift), drift
        return self._tried[key][0].passed

    def _point(self, in_float: int, share: float, drift: Drift) -> Point:
        return Point(
            in_float,
            share,
            drift.mean_abs,
            drift.p99_abs,
            drift.max_abs,
            drift.srocc_drop,
            not violations(drift, self._tolerance),
        )

    def found(self, in_float: Sequence[str], alone: Mapping[str, float]) -> Found:
        self.passes(in_float)
        points = sorted((point for point, _ in self._tried.values()), key=lambda p: p.share)
        drift = self._tried[frozenset(in_float)][1]
        return Found({unit: alone[unit] for unit in in_float}, tuple(points), drift)


def _drift_alone(
    candidate: Candidate, judge: Judge, work: Mapping[str, int], progress: Progress
) -> Iterator[tuple[str, float]]:
    """The mean drift of each unit when nothing else is quantised."""
    units = candidate.units
    affordable = int(RANKING_WORK // max(1, len(units) * sum(work.values())))
    few = judge.first(min(RANKING_FRAMES, max(FEWEST_FRAMES, affordable)))
    for done, unit in enumerate(units, start=1):
        drift = few.drift(candidate.quantised([unit])).mean_abs
        yield unit, drift if drift == drift else float("inf")  # NaN is worst of all
        progress("sensitivity", done, len(units))


def _fewest(worst: Sequence[str], gate: _Gate, progress: Progress) -> Sequence[str]:
    """The shortest beginning of the ranking that, left in float, lets the gate pass."""
    fails, passes, tries = 0, 1, 1
    while not gate.passes(worst[:passes]) and passes < len(worst):
        progress("search", tries, 0)
        fails, passes, tries = passes, min(2 * passes, len(worst)), tries + 1
    while passes - fails > 1:
        progress("search", tries, 0)
        middle = (fails + passes) // 2
        fails, passes = (fails, middle) if gate.passes(worst[:middle]) else (middle, passes)
        tries += 1
    progress("search", tries, tries)
    return worst[:passes]


def _trace_curve(worst: Sequence[str], passing: int, gate: _Gate, progress: Progress) -> None:
    """Try what the search had no need of, so that the curve goes on to where nothing is INT8."""
    ladder = [count for count in CURVE_STEPS if passing < count < len(worst)]
    for done, count in enumerate(ladder, start=1):
        gate.passes(worst[:count])
        progress("curve", done, len(ladder))


def _take_back(
    in_float: Sequence[str], gate: _Gate, work: Mapping[str, int], progress: Progress
) -> Sequence[str]:
    chosen = list(in_float)
    tries = sorted(in_float, key=lambda unit: -work.get(unit, 0))[:RETURNS]
    for done, unit in enumerate(tries, start=1):
        fewer = [other for other in chosen if other != unit]
        if gate.passes(fewer):
            chosen = fewer
        progress("taking back", done, len(tries))
    return chosen
