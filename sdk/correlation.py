"""Correlations as the field defines them, in numpy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Correlate ranks (SROCC, Spearman's ρ); ties get the mean of their ranks.

    Args:
        one: Values [F].
        other: Values [F].

    Returns:
        ρ; NaN if a value is not finite. Where ρ is undefined because all values of a side are
        equal: 1 if those of the other are too (no order was lost), else 0.
    """
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("nan")
    return linear_correlation(_ranks(one), _ranks(other))


def linear_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Correlate values (PLCC, Pearson's r); what is undefined is as in `rank_correlation`."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("nan")
    flat = (bool(np.ptp(one) == 0), bool(np.ptp(other) == 0))
    if any(flat):
        return 1.0 if all(flat) else 0.0
    a, b = one - one.mean(), other - other.mean()
    cosine = (a / np.linalg.norm(a)) @ (b / np.linalg.norm(b))
    return float(np.clip(cosine, -1.0, 1.0))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank values [F] from 1; equal ones share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: NDArray[np.float64] = last - (counts - 1) / 2
    return mean[inverse]
