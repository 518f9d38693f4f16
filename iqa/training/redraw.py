"""Prepared frames put together anew: the same faults on contents that never come twice.

Fragments lie in another order and mirrored each by itself, and some are another photograph's with
the same label; the reduced view is mirrored and in part, or wholly, another's (CutMix of equal
labels, see :mod:`iqa.training.cutmix`). A human mean is an average over contents, so it stays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iqa.data.store import Store, Views
from iqa.models.glint_edge import VIEWS
from iqa.training.alike import Alike
from iqa.training.cutmix import GRID, fragments
from sdk.views import View

SIZE = View.parse(VIEWS["fragments"]).size
UPSIDE_DOWN = 0.25  # of the reduced views; the sky is rarely below
Picture = NDArray[np.uint8]


class Redraw:
    """Draws the views of a store's frames.

    Args:
        store: Frames and labels; frames without a human mean stay by themselves.
        share: Of the frames whose fragments are mixed, and of those whose reduced view is.
    """

    def __init__(self, store: Store, share: float) -> None:
        self._store, self._share, self._alike = store, share, Alike(store)

    def draw(self, row: int, rng: np.random.Generator) -> Views:
        """Fragments and reduced view of a frame, uint8 ``[224, 224, 3]`` both."""
        tiles = tiles_of(self._store.fragments[row])
        if self._mixes(row, rng):
            chosen = fragments(rng).ravel()
            other = self._alike.partner(row, rng)
            tiles[chosen] = tiles_of(self._store.fragments[other])[chosen]
        reduced = np.array(self._store.resize[row])
        if self._mixes(row, rng):
            area = window(reduced.shape[:2], rng) if rng.random() < 0.5 else (slice(None),) * 2
            reduced[area] = self._store.resize[self._alike.partner(row, rng)][area]
        return picture_of(shuffled(tiles, rng)), mirrored(reduced, 0.5, UPSIDE_DOWN, rng)

    def _mixes(self, row: int, rng: np.random.Generator) -> bool:
        return rng.random() < self._share and row in self._alike


def shuffled(tiles: Picture, rng: np.random.Generator) -> Picture:
    """``[49, 32, 32, 3]`` in another order, each mirrored at even chances in both directions."""
    tiles = tiles[rng.permutation(len(tiles))]
    for axis in (1, 2):
        turned = rng.random(len(tiles)) < 0.5
        tiles[turned] = np.flip(tiles[turned], axis)
    return tiles


def mirrored(
    picture: Picture, across: float, upside_down: float, rng: np.random.Generator
) -> Picture:
    """Mirrored with these chances."""
    if rng.random() < across:
        picture = picture[:, ::-1]
    return picture[::-1] if rng.random() < upside_down else picture


def window(sides: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a window anywhere that covers 25 to 75 % of the picture."""
    area = rng.uniform(0.25, 0.75)
    share = rng.uniform(area, 1)  # of the height
    parts = [max(round(n * s), 1) for n, s in zip(sides, (share, area / share), strict=True)]
    starts = [int(rng.integers(0, n - p + 1)) for n, p in zip(sides, parts, strict=True)]
    top, left = (slice(start, start + p) for start, p in zip(starts, parts, strict=True))
    return top, left


def tiles_of(picture: Picture) -> Picture:
    """A copy of the fragments of a mosaic ``[224, 224, 3]``, ``[49, 32, 32, 3]``."""
    tiles = np.array(picture).reshape(GRID, SIZE, GRID, SIZE, 3).swapaxes(1, 2)
    return tiles.reshape(GRID * GRID, SIZE, SIZE, 3)


def picture_of(tiles: Picture) -> Picture:
    """The mosaic ``[224, 224, 3]`` of fragments ``[49, 32, 32, 3]``."""
    rows = tiles.reshape(GRID, GRID, SIZE, SIZE, 3).swapaxes(1, 2)
    return rows.reshape(GRID * SIZE, GRID * SIZE, 3)
