"""Latency of scoring a decoded frame, and how little it depends on the frame's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.footage import Picture
from benchmarks.settings import Settings
from benchmarks.timing import interleave, ratios, summarise
from sdk import FrameScore, Scorer

_WARM_UP = 10  # rounds


def measure(settings: Settings, held: dict[str, list[Picture]]) -> dict[str, Any]:
    """Score frames that lie in memory, the sizes in turns.

    Args:
        settings: Numbers of runs.
        held: Decoded frames by size; "480p" and "4K" are compared.

    Returns:
        For `all_cores` and `one_thread`: by size the ms of `score()`, and of its parts as
        FrameScore.latency tells them; and the ratio 4K / 480p over the rounds.
    """
    return {
        "all_cores": _measure(settings, held, None),
        "one_thread": _measure(settings, held, 1),
    }


def _measure(
    settings: Settings, held: dict[str, list[Picture]], threads: int | None
) -> dict[str, Any]:
    runs, warm_up = settings.score_runs, min(_WARM_UP, settings.score_runs)
    parts: dict[str, list[FrameScore]] = {size: [] for size in held}
    with Scorer(settings.model, threads=threads) as scorer:
        calls = {size: _scoring(scorer, held[size], parts[size]) for size in held}
        samples = interleave(calls, runs, warm_up)
    sizes = {
        size: {
            "score_ms": summarise(samples[size]),
            "pre_ms": summarise(result.latency.pre for result in parts[size][warm_up:]),
            "infer_ms": summarise(result.latency.infer for result in parts[size][warm_up:]),
        }
        for size in held
    }
    return {"sizes": sizes, "ratio_4k_to_480p": ratios(samples["4K"], samples["480p"])}


def _scoring(
    scorer: Scorer, frames: list[Picture], results: list[FrameScore]
) -> Callable[[int], object]:
    """A call that scores the next frame and keeps the result."""
    return lambda number: results.append(scorer.score(frames[number % len(frames)]))
