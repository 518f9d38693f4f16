"""Pictures and stores small enough for two busy cores."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="iqa needs torch: pip install 'framescore[train]'")

from iqa.distortions.kadid import Picture, to_bytes


@pytest.fixture(autouse=True)
def _handler_of_children() -> Iterator[None]:
    """torch's loader leaves a handler behind that every later test would run."""
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


def scene(seed: int, height: int = 120, width: int = 160) -> Picture:
    """A textured, coloured scene, float32 RGB [H, W, 3]: blobs at several scales and edges."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for cells in (3, 9, 40):
        coarse = rng.random((cells, cells, 3), dtype=np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image[height // 3 : height // 2, width // 4 : width // 2] = rng.random(3, dtype=np.float32)
    return np.clip(image / 3 * 1.6 - 0.3, 0, 1)


@pytest.fixture
def picture() -> Picture:
    return scene(1)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Six photographs with an index.csv: four train, one val, one of unclear licence."""
    rows = ["file,split,licence"]
    for number in range(6):
        bgr = to_bytes(scene(number))[..., ::-1]
        cv2.imwrite(str(tmp_path / f"{number}.png"), bgr)
        split = "val" if number == 4 else "train"
        rows.append(f"{number}.png,{split},{'MIT (repository)' if number == 5 else 'CC0-1.0'}")
    (tmp_path / "index.csv").write_text("\n".join(rows) + "\n")
    return tmp_path
