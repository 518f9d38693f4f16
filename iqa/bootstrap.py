"""Percentile bootstrap intervals (Efron & Tibshirani 1993, §13.3) that respect shared content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
RESAMPLES = 2000
LEVEL: Final = 95.0
FEW_CONTENTS: Final = 10


def resamples(
    n: int, seed: int, contents: Sequence[str] | None = None, count: int | None = None
) -> Iterator[Rows]:
    """Positions of each resample.

    Where contents repeat, whole contents are drawn: pictures of one reference are not independent,
    and drawing them one by one would make intervals too narrow. Below `FEW_CONTENTS` there are too
    few different draws of contents, and pictures are drawn within each as well.

    Args:
        n: Pictures.
        seed: Of the draws.
        contents: What pictures share, ``[n]``; None or all different for single pictures.
        count: Resamples; None for `RESAMPLES`.
    """
    count = RESAMPLES if count is None else count
    rng = np.random.default_rng(seed)
    groups = _groups(contents)
    if groups is None:
        for _ in range(count):
            yield rng.integers(0, n, n)
        return
    for _ in range(count):
        drawn = [groups[i] for i in rng.integers(0, len(groups), len(groups))]
        if len(groups) < FEW_CONTENTS:
            drawn = [rows[rng.integers(0, len(rows), len(rows))] for rows in drawn]
        yield np.concatenate(drawn)


def _groups(contents: Sequence[str] | None) -> list[Rows] | None:
    if contents is None:
        return None
    names, place = np.unique(np.asarray(contents), return_inverse=True)
    if len(names) in (1, len(contents)):  # one content: nothing to draw but pictures
        return None
    return [np.flatnonzero(place == i) for i in range(len(names))]


def intervals(
    statistics: Callable[[Rows], Sequence[float]], draws: Iterable[Rows]
) -> list[tuple[float, float]]:
    """A 95 % interval of each statistic over the same draws.

    Draws on which a statistic is NaN, as a correlation of constants is, do not count; if none is
    left the interval is (NaN, NaN).
    """
    values = np.array([statistics(rows) for rows in draws])  # [draws, statistics]
    tails = ((100 - LEVEL) / 2, (100 + LEVEL) / 2)
    out = []
    for column in values.T:
        usable = column[np.isfinite(column)]
        low, high = np.percentile(usable, tails) if len(usable) else (np.nan, np.nan)
        out.append((float(low), float(high)))
    return out


def mean_of(values: NDArray[np.float64], contents: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Mean and its 95 % interval over whole contents, as reports have them; None of nothing."""
    if len(values) == 0:
        return {"value": None, "interval95": None}
    draws = resamples(len(values), seed, contents)
    [(low, high)] = intervals(lambda rows: [float(values[rows].mean())], draws)
    return {"value": round(float(values.mean()), 4), "interval95": [round(low, 4), round(high, 4)]}
