"""Agreement of predictions with opinions, all from scipy."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

RESAMPLES = 2000


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


def srocc(predictions: ArrayLike, opinions: ArrayLike) -> float:
    """Spearman's rank correlation."""
    return float(stats.spearmanr(predictions, opinions).statistic)


def agreement(predictions: ArrayLike, opinions: ArrayLike, seed: int = 0) -> Agreement:
    """SROCC with its interval, and raw Pearson correlation (no logistic fit).

    Args:
        predictions: ``[n]``, higher is better.
        opinions: ``[n]``, higher is better.
        seed: Of the resampling.
    """
    p, o = np.asarray(predictions, float), np.asarray(opinions, float)
    low, high = bootstrap(p, o, seed)
    return Agreement(len(p), srocc(p, o), low, high, float(stats.pearsonr(p, o).statistic))


def bootstrap(p: NDArray[np.float64], o: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """95 % percentile interval of the SROCC over resampled pairs."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(p), (RESAMPLES, len(p)))
    usable = [rows for rows in picks if np.ptp(p[rows]) and np.ptp(o[rows])]
    values = [srocc(p[rows], o[rows]) for rows in usable]
    return float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5))
