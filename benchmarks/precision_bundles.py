"""The bundles that figures of precisions are about: each is made by one command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PRECISIONS: Final = ("--precision", "fp16,int8")
COMMANDS: Final = {
    "glint-edge": (
        "export", "glint-edge", "--weights", "iqa/weights/glint_edge.safetensors", *PRECISIONS,
    ),
    # Random weights, because no trained ones come with it (docs/models/glintiqa.md); fewer
    # frames than by default, because a frame is 14 times the work.
    "glintiqa-random": (
        "export", "--torch", "benchmarks.random_glintiqa:build", "--view", "crops:1x1@224",
        "--mean", "0.5", "--std", "0.5", "--output-range", "0:100", "--id", "glintiqa-random",
        "--count", "96", *PRECISIONS,
    ),
}  # fmt: skip
"""Arguments of `framescore`, by name, in the root of the sources."""


def make_bundle(
    name: str, folder: Path, calibration: Path | None = None
) -> tuple[Path, dict[str, Any]]:
    """Export a bundle, or take one that an earlier run left.

    Args:
        name: One of `COMMANDS`.
        folder: Where bundles are kept, with the curve of INT8 beside them.
        calibration: Pictures to calibrate and judge on; None takes those that scikit-image brings.

    Returns:
        Its file, and what was done: the command, and how long it took; 0 if it was there.
    """
    path = (folder / f"{name}.framescore").resolve()
    command = ["framescore", *COMMANDS[name]]
    if path.exists():
        return path, {"command": " ".join(command), "seconds": 0.0}
    started = perf_counter()
    options = ["--report", str(path.with_suffix("")), "--output", str(path)]
    if calibration is not None:
        options += ["--frames", str(calibration.resolve())]
    subprocess.run(
        [sys.executable, "-m", "sdk.cli", *COMMANDS[name], *options],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return path, {"command": " ".join(command), "seconds": round(perf_counter() - started, 1)}
