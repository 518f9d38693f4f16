"""Real files to read: pictures and short videos written on the spot, and the shared clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

CLIPS = Path(__file__).resolve().parents[4] / "shared" / "data" / "video"
STEP = 8  # gray levels between the frames of a written video: codecs blur less than half of it


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes frame n as gray n * STEP; MJPG into .avi, MPEG-4 into anything else."""

    def write(
        name: str = "clip.avi", frames: int = 24, size: tuple[int, int] = (64, 48), fps: float = 25
    ) -> Path:
        path = tmp_path / name
        codec = "MJPG" if path.suffix == ".avi" else "mp4v"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
        assert writer.isOpened()
        for number in range(frames):
            writer.write(np.full((size[1], size[0], 3), number * STEP, np.uint8))
        writer.release()
        return path

    return write


@pytest.fixture
def number_of() -> Callable[[NDArray[np.uint8]], int]:
    """Tells which frame of a written video a picture is, by its brightness."""
    return lambda image: round(float(image.mean()) / STEP)


@pytest.fixture
def clip() -> Callable[[str], Path]:
    """Finds a clip of the data sets beside the repository."""

    def find(name: str) -> Path:
        path = CLIPS / name
        if not path.exists():
            pytest.skip(f"needs {name} in ../shared/data/video")
        return path

    return find


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """Smooth colour, [60, 80, 3] BGR."""
    noise = np.random.default_rng(7).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)
