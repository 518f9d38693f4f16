"""Times calls, and says what many samples come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

Call = Callable[[int], object]  # gets the number of the run, to choose its input by
Samples = dict[str, list[float]]  # milliseconds of every run by the name of the call

_DIGITS = 5  # significant ones; what lies behind them is noise


def summarise(samples: Iterable[float]) -> dict[str, Any]:
    """Median, 99th percentile (linear between samples), extremes and number of the samples.

    Raises:
        ValueError: There are none.
    """
    values = np.array(list(samples), np.float64)
    if not values.size:
        raise ValueError("There are no samples to summarise; give at least one.")
    figures = {
        "median": np.median(values),
        "p99": np.percentile(values, 99),
        "min": values.min(),
        "max": values.max(),
    }
    return {**{name: rounded(figure) for name, figure in figures.items()}, "runs": values.size}


def ratios(over: Iterable[float], under: Iterable[float]) -> dict[str, Any]:
    """Summarise over / under, pair by pair: a disturbance that hits both cancels out.

    Raises:
        ValueError: The numbers of samples differ, or are zero.
    """
    return summarise(a / b for a, b in zip(over, under, strict=True))


def milliseconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e3


def interleave(calls: Mapping[str, Call], runs: int, warm_up: int) -> Samples:
    """Time several things in turns, A B C A B C, so that a slow minute hits them all alike.

    Args:
        calls: What to time.
        runs: Timed rounds, 1 or more.
        warm_up: Rounds before them that do not count.
    """
    samples: Samples = {name: [] for name in calls}
    for number in range(-warm_up, runs):
        for name, call in calls.items():
            elapsed = milliseconds(partial(call, number + warm_up))
            if number >= 0:
                samples[name].append(elapsed)
    return samples


def rounded(value: float) -> float:
    """Cut a figure to the digits that mean something."""
    return float(f"{float(value):.{_DIGITS}g}")
