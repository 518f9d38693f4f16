"""A site of even pictures: the tiny model scores their brightness, people mind their colour."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class SyntheticSite:
    """Pictures of one colour each, and what people would think of them on a scale of 1 to 5.

    Attributes:
        folder: Holds the pictures.
        names: Their names.
        opinions: Opinions that brightness and colour decide [n].
    """

    def __init__(self, folder: Path, count: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        colours = random.integers(20, 236, (count, 3), np.uint8)  # BGR
        self.folder = folder
        self.names = [f"{index:03}.png" for index in range(count)]
        for name, colour in zip(self.names, colours, strict=True):
            assert cv2.imwrite(str(folder / name), np.full((48, 64, 3), colour, np.uint8))
        self.brightness: Numbers = colours.mean(axis=1) / 255  # the model's score, 0 to 1
        warmth = (colours[:, 2].astype(float) - colours[:, 0]) / 255
        pleasant = 0.25 + 0.5 * self.brightness + 0.25 * warmth
        self.opinions: Numbers = 1 + 4 * np.clip(pleasant + random.normal(0, 0.02, count), 0, 1)

    def table(
        self, chosen: slice = slice(None), opinions: Sequence[float] | None = None, **columns: str
    ) -> Path:
        """Write the labels of some of the pictures."""
        path = self.folder / "labels.csv"
        values = self.opinions if opinions is None else opinions
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "mos", *columns])
            extra = [list(text) for text in columns.values()]
            rows = zip(self.names, values, *extra, strict=True)
            writer.writerows(list(rows)[chosen])
        return path


@pytest.fixture
def site(tmp_path: Path) -> SyntheticSite:
    """Sixty pictures."""
    return SyntheticSite(tmp_path, 60)


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., SyntheticSite]:
    """Make a site of another size."""
    return lambda count, seed=0: SyntheticSite(tmp_path, count, seed)
