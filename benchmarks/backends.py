"""Latency and throughput of every backend in every precision that this machine has."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any

from benchmarks.footage import Picture
from benchmarks.settings import Settings
from benchmarks.timing import interleave, milliseconds, summarise
from sdk import Scorer
from sdk.errors import BackendError

VARIANTS = {  # name in the results: (backend, precision)
    "openvino fp32": ("openvino", "fp32"),
    "openvino bf16": ("openvino", "bf16"),
    "onnxruntime fp32": ("onnxruntime", "fp32"),
}
_PAUSE_S = 0.3  # idle threads of a runtime spin for a while before they sleep
_WARM_UP = 3  # frames at the start of each turn


def measure(settings: Settings, frames: list[Picture]) -> dict[str, Any]:
    """Score 1080p frames one by one, with all cores and with one thread, and in batches.

    The backends take turns of several frames, with a pause between, because the threads of one
    would compete with those of the next.

    Returns:
        By variant: `all_cores_ms`, `one_thread_ms` of `score()` and `batch_frames_per_s`; or
        `unavailable`, the reason why it was not measured.
    """
    results: dict[str, Any] = {}
    scorers: dict[str, tuple[Scorer, Scorer]] = {}
    for name, (backend, precision) in VARIANTS.items():
        try:
            scorers[name] = _open(settings, backend, precision)
        except BackendError as error:
            results[name] = {"unavailable": _reason(error, precision)}
    latencies = _measure_latency(settings, scorers, frames)
    rates = _measure_batches(settings, scorers, frames)
    for name, both in scorers.items():
        results[name] = {**latencies[name], "batch_frames_per_s": rates[name]}
        for scorer in both:
            scorer.close()
    return {name: results[name] for name in VARIANTS}


def _open(settings: Settings, backend: str, precision: str) -> tuple[Scorer, Scorer]:
    model = settings.model
    return Scorer(model, backend, precision), Scorer(model, backend, precision, threads=1)


def _reason(error: BackendError, precision: str) -> str:
    if precision != "fp32":
        return f"{precision} is not available on this CPU"
    return f"not measured: {error.hint}"


def _measure_latency(
    settings: Settings, scorers: dict[str, tuple[Scorer, Scorer]], frames: list[Picture]
) -> dict[str, dict[str, Any]]:
    keys = ("all_cores_ms", "one_thread_ms")
    samples: dict[str, dict[str, list[float]]] = {
        name: {key: [] for key in keys} for name in scorers
    }
    for _ in range(settings.backend_blocks):
        for key, position in zip(keys, (0, 1), strict=True):
            for name, both in scorers.items():
                samples[name][key] += _turn(both[position], frames, settings.block_frames)
    return {
        name: {key: summarise(values) for key, values in by_key.items()}
        for name, by_key in samples.items()
    }


def _turn(scorer: Scorer, frames: list[Picture], count: int) -> list[float]:
    sleep(_PAUSE_S)
    calls = {"score": lambda number: scorer.score(frames[number % len(frames)])}
    return interleave(calls, count, _WARM_UP)["score"]


def _measure_batches(
    settings: Settings, scorers: dict[str, tuple[Scorer, Scorer]], frames: list[Picture]
) -> dict[str, Any]:
    """Frames a second of `score_batch` with all cores."""
    count = settings.batch_frames
    batch = [frames[number % len(frames)] for number in range(count)]
    rates: dict[str, list[float]] = {name: [] for name in scorers}
    for turn in range(settings.backend_blocks + 1):
        for name, (scorer, _) in scorers.items():
            sleep(_PAUSE_S)
            elapsed = milliseconds(_batch(scorer, batch))
            if turn:  # the first one compiles the network a second time
                rates[name].append(count / (elapsed / 1e3))
    return {name: summarise(values) for name, values in rates.items()}


def _batch(scorer: Scorer, batch: list[Picture]) -> Callable[[], object]:
    return lambda: scorer.score_batch(batch)
