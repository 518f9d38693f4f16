"""Runs in a fresh process and prints what that cost, as JSON.

    python fresh_child.py MODEL start|memory [CLIP]

MODEL may be empty, for the default model.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore


def start(model: str | None) -> dict[str, float]:
    """Time the steps to the first score, in ms."""
    stamps = [perf_counter()]
    import sdk

    stamps.append(perf_counter())
    import numpy as np  # loaded already

    frame = np.full((1080, 1920, 3), 128, np.uint8)
    stamps.append(perf_counter())
    scorer = sdk.Scorer(model)
    stamps.append(perf_counter())
    scorer.score(frame)
    stamps.append(perf_counter())
    scorer.score(frame)
    stamps.append(perf_counter())
    elapsed = [(b - a) * 1e3 for a, b in pairwise(stamps)]
    names = ("import_sdk", "frame", "construct", "first_score", "second_score")
    steps = dict(zip(names, elapsed, strict=True))
    del steps["frame"]
    return {**steps, "clock_at_first_score": stamps[4]}


def memory(model: str | None, clip: str) -> dict[str, float]:
    """Score a file and tell the resident memory before its first frame and at its highest."""
    from sdk import Scorer

    with Scorer(model) as scorer:
        before = _status("VmRSS")
        frames = sum(1 for _ in scorer.stream(Path(clip)))
        return {"before_mib": before, "peak_mib": _status("VmHWM"), "frames": frames}


def _status(key: str) -> float:
    """A figure of this process in MiB.

    VmHWM rather than getrusage's maximum: that one is inherited from the process which started
    this one, and would tell the parent's memory.
    """
    text = Path("/proc/self/status").read_text()
    match = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    assert match is not None
    return round(int(match[1]) / 1024, 1)


if __name__ == "__main__":
    chosen = sys.argv[1] or None
    task = start(chosen) if sys.argv[2] == "start" else memory(chosen, sys.argv[3])
    print(json.dumps(task))
