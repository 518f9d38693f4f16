"""Frames a second of the whole path: a video file in, scores out; and of decoding alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.settings import Settings
from benchmarks.timing import interleave, summarise
from sdk import Scorer, open_source


def measure(settings: Settings, clips: dict[str, Path]) -> dict[str, Any]:
    """Score every clip with all cores and with one thread, and decode it without scoring.

    Threads are those of the network; the decoder runs beside them in both cases.

    Returns:
        By size: frames, and frames a second of `all_cores`, `one_thread`, `decode_only`.
    """
    with Scorer(settings.model) as all_cores, Scorer(settings.model, threads=1) as one_thread:
        return {
            size: _measure_clip(settings, clip, settings.clip_frames[size], all_cores, one_thread)
            for size, clip in clips.items()
        }


def _measure_clip(
    settings: Settings, clip: Path, frames: int, all_cores: Scorer, one_thread: Scorer
) -> dict[str, Any]:
    calls = {
        "decode_only": lambda _: _decode(clip, frames),
        "all_cores": lambda _: _score(all_cores, clip, frames),
        "one_thread": lambda _: _score(one_thread, clip, frames),
    }
    samples = interleave(calls, settings.file_runs, warm_up=1)
    rates = {
        name: summarise(frames / (elapsed / 1e3) for elapsed in elapsed_ms)
        for name, elapsed_ms in samples.items()
    }
    return {"frames": frames, "frames_per_s": rates}


def _decode(clip: Path, frames: int) -> None:
    with open_source(clip) as source:
        _check(clip, sum(1 for _ in source), frames)


def _score(scorer: Scorer, clip: Path, frames: int) -> None:
    _check(clip, sum(1 for _ in scorer.stream(clip)), frames)


def _check(clip: Path, found: int, frames: int) -> None:
    if found != frames:
        raise RuntimeError(f"{clip.name} gave {found} frames of {frames}: nothing was measured.")
