"""framescore beside OpenCV's BRISQUE on the same frames, in turns."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

from benchmarks.footage import Picture
from benchmarks.settings import Settings
from benchmarks.timing import milliseconds, ratios, summarise
from sdk import Scorer

SIZES = ("480p", "1080p")
MODEL, RANGE = "brisque_model_live.yml", "brisque_range_live.yml"
HOW_TO = "not measured: needs --brisque-python and --brisque-models, see benchmarks/README.md"
_CHILD = Path(__file__).with_name("brisque_child.py")
_TURN = 8  # frames: a pipeline scores frames in a row, not beside a program that empties its caches
_PAUSE_S = 0.1  # each one's idle threads spin for a while and would compete with the other


class Brisque:
    """BRISQUE in a process of its own: its OpenCV cannot be installed beside the headless one.

    Args:
        python: Interpreter that has cv2.quality.
        models: Folder with `MODEL` and `RANGE`.
        threads: For OpenCV to use; None leaves it the choice.

    Raises:
        RuntimeError: The process doesn't start.
    """

    def __init__(self, python: Path, models: Path, threads: int | None) -> None:
        files = [str(models / MODEL), str(models / RANGE)]
        command = [str(python), str(_CHILD), *files, str(-1 if threads is None else threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.about = self._answer()

    def score(self, picture: Picture) -> tuple[float, float]:
        """Return the ms that BRISQUE itself took, and its score."""
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(json.dumps(picture.shape).encode() + b"\n" + picture.tobytes())
        pipe.flush()
        answer = self._answer()
        return answer["ms"], answer["score"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(
                f"BRISQUE's process ended with status {self._process.returncode}; its message "
                "above says why. benchmarks/README.md says what it needs."
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(settings: Settings, held: dict[str, list[Picture]]) -> dict[str, Any]:
    """Score the same decoded frames with both, in turns; time what each takes for one frame.

    BRISQUE has its model loaded beforehand, and the transport of frames to it does not count.

    Returns:
        For `all_cores` and `one_thread`, by size: ms of both, and the ratio pair by pair; or
        `unavailable`.
    """
    if settings.brisque_python is None or settings.brisque_models is None:
        return {"unavailable": HOW_TO}
    python, models = settings.brisque_python, settings.brisque_models
    results: dict[str, Any] = {}
    for name, threads in (("all_cores", None), ("one_thread", 1)):
        brisque = Brisque(python, models, threads)
        try:
            with Scorer(settings.model, threads=threads) as scorer:
                pairs = settings.brisque_pairs
                results[name] = {
                    size: _measure_pairs(scorer, brisque, held[size], pairs) for size in SIZES
                }
        finally:
            brisque.close()
        results["opencv"] = brisque.about["opencv"]
    return results


def _measure_pairs(
    scorer: Scorer, brisque: Brisque, frames: list[Picture], pairs: int
) -> dict[str, Any]:
    ours: list[float] = []
    theirs: list[float] = []
    for first in range(-_TURN, pairs, _TURN):  # the first turn warms up
        turn = [frames[number % len(frames)] for number in range(first, first + _TURN)]
        sleep(_PAUSE_S)
        our_ms = [milliseconds(partial(scorer.score, frame)) for frame in turn]
        sleep(_PAUSE_S)
        their_ms = [brisque.score(frame)[0] for frame in turn]
        if first >= 0:
            ours += our_ms
            theirs += their_ms
    return {
        "framescore_ms": summarise(ours),
        "brisque_ms": summarise(theirs),
        "ratio": ratios(theirs, ours),
    }
