"""Calibrators: from the magnitudes of an activation to the largest one that INT8 represents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from export.int8.histogram import BINS, Histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

Calibrator = Literal["entropy", "percentile", "minmax"]

PERCENTILE: Final = 99.99
LEVELS: Final = 128  # magnitudes that int8 tells apart
STRIDE: Final = 16  # bins between the thresholds that entropy tries: 0.4-0.8 % of the range


def entropy(histogram: Histogram) -> float:
    """The threshold that keeps most of the distribution's information.

    For each threshold the magnitudes above it are clipped, those below are brought to 128
    levels, and the Kullback-Leibler divergence of both distributions is taken; the least wins.
    The bin at zero, which ReLU fills, gets the count of its neighbour: exact in either
    distribution, it would drown the others. Source: S. Migacz, "8-bit inference with TensorRT",
    GTC 2017; the bin at zero as in NVIDIA's pytorch-quantization.
    """
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]
    used = int(np.flatnonzero(counts).max(initial=0)) + 1
    if used <= LEVELS:
        return histogram.absmax
    ends = sorted({*range(LEVELS, used, STRIDE), used})
    best = min(ends, key=lambda end: _divergence(counts, end))
    return float(min(best * histogram.limit / BINS, histogram.absmax))


def percentile(histogram: Histogram, share: float = PERCENTILE) -> float:
    """The magnitude below which so many percent of the values lie."""
    total = np.cumsum(histogram.counts)
    end = int(np.searchsorted(total, share / 100 * total[-1])) + 1
    return min(end * histogram.limit / BINS, histogram.absmax)


def minmax(histogram: Histogram) -> float:
    """The largest magnitude."""
    return histogram.absmax


CALIBRATORS: Final[Mapping[Calibrator, Callable[[Histogram], float]]] = MappingProxyType(
    {"entropy": entropy, "percentile": percentile, "minmax": minmax}
)


def _divergence(counts: NDArray[np.float64], end: int) -> float:
    """KL divergence of the values clipped at bin `end` from their 128 levels."""
    kept = counts[:end]
    clipped = kept.copy()
    clipped[-1] += counts[end:].sum()
    level = np.arange(end) * LEVELS // end  # [end], of each bin
    filled = clipped > 0
    mass = np.bincount(level, kept, LEVELS)
    width = np.bincount(level, filled, LEVELS)
    levels = np.where(filled, (mass / np.maximum(width, 1))[level], 0.0)
    p, q = _distribution(clipped[filled]), _distribution(levels[filled])
    return float(np.sum(p * np.log(p / np.maximum(q, np.finfo(float).tiny))))


def _distribution(counts: NDArray[np.float64]) -> NDArray[Any]:
    share: NDArray[np.float64] = counts / max(counts.sum(), 1.0)
    return share
