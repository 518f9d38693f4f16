"""From many frame scores to one number: the pooling methods and the worst stretches of a clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.errors import UsageError

FRAMES_PER_WINDOW: Final = 25
"""Length of a window, in scored frames, where the source carries no time stamps."""


class Window(NamedTuple):
    """Positions `first` to `last` (both inclusive) of a series, and their mean score."""

    first: int
    last: int
    mean: float


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values))


def _harmonic_mean(values: NDArray[np.float64]) -> float:
    # VMAF's form: the shift by one lets a score of 0 stand, where 1/x has no value.
    return float(1.0 / np.mean(1.0 / (np.maximum(values, 0.0) + 1.0)) - 1.0)


def _minimum(values: NDArray[np.float64]) -> float:
    return float(np.min(values))


def _percentile(q: float) -> Callable[[NDArray[np.float64]], float]:
    def percentile(values: NDArray[np.float64]) -> float:
        return float(np.percentile(values, q, method="linear"))

    return percentile


POOL_METHODS: Final[Mapping[str, Callable[[NDArray[np.float64]], float]]] = MappingProxyType(
    {
        "mean": _mean,
        "harmonic_mean": _harmonic_mean,
        "min": _minimum,
        "p1": _percentile(1),
        "p5": _percentile(5),
        "p10": _percentile(10),
    }
)
"""Every pooling method by name, in the order in which summaries list them."""


def pool_method(name: str) -> str:
    """Check the name of a pooling method.

    Args:
        name: One of `POOL_METHODS`, in any case and with spaces around it.

    Returns:
        The name as `POOL_METHODS` spells it.

    Raises:
        UsageError: No method has this name.
    """
    method = name.strip().lower()
    if method not in POOL_METHODS:
        raise UsageError(
            f"Unknown pooling method {name!r}; allowed are {', '.join(POOL_METHODS)}.",
            hint="Give one or more of them, separated by commas, such as mean,p5.",
        )
    return method


def pool(scores: Iterable[float], method: str = "mean") -> float:
    """Pool frame scores into one number.

    | method          | value                                                               |
    |-----------------|---------------------------------------------------------------------|
    | `mean`          | arithmetic mean                                                     |
    | `harmonic_mean` | `1 / mean(1 / (x + 1)) - 1`, as VMAF does; scores below 0 count as 0 |
    | `min`           | lowest score                                                        |
    | `p1` `p5` `p10` | percentile, linear between the two nearest ranks (numpy's default)  |

    NaN marks a frame without a score: it is left out, never counted as 0.

    Args:
        scores: Scores, 0 to 100 [N].
        method: A key of `POOL_METHODS`.

    Returns:
        The pooled score, on the scale of the scores.

    Raises:
        UsageError: The method is unknown, or no score is left after leaving out NaN.
    """
    function = POOL_METHODS[pool_method(method)]
    values = _as_array(scores)
    known = values[~np.isnan(values)]
    if known.size == 0:
        raise UsageError(
            f"Nothing to pool: {values.size} scores, of which {values.size} are NaN.",
            hint="At least one frame must have a score.",
        )
    return function(known)


def _as_array(numbers: Iterable[float | None]) -> NDArray[np.float64]:
    """Turn any iterable into an array [N]; None becomes NaN."""
    indexed = isinstance(numbers, (Sequence, np.ndarray))
    return np.array(numbers if indexed else list(numbers), dtype=np.float64).reshape(-1)


def worst_windows(
    scores: Iterable[float],
    times_s: Iterable[float | None] | None = None,
    *,
    count: int = 3,
    window_s: float = 1.0,
) -> list[Window]:
    """Find the stretches with the lowest mean score, none overlapping another.

    A window holds the frames less than `window_s` after its first one; without time stamps (or
    where any is missing or they run backwards) it holds `FRAMES_PER_WINDOW` frames. Windows are
    cut short only when the whole series is shorter than one. The lowest is taken first, then the
    lowest of those which don't touch its frames, and so on. A frame without a score (NaN) keeps
    its place but not its vote; a window without any score is never returned.

    Args:
        scores: Scores in order of presentation [N].
        times_s: Presentation times in seconds [N], NaN or None where unknown.
        count: Most windows to return.
        window_s: Length of a window in seconds.

    Returns:
        Up to `count` windows, worst first.

    Raises:
        UsageError: `count` is negative or `window_s` isn't above 0.
    """
    if count < 0 or not window_s > 0:
        raise UsageError(
            f"Cannot look for {count} windows of {window_s} s.",
            hint="The count must be at least 0 and the length above 0.",
        )
    values = _as_array(scores)
    lasts = _window_lasts(values.size, _usable_times(times_s, values.size), window_s)
    means = _window_means(values, lasts)
    return _pick_disjoint(lasts, means, count)


def _usable_times(times_s: Iterable[float | None] | None, size: int) -> NDArray[np.float64] | None:
    if times_s is None or size == 0:
        return None
    times = _as_array(times_s)
    if times.size != size or not np.all(np.isfinite(times)) or np.any(np.diff(times) < 0):
        return None
    return times


def _window_lasts(
    size: int, times: NDArray[np.float64] | None, window_s: float
) -> NDArray[np.intp]:
    """Last position of the window that starts at 0, 1, 2 … for every start with a full window."""
    if size == 0:
        return np.empty(0, dtype=np.intp)
    starts = np.arange(size)
    if times is None:
        lasts = starts + FRAMES_PER_WINDOW - 1
        full = lasts < size
    else:
        # The tolerance keeps 25 frames of 25 fps in one second whatever the rounding of pts.
        ends = times + window_s * (1 - 1e-9)
        lasts = np.searchsorted(times, ends, side="left") - 1
        full = lasts < size - 1
        full |= _reaches_end(times, window_s)
    if not full.any():
        return np.array([size - 1], dtype=np.intp)
    # Full windows are a prefix of all starts, since time never runs backwards.
    return np.asarray(lasts[full], dtype=np.intp)


def _reaches_end(times: NDArray[np.float64], window_s: float) -> NDArray[np.bool_]:
    """Whether the window from each start is full although it ends with the last frame.

    The last frame is shown for as long as the frames before it were on average.
    """
    frame_s = (times[-1] - times[0]) / max(times.size - 1, 1)
    return np.asarray(times + window_s <= times[-1] + frame_s * (1 + 1e-6))


def _window_means(values: NDArray[np.float64], lasts: NDArray[np.intp]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    starts = np.arange(lasts.size)
    total = sums[lasts + 1] - sums[starts]
    votes = counts[lasts + 1] - counts[starts]
    means = np.where(votes > 0, total / np.maximum(votes, 1), math.nan)
    return np.round(means, 9).astype(
        np.float64
    )  # differences of sums leave dust that would order equals at random


def _pick_disjoint(lasts: NDArray[np.intp], means: NDArray[np.float64], count: int) -> list[Window]:
    chosen: list[Window] = []
    left = means.copy()
    starts = np.arange(lasts.size)
    while len(chosen) < count and not np.all(np.isnan(left)):
        first = int(np.nanargmin(left))  # the earliest of equals
        last = int(lasts[first])
        chosen.append(Window(first, last, float(means[first])))
        left[(starts <= last) & (lasts >= first)] = math.nan
    return chosen
