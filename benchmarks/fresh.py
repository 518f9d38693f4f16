"""What a fresh process costs: time to its first score, and its memory at the highest point."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.settings import Settings
from benchmarks.timing import summarise

_CHILD = Path(__file__).with_name("fresh_child.py")
MEMORY_SIZES = ("480p", "4K")


def measure_start(settings: Settings) -> dict[str, Any]:
    """Start processes that import sdk, construct a Scorer, and score a 1080p frame twice.

    The first process, which may find files not yet cached, does not count.

    Returns:
        ms of `import_sdk`, `construct`, `first_score`, `second_score`, and of `to_first_score`:
        from the start of Python to the first score.
    """
    runs = [_start(settings) for _ in range(settings.processes + 1)][1:]
    return {f"{name}_ms": summarise(run[name] for run in runs) for name in runs[0]}


def measure_memory(settings: Settings, clips: dict[str, Path]) -> dict[str, Any]:
    """Score a file in a process of its own.

    Returns:
        By size: MiB at the highest point, as the kernel counts resident pages, and before the
        first frame.
    """
    return {size: _child(settings, "memory", str(clips[size])) for size in MEMORY_SIZES}


def _start(settings: Settings) -> dict[str, float]:
    start = perf_counter()
    stamps = _child(settings, "start")
    end = stamps.pop("clock_at_first_score")  # Linux: one clock for all processes
    return {**stamps, "to_first_score": (end - start) * 1e3}


def _child(settings: Settings, *task: str) -> dict[str, float]:
    command = [sys.executable, str(_CHILD), settings.model or "", *task]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer
