"""How long each precision takes on each backend of this machine, measured in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.progress import Progress, silent
from export.verify.candidates import Candidate, open_candidate
from export.verify.typed import TYPED
from sdk.errors import BackendError, BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.reference import Inputs
    from sdk.bundle import Bundle

ROUNDS: Final = 40
WARM_UP: Final = 3  # runs before the clock: runtimes allocate and choose kernels in the first ones

WORTH: Final = 1.05
"""Gain from which on a precision is worth its drift: less is what one machine differs from the
next of its kind."""

_PAUSE = 0.003  # seconds; threads of one runtime spin for a while, and would slow the next down


@dataclass(frozen=True, slots=True)
class Latency:
    """What one way of running takes for one frame, network only.

    Attributes:
        candidate: What was run, and on what.
        median_ms: Median over the rounds, in milliseconds.
        p90_ms: 90th percentile.
        speedup: Median over the rounds of how many times as fast as FP32 on the same backend it
            is; NaN if FP32 was not run there.
        low: Lower end of the 95 % interval of that median.
        high: Upper end.
    """

    candidate: Candidate
    median_ms: float
    p90_ms: float
    speedup: float
    low: float
    high: float


def measure_latency(
    bundle: Bundle,
    candidates: Sequence[Candidate],
    inputs: Inputs,
    *,
    rounds: int = ROUNDS,
    threads: int | None = None,
    progress: Progress = silent,
) -> list[Latency]:
    """Time every way of running in turns, so that what else the machine does hits all alike.

    In each round each of them scores one frame, in an order drawn anew; speedups are taken within
    a round.

    Args:
        bundle: The model.
        candidates: What to time; "typed" and what this machine cannot run are left out.
        inputs: One frame.
        rounds: How many.
        threads: CPU threads to use; None leaves the choice to the runtime.
        progress: Told of every round.

    Returns:
        Latencies in the order of `candidates`.
    """
    with ExitStack() as opened:
        runs: dict[Candidate, Callable[[Inputs], Any]] = {}
        for candidate in candidates:
            if candidate.backend == TYPED:
                continue
            try:
                backend = opened.enter_context(open_candidate(bundle, candidate, threads))
            except (BackendError, BundleError):
                continue
            runs[candidate] = backend.infer
            for _ in range(WARM_UP):
                backend.infer(inputs)
        taken = _take_turns(list(runs.values()), inputs, rounds, progress)
    base = {
        candidate.backend: taken[:, number]
        for number, candidate in enumerate(runs)
        if candidate.precision == "fp32"
    }
    return [
        _latency(candidate, taken[:, number], base.get(candidate.backend))
        for number, candidate in enumerate(runs)
    ]


def in_words(latencies: Sequence[Latency]) -> list[str]:
    """Say what each precision gains here, and what is the fastest.

    Args:
        latencies: Of one model.
    """
    sentences = []
    for one in latencies:
        if one.candidate.precision == "fp32" or math.isnan(one.speedup):
            continue
        times = f"{one.speedup:.2f}× as fast as fp32 here ({one.low:.2f} to {one.high:.2f})"
        if one.low > WORTH:
            sentences.append(f"{one.candidate} is {times}.")
        else:
            sentences.append(f"{one.candidate} is not worth it here: {times}.")
    if latencies:
        best = min(latencies, key=lambda latency: latency.median_ms)
        sentences.append(f"Fastest here: {best.candidate}, {best.median_ms:.1f} ms a frame.")
    return sentences


def _take_turns(
    runs: Sequence[Callable[[Inputs], Any]], inputs: Inputs, rounds: int, progress: Progress
) -> NDArray[np.float64]:
    """Time each run once a round: milliseconds [rounds, runs]."""
    taken = np.empty((rounds, len(runs)))
    order = np.random.default_rng(0)
    for number in range(rounds):
        for place in order.permutation(len(runs)):
            time.sleep(_PAUSE)
            started = time.perf_counter()
            runs[place](inputs)
            taken[number, place] = (time.perf_counter() - started) * 1e3
        progress("latency", number + 1, rounds)
    return taken


def _latency(
    candidate: Candidate, taken: NDArray[np.float64], base: NDArray[np.float64] | None
) -> Latency:
    speedups = np.full(1, math.nan) if base is None else np.sort(base / taken)
    # Order statistics: the median lies between these ranks in 95 of 100 cases, whatever the
    # distribution (binomial, normal approximation).
    count = len(speedups)
    reach = 0.98 * math.sqrt(count)
    low, high = max(0, math.floor(count / 2 - reach)), min(count - 1, math.ceil(count / 2 + reach))
    return Latency(
        candidate,
        float(np.median(taken)),
        float(np.percentile(taken, 90)),
        float(np.median(speedups)),
        float(speedups[low]),
        float(speedups[high]),
    )
