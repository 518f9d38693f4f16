"""Agreement of predictions with opinions, all from scipy.

SROCC and KRCC look at the order alone; PLCC and RMSE are given raw and after a logistic fit, and
always under names that say which. A figure that is not defined is NaN, with the reason in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from iqa.bootstrap import FEW_CONTENTS, Rows, intervals, resamples
from iqa.logistic import Fit, fit_logistic

Vector = NDArray[np.float64]
FEWEST = 3  # pictures; two always agree or disagree wholly
FIGURES = (
    "srocc", "krcc", "plcc", "plcc_fit4", "plcc_fit5", "rmse", "rmse_fit4", "rmse_fit5",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Agreement:
    """Rank and linear correlation of ``n`` pairs, with a 95 % bootstrap interval of the SROCC."""

    n: int
    srocc: float
    srocc_low: float
    srocc_high: float
    plcc: float

    def to_dict(self) -> dict[str, float]:
        """JSON-ready, rounded to four digits."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every figure for one set of predictions.

    Attributes:
        n: Pictures that count.
        values: By the names in `FIGURES`.
        intervals: 95 % bootstrap intervals by the same names; empty where none were asked for.
            Those after a fit hold the fitted curve.
        fits: The curve of 4 and of 5 parameters.
        remarks: What is wrong with the figures, in words.
    """

    n: int
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    fits: tuple[Fit, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: six digits, null for what is not defined."""
        out: dict[str, Any] = {"n": self.n}
        out |= {name: plain(value) for name, value in self.values.items()}
        if self.intervals:
            out["interval95"] = {k: [plain(v) for v in pair] for k, pair in self.intervals.items()}
        out["logistic"] = {
            str(fit.kind): {
                "converged": fit.converged,
                "monotone": fit.monotone if fit.converged else None,
                "parameters": [float(f"{value:.9g}") for value in fit.parameters],
            }
            for fit in self.fits
        }
        return out | {"remarks": list(self.remarks)}


def plain(value: float) -> float | None:
    """A number for JSON; None for NaN and infinities."""
    return round(value, 6) if math.isfinite(value) else None


def srocc(predictions: ArrayLike, opinions: ArrayLike) -> float:
    """Spearman's rank correlation; NaN where a side is constant."""
    from scipy import stats

    p, o = np.asarray(predictions, float), np.asarray(opinions, float)
    return float(stats.spearmanr(p, o).statistic) if _vary(p, o) else math.nan


def krcc(predictions: ArrayLike, opinions: ArrayLike) -> float:
    """Kendall's rank correlation τ-b, which corrects for ties; NaN where a side is constant."""
    from scipy import stats

    p, o = np.asarray(predictions, float), np.asarray(opinions, float)
    return float(stats.kendalltau(p, o, method="asymptotic").statistic) if _vary(p, o) else math.nan


def plcc(predictions: ArrayLike, opinions: ArrayLike) -> float:
    """Pearson's linear correlation of the numbers as they are; NaN where a side is constant."""
    from scipy import stats

    p, o = np.asarray(predictions, float), np.asarray(opinions, float)
    return float(stats.pearsonr(p, o).statistic) if _vary(p, o) else math.nan


def _fast_plcc(p: Vector, o: Vector) -> float:
    """As `plcc`, without the checks that take scipy a millisecond on every resample."""
    if not _vary(p, o):
        return math.nan
    p, o = p - p.mean(), o - o.mean()
    return float((p @ o) / math.sqrt((p @ p) * (o @ o)))


def fast_srocc(p: Vector, o: Vector) -> float:
    """As `srocc`, for resampling too."""
    from scipy.stats import rankdata

    return _fast_plcc(rankdata(p), rankdata(o)) if _vary(p, o) else math.nan


def rmse(predictions: ArrayLike, opinions: ArrayLike) -> float:
    """Root of the mean squared difference; means something on one scale only."""
    difference = np.asarray(predictions, float) - np.asarray(opinions, float)
    return float(np.sqrt(np.mean(difference**2))) if len(difference) else math.nan


def _vary(p: Vector, o: Vector) -> bool:
    """Whether a correlation is defined. A spread of rounding errors is none."""
    return len(p) > 1 and all(np.ptp(v) > 1e-13 * np.abs(v).max() for v in (p, o))


def agreement(
    predictions: ArrayLike,
    opinions: ArrayLike,
    seed: int = 0,
    contents: Sequence[str] | None = None,
) -> Agreement:
    """SROCC with its interval, and raw Pearson correlation (no logistic fit).

    Args:
        predictions: ``[n]``, higher is better.
        opinions: ``[n]``, higher is better.
        seed: Of the resampling.
        contents: What pictures share; whole contents are then resampled.
    """
    p, o = np.asarray(predictions, float), np.asarray(opinions, float)
    [(low, high)] = intervals(
        lambda rows: [fast_srocc(p[rows], o[rows])], resamples(len(p), seed, contents)
    )
    return Agreement(len(p), srocc(p, o), low, high, plcc(p, o))


def measure(
    predictions: ArrayLike,
    opinions: ArrayLike,
    *,
    contents: Sequence[str] | None = None,
    seed: int = 0,
    bootstrap: bool = True,
) -> Metrics:
    """All figures.

    Args:
        predictions: ``[n]``, higher is better; those that are not finite are left out and said.
        opinions: ``[n]``, higher is better.
        contents: What pictures share; whole contents are then resampled.
        seed: Of the resampling.
        bootstrap: Whether to give intervals.
    """
    p, o = np.asarray(predictions, float), np.asarray(opinions, float)
    usable = np.isfinite(p) & np.isfinite(o)
    remarks = _remarks(p, o, usable)
    p, o = p[usable], o[usable]
    if len(p) < FEWEST:
        remarks.append(f"{len(p)} pictures are too few for any figure")
        return Metrics(len(p), dict.fromkeys(FIGURES, math.nan), {}, (), tuple(remarks))
    fits = tuple(fit_logistic(p, o, kind) for kind in (4, 5))
    for fit in fits:
        if not fit.converged:
            remarks.append(f"{fit.failure}: plcc_fit{fit.kind} and rmse_fit{fit.kind} are raw")
        elif not fit.monotone:
            remarks.append(f"the {fit.kind}-parameter curve is not monotone on these predictions")
    mapped = (p, *(fit(p) for fit in fits))
    values = figures(o, mapped, np.arange(len(p)))
    found: dict[str, tuple[float, float]] = {}
    if bootstrap and not math.isnan(values["srocc"]):
        kept = None if contents is None else [c for c, u in zip(contents, usable, strict=True) if u]
        if kept and len(set(kept)) < min(FEW_CONTENTS, len(kept)):
            remarks.append(f"{len(set(kept))} contents in all: intervals are rough")
        pairs = intervals(
            lambda rows: list(figures(o, mapped, rows).values()), resamples(len(p), seed, kept)
        )
        found = dict(zip(FIGURES, pairs, strict=True))
    return Metrics(len(p), values, found, fits, tuple(remarks))


def figures(opinions: Vector, mapped: Sequence[Vector], rows: Rows) -> dict[str, float]:
    """Every figure on some rows: predictions come raw, then through each curve."""
    o = opinions[rows]
    raw, by_four, by_five = (values[rows] for values in mapped)
    linear = {"": raw, "_fit4": by_four, "_fit5": by_five}
    return {
        "srocc": fast_srocc(raw, o),
        "krcc": krcc(raw, o),
        **{f"plcc{name}": _fast_plcc(values, o) for name, values in linear.items()},
        **{f"rmse{name}": rmse(values, o) for name, values in linear.items()},
    }


def _remarks(p: Vector, o: Vector, usable: NDArray[np.bool_]) -> list[str]:
    said = []
    if lost := int((~np.isfinite(p)).sum()):
        said.append(f"{lost} of {len(p)} predictions are not finite and were left out")
    if lost := int((~np.isfinite(o)).sum()):
        said.append(f"{lost} of {len(o)} opinions are not finite and were left out")
    names = {"predictions": p[usable], "opinions": o[usable]}
    constant = [name for name, v in names.items() if len(v) >= FEWEST and not _vary(v, v)]
    if constant:
        said.append(f"all {' and '.join(constant)} are equal: correlations are not defined")
    return said


def within_contents(predictions: ArrayLike, opinions: ArrayLike, contents: Sequence[str]) -> float:
    """Mean over contents of the SROCC inside one; NaN where none has three pictures that differ."""
    p, o, names = np.asarray(predictions, float), np.asarray(opinions, float), np.asarray(contents)
    usable = np.isfinite(p) & np.isfinite(o)
    groups = [np.flatnonzero((names == name) & usable) for name in np.unique(names)]
    found = [srocc(p[rows], o[rows]) for rows in groups if len(rows) >= FEWEST]
    defined = [value for value in found if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def median_of(splits: Sequence[Metrics]) -> dict[str, float]:
    """The median of each figure over splits; NaN where it is NaN on one, not hidden."""
    return {name: float(np.median([s.values[name] for s in splits])) for name in FIGURES}
