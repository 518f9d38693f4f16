"""How far scores are off their reference, in points of 100, and how far they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from sdk.correlation import linear_correlation, rank_correlation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Correlation = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True, slots=True)
class GroupDrift:
    """The drift of the frames of one group.

    Attributes:
        frames: How many there are.
        max_abs: Largest |Δ score|, in points.
        mean_abs: Mean |Δ score|.
        bias: Mean Δ score with its sign: a shift of all scores of the group.
    """

    frames: int
    max_abs: float
    mean_abs: float
    bias: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How far scores are off their reference.

    Every figure over |Δ| is NaN as soon as one score is not finite.

    Attributes:
        frames: How many were compared.
        max_abs: Largest |Δ score|, in points of 100.
        p99_abs: 99th percentile of |Δ score|, interpolated.
        mean_abs: Mean |Δ score|.
        rank_correlation: Spearman's, with the reference's scores.
        worst: Index of the frame with the largest |Δ|; of the first that is not finite, if any.
        by_group: The same by group, in the order in which groups first appear.
        srocc_change: Change of the rank correlation with labels, negative if it fell; None
            without labels. Labels that fall with quality count as if they rose.
        plcc_change: Likewise, of Pearson's correlation.
    """

    frames: int
    max_abs: float
    p99_abs: float
    mean_abs: float
    rank_correlation: float
    worst: int
    by_group: Mapping[str, GroupDrift] = field(default_factory=dict)
    srocc_change: float | None = None
    plcc_change: float | None = None

    @property
    def srocc_drop(self) -> float:
        """Loss of rank correlation: with the labels if there are some, else with the reference."""
        if self.srocc_change is not None:
            return -self.srocc_change
        return 1 - self.rank_correlation


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest drift allowed; None allows any that is finite.

    Attributes:
        max_abs: Largest |Δ score|, in points.
        mean_abs: Mean |Δ score|.
        p99_abs: 99th percentile of |Δ score|.
        srocc_drop: Loss of rank correlation, as `Drift.srocc_drop` defines it.
    """

    max_abs: float | None = None
    mean_abs: float | None = None
    p99_abs: float | None = None
    srocc_drop: float | None = None


_INT8: Final = Tolerance(mean_abs=0.5, p99_abs=2.0, srocc_drop=0.003)
TOLERANCES: Final[Mapping[str, Tolerance]] = MappingProxyType(
    {
        "fp32": Tolerance(max_abs=0.05),
        "fp16": Tolerance(max_abs=0.5),
        "bf16": Tolerance(max_abs=0.5),
        "int8": _INT8,
        "int8+fp16": _INT8,
    }
)
"""What each precision may drift by default. 0.5 points is less than two viewings by one person
differ; fp32 is held to what another order of summation may cost."""


def measure_drift(
    reference: ArrayLike,
    scores: ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    labels: ArrayLike | None = None,
) -> Drift:
    """Compare scores with those of a reference.

    Args:
        reference: The reference's scores [F].
        scores: The scores to judge [F].
        groups: A group for each frame, for the breakdown.
        labels: Mean opinions [F] on any scale; NaN for a frame that has none.

    Returns:
        The drift.

    Raises:
        ValueError: No frames, or arguments of different lengths.
    """
    wanted, found = np.asarray(reference, np.float64), np.asarray(scores, np.float64)
    opinions = None if labels is None else np.asarray(labels, np.float64)
    given = [wanted, found, *([] if opinions is None else [opinions])]
    lengths = {values.size for values in given} | ({len(groups)} if groups is not None else set())
    if len(lengths) != 1 or lengths == {0} or any(values.ndim != 1 for values in given):
        raise ValueError(f"Drift needs equally many of everything, at least 1; got {lengths}.")
    delta = _delta(wanted, found)
    absolute = np.abs(delta)
    return Drift(
        frames=len(delta),
        max_abs=float(absolute.max()),
        p99_abs=float(np.percentile(absolute, 99)),
        mean_abs=float(absolute.mean()),
        rank_correlation=rank_correlation(wanted, found),
        worst=int(absolute.argmax()),  # numpy takes the first NaN for the largest
        by_group=dict(_by_group(delta, groups or ())),
        srocc_change=_change(rank_correlation, wanted, found, opinions),
        plcc_change=_change(linear_correlation, wanted, found, opinions),
    )


def violations(drift: Drift, tolerance: Tolerance) -> list[str]:
    """Say in words where a drift is outside a tolerance.

    Args:
        drift: What was measured.
        tolerance: What is allowed.

    Returns:
        One sentence for each limit that is exceeded, with value and limit; empty if all is well.
        Scores that are not finite violate every tolerance, also an empty one.
    """
    if not np.isfinite([drift.max_abs, drift.rank_correlation]).all():
        return [f"a score is not finite, first that of frame {drift.worst}"]
    limits = (
        ("max |Δ|", drift.max_abs, tolerance.max_abs, " points"),
        ("p99 |Δ|", drift.p99_abs, tolerance.p99_abs, " points"),
        ("mean |Δ|", drift.mean_abs, tolerance.mean_abs, " points"),
        (_drop_name(drift), drift.srocc_drop, tolerance.srocc_drop, ""),
    )
    return [
        f"{name} is {value:.4g}{unit}; allowed is {limit:g}"
        for name, value, limit, unit in limits
        if limit is not None and not value <= limit
    ]


def _delta(reference: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Difference [F]; NaN wherever a score is not finite, for infinities too."""
    finite = np.isfinite(reference) & np.isfinite(scores)
    delta = np.full(reference.shape, np.nan)
    np.subtract(scores, reference, out=delta, where=finite)
    return delta


def _by_group(
    delta: NDArray[np.float64], groups: Sequence[str]
) -> Iterator[tuple[str, GroupDrift]]:
    for name in dict.fromkeys(groups):
        chosen = delta[[group == name for group in groups]]
        absolute = np.abs(chosen)
        yield (
            name,
            GroupDrift(
                len(chosen), float(absolute.max()), float(absolute.mean()), float(chosen.mean())
            ),
        )


def _change(
    correlate: Correlation,
    reference: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.float64] | None,
) -> float | None:
    """How much closer to the labels the scores are than the reference."""
    if labels is None or not np.isfinite(labels).any():
        return None
    rated = np.isfinite(labels)
    before = correlate(reference[rated], labels[rated])
    after = correlate(scores[rated], labels[rated])
    return after - before if before >= 0 else before - after


def _drop_name(drift: Drift) -> str:
    return "the fall of the rank correlation with " + (
        "the reference" if drift.srocc_change is None else "the labels"
    )
