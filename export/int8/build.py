"""From a float graph and calibration frames to INT8 that keeps the score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from export.drift import TOLERANCES, Drift, Tolerance
from export.int8.calibrate import Statistics, site_statistics
from export.int8.candidate import Candidate, Judge
from export.int8.emulate import emulate_scores
from export.int8.fold_batch_norm import fold_batch_norms
from export.int8.placement import Site, place
from export.int8.ranges import CALIBRATORS, Calibrator
from export.int8.search import Point, search
from export.int8.smooth import smooth
from export.int8.wiring import Wiring
from export.int8.work import multiply_adds
from export.progress import Progress, silent
from sdk.errors import UsageError

if TYPE_CHECKING:
    import onnx

    from export.frame_set import FrameSet

GATE_SHARE: Final = 0.25  # of the calibration frames, where no gate frames are given


@dataclass(frozen=True)
class Int8Model:
    """A graph with Q/DQ pairs, and why it is as it is.

    Attributes:
        model: The graph; what is not in INT8 is in FP32.
        calibrator: Where the ranges come from.
        smoothed: The linear layers whose inputs were smoothed.
        left_out: Why layers with multiply-adds stay in float, by node.
        curve: The trade-off of drift against share that the search went through.
        drift: On the gate frames, in exact arithmetic.
        calibration_sha256: Hash of the frames that the ranges come from.
        int8_share: Share of the multiply-adds that are in INT8, 0 to 1.
        weight_bits: 8, or 7 where no kernel may saturate.
    """

    model: onnx.ModelProto
    calibrator: Calibrator
    smoothed: tuple[str, ...]
    left_out: Mapping[str, str]
    curve: tuple[Point, ...]
    drift: Drift
    calibration_sha256: str
    int8_share: float
    weight_bits: int


def build_int8(
    model: onnx.ModelProto,
    calibration: FrameSet,
    *,
    gate: FrameSet | None = None,
    tolerance: Tolerance = TOLERANCES["int8"],
    calibrators: Sequence[Calibrator] = tuple(CALIBRATORS),
    weight_bits: int = 7,
    progress: Progress = silent,
) -> Int8Model:
    """Quantise a graph as far as the drift of its score allows.

    Args:
        model: A canonical graph in FP32 with unique node names; it is not changed.
        calibration: Frames that the ranges come from.
        gate: Frames that the drift is measured on; none of them may be a calibration frame.
            None takes a quarter of the calibration frames away for it, contents not shared.
        tolerance: What drift is allowed; see `export.int8.search`.
        calibrators: Those to choose from, by the drift that they lead to.
        weight_bits: 7 gives the same scores on every processor. 8 drifts less, but saturates
            where pairs of products are added in 16 bits: in OpenVINO and ONNX Runtime on x86
            without VNNI. Depthwise convolutions, which add no pairs, have 8 in any case.
        progress: Told where the work is.

    Returns:
        The graph. Its `int8_share` is 0 if no layer could be quantised within the tolerance.

    Raises:
        UsageError: Nothing in the graph can be quantised, gate frames are calibration frames, or
            an option cannot be.
    """
    _check_options(calibrators, weight_bits)
    if gate is None:
        calibration, gate = calibration.split(GATE_SHARE)
    _check_apart(calibration, gate)
    folded = fold_batch_norms(model)
    wiring = Wiring(folded)
    placement = place(wiring)
    if not placement.sites:
        raise UsageError(
            "The network has no layer that INT8 could take over.",
            hint="; ".join(f"{node}: {why}" for node, why in [*placement.left_out.items()][:5]),
        )
    judge = Judge(gate.inputs, emulate_scores(folded, gate.inputs), gate.groups)
    candidate = _best(
        list(_candidates(folded, placement.sites, calibration, calibrators, weight_bits, progress)),
        judge,
        progress,
    )
    work = multiply_adds(wiring)
    found = search(candidate, judge, tolerance, work, progress=progress)
    units = [unit for unit in candidate.units if unit not in found.in_float]
    drifting = _reasons(candidate.sites, found.in_float)
    return Int8Model(
        candidate.quantised(units),
        candidate.calibrator,
        tuple(node for node in candidate.smoothed if node in units),
        {**placement.left_out, **drifting},
        found.curve,
        found.drift,
        calibration.sha256,
        sum(work.get(unit, 0) for unit in units) / sum(work.values()),
        weight_bits,
    )


def _candidates(
    model: onnx.ModelProto,
    sites: tuple[Site, ...],
    calibration: FrameSet,
    calibrators: Sequence[Calibrator],
    weight_bits: int,
    progress: Progress,
) -> Iterator[Candidate]:
    """Every calibrator without smoothing, then, where something can be smoothed, with it."""
    statistics = site_statistics(model, sites, calibration.inputs, progress)

    def candidate(calibrator: Calibrator) -> Candidate:
        thresholds = _thresholds(statistics, calibrator)
        channels = statistics.channels
        return Candidate(model, sites, thresholds, channels, calibrator, (), weight_bits)

    plain = [candidate(calibrator) for calibrator in calibrators]
    yield from plain
    smoothing = smooth(model, sites, statistics.channels)
    if not smoothing.smoothed:
        return
    # Nodes keep their names, but smoothed ones read constants of their own.
    resited = place(Wiring(smoothing.model)).sites
    changed = [site for site in resited if site.node in smoothing.smoothed]
    after = site_statistics(smoothing.model, changed, calibration.inputs, progress)
    for one in plain:
        yield replace(
            one,
            model=smoothing.model,
            sites=resited,
            thresholds={**one.thresholds, **_thresholds(after, one.calibrator)},
            channels={**one.channels, **after.channels},
            smoothed=smoothing.smoothed,
        )


def _thresholds(statistics: Statistics, calibrator: Calibrator) -> dict[str, float]:
    choose = CALIBRATORS[calibrator]
    return {name: choose(histogram) for name, histogram in statistics.histograms.items()}


def _best(candidates: Sequence[Candidate], judge: Judge, progress: Progress) -> Candidate:
    """The candidate with the least mean drift when all of it is quantised."""
    drifts = []
    for done, candidate in enumerate(candidates, start=1):
        drift = judge.drift(candidate.quantised(candidate.units)).mean_abs
        drifts.append(drift if drift == drift else float("inf"))  # NaN is worst of all
        progress("calibrators", done, len(candidates))
    return candidates[drifts.index(min(drifts))]


def _reasons(sites: Sequence[Site], in_float: Mapping[str, float]) -> dict[str, str]:
    return {
        site.node: f"drifts {in_float[site.unit]:.3g} points in the mean when it alone is INT8"
        if site.node == site.unit
        else f"{site.unit}, which ends in it, stays in float"
        for site in sites
        if site.unit in in_float
    }


def _check_options(calibrators: Sequence[Calibrator], weight_bits: int) -> None:
    unknown = [name for name in calibrators if name not in CALIBRATORS]
    if unknown or not calibrators:
        raise UsageError(
            f"Calibrators are {', '.join(unknown) or 'none'}; allowed are {', '.join(CALIBRATORS)}."
        )
    if weight_bits not in (7, 8):
        raise UsageError(f"Weights of {weight_bits} bits were asked for; allowed are 7 and 8.")


def _check_apart(calibration: FrameSet, gate: FrameSet) -> None:
    pixels = {calibration.take([index]).sha256 for index in range(len(calibration))}
    shared = [index for index in range(len(gate)) if gate.take([index]).sha256 in pixels]
    if shared:
        raise UsageError(
            f"{len(shared)} of {len(gate)} gate frames are calibration frames, first "
            f"{gate.names[shared[0]]}; drift would look smaller than it is.",
            hint="Take the gate frames from other pictures.",
        )
