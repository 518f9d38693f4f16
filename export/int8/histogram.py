"""Histograms of magnitudes that grow as frames come, in memory that does not."""

from __future__ import annotations

from math import frexp
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS: Final = 4096  # at least half of them lie below the largest magnitude
_SMALLEST: Final = -100  # exponent of the limit


class Histogram:
    """Counts of |x| in equal bins over [0, limit), limit a power of two.

    When a larger value comes, the limit doubles and pairs of bins merge, which is exact: the
    result does not depend on the order or the grouping of the values.

    Attributes:
        counts: int64 [BINS].
        limit: The upper edge of the last bin; 0 until a value other than 0 has come.
        absmax: Largest magnitude so far.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.limit = 0.0
        self.absmax = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Count the finite ones of any array."""
        magnitudes = np.abs(values.ravel())
        absmax = float(magnitudes.max(initial=0.0))
        if not np.isfinite(absmax):
            magnitudes = magnitudes[np.isfinite(magnitudes)]
            absmax = float(magnitudes.max(initial=0.0))
        self.absmax = max(self.absmax, absmax)
        self._reach(absmax)
        if not self.limit:
            self.counts[0] += magnitudes.size
            return
        # Scaling by a power of two is exact, so bin edges are too.
        bins = (magnitudes * np.float32(BINS / self.limit)).astype(np.int32)
        self.counts += np.bincount(bins, minlength=BINS)

    def _reach(self, absmax: float) -> None:
        # The power of two above absmax, not so small that float32 could not hold its inverse.
        needed = 2.0 ** max(frexp(absmax)[1], _SMALLEST) if absmax else 0.0
        if needed <= self.limit:
            return
        if self.limit:
            for _ in range(min(round(np.log2(needed / self.limit)), BINS.bit_length())):
                merged = self.counts.reshape(-1, 2).sum(axis=1)  # [BINS / 2]
                self.counts = np.concatenate([merged, np.zeros_like(merged)])
        self.limit = needed
