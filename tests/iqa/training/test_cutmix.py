from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from iqa.data.features import SHAPES, Features
from iqa.data.store import Store
from iqa.data.synthesis import GROUP
from iqa.training.cutmix import GRID, CutMix
from iqa.training.sources import CachedSource

from .conftest import rng

KINDS, ROWS = 3, 24  # row r has label r % 3; every value of its maps is r


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store whose features say which frame they are of; the last group has no human means."""
    kinds = np.arange(ROWS) % KINDS
    weight = np.where(np.arange(ROWS) < ROWS - GROUP, 1, 0.25).astype(np.float32)
    for name in ("fragments", "resize"):
        np.save(tmp_path / f"{name}.npy", np.zeros((ROWS, 1, 1, 3), np.uint8))
    for name, (channels, side) in SHAPES.items():
        rows = np.arange(ROWS, dtype=np.float16)[:, None, None, None]
        np.save(tmp_path / f"{name}.npy", np.tile(rows, (1, side, side, channels)))
    causes = np.eye(12, dtype=np.float32)[kinds]
    np.savez(tmp_path / "labels.npz", mos=np.float32(1 + kinds), weight=weight, causes=causes)
    return tmp_path


def mixed(folder: Path, share: float, row: int, seed: int) -> list[NDArray[np.float16]]:
    features = Features.open(folder)
    maps = [np.array(getattr(features, name)[row]) for name in SHAPES]
    CutMix(Store.open(folder), features, share).mix(row, tuple(maps), rng(seed))
    return maps


def of_fragments(values: NDArray[np.float16]) -> NDArray[np.float16]:
    """``[7, 7]``: the frame that each fragment is of, which must be one for all of its values."""
    side = values.shape[0] // GRID
    cells = values.reshape(GRID, side, GRID, side, -1).transpose(0, 2, 1, 3, 4)
    cells = cells.reshape(GRID, GRID, -1)
    assert (cells == cells[..., :1]).all()
    return cells[..., 0]


def test_parts_come_from_frames_with_the_same_label(folder: Path) -> None:
    partners, contexts, shares = set(), set(), []
    for seed in range(60):
        local4, local8, context8 = mixed(folder, 1, 4, seed)
        frames = of_fragments(local4)
        assert np.array_equal(frames, of_fragments(local8))
        others = set(frames.ravel().tolist()) - {4}
        assert len(others) <= 1  # one partner a frame
        partners |= others
        shares.append((frames == 4).mean())
        assert (context8 == context8[0, 0, 0]).all()
        contexts.add(float(context8[0, 0, 0]))
    alike = {float(row) for row in range(ROWS - GROUP) if row % KINDS == 4 % KINDS}
    assert partners == alike - {4}
    assert contexts == alike
    assert min(shares) < 0.2
    assert max(shares) > 0.8


def test_frames_that_nobody_rated_stay_whole(folder: Path) -> None:
    for values in mixed(folder, 1, ROWS - 1, 0):
        assert (values == ROWS - 1).all()


def test_the_share_is_that_of_mixed_frames(folder: Path) -> None:
    other = [(mixed(folder, 0.25, 4, seed)[2] != 4).any() for seed in range(400)]
    # a quarter takes another reduced view, of seven alike that are it itself one time
    assert np.mean(other) == pytest.approx(0.25 * 6 / 7, abs=0.06)


def test_epochs_differ_and_can_be_repeated(folder: Path) -> None:
    source = CachedSource(folder, cutmix=0.8, seed=3)
    first, again, later = (source.unit(1, epoch).inputs for epoch in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, later, strict=True))
    whole = CachedSource(folder).unit(1, 0)
    assert np.array_equal(whole.inputs[0][:, 0, 0, 0], np.arange(GROUP, 2 * GROUP))
    assert np.array_equal(whole.target, source.unit(1, 0).target)
