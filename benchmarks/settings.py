"""How much is measured: enough for steady medians, or just enough to see that all of it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Sizes = dict[str, tuple[int, int]]  # name -> (width, height)

SIZES: Sizes = {"480p": (854, 480), "1080p": (1920, 1080), "4K": (3840, 2160)}
_TRIAL_SIZES: Sizes = {"480p": (214, 120), "1080p": (480, 270), "4K": (960, 540)}


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers of runs, and what they need.

    Attributes:
        folder: Where clips are written.
        model: Path of a bundle or name of a packaged model; None for the default model.
        brisque_python: Python of an environment with opencv-contrib-python-headless, or None.
        brisque_models: Folder with BRISQUE's model and range, or None.
        sizes: Widths and heights of clips by the names of their sizes.
        clip_frames: Frames of each clip by its size.
        held_frames: Different decoded frames held in memory: so many that the processor's cache
            does not hold them from one run to the next.
        file_runs: Times that each file is scored as a whole.
        score_runs: Frames scored one by one for each size and number of threads.
        views_runs: Frames whose views are gathered for each format.
        numpy_runs: The same by numpy's definition, which takes a hundred times as long.
        backend_blocks: Turns that each backend gets.
        block_frames: Frames in each turn.
        batch_frames: Frames handed to `score_batch` at once.
        brisque_pairs: Frames scored by framescore and by BRISQUE.
        processes: Fresh processes started to time the start.
    """

    folder: Path
    model: str | None
    brisque_python: Path | None
    brisque_models: Path | None
    sizes: Sizes
    clip_frames: dict[str, int]
    held_frames: int = 8
    file_runs: int = 5
    score_runs: int = 300
    views_runs: int = 300
    numpy_runs: int = 10
    backend_blocks: int = 5
    block_frames: int = 40
    batch_frames: int = 96
    brisque_pairs: int = 40
    processes: int = 7


def full(folder: Path, model: str | None, python: Path | None, models: Path | None) -> Settings:
    """Return the settings of a measurement to be quoted.

    Clips have more than 64 frames: only longer files are scored several frames at a time.
    """
    frames = {"480p": 120, "1080p": 96, "4K": 72}
    return Settings(folder, model, python, models, SIZES, frames)


def quick(folder: Path, model: str | None, python: Path | None, models: Path | None) -> Settings:
    """Return the settings of a trial run on small pictures, whose figures mean nothing."""
    return Settings(
        *(folder, model, python, models),
        sizes=_TRIAL_SIZES,
        clip_frames={"480p": 6, "1080p": 4, "4K": 3},
        held_frames=2,
        file_runs=1,
        score_runs=3,
        views_runs=3,
        numpy_runs=1,
        backend_blocks=1,
        block_frames=2,
        batch_frames=4,
        brisque_pairs=2,
        processes=1,
    )
