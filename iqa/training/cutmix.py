"""Frames put together from photographs that suffer alike, so that no content is learnt by heart.

CutMix (Yun et al., ICCV 2019) joins pictures of different labels and mixes the labels. Here both
have the same label, which therefore stays: the mean opinion of one (type, level), or of clean
frames. Fragments and reduced view are drawn apart: the reduced view then does not tell what the
fragments would look like without their distortion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from iqa.data.features import Features
from iqa.data.store import Store
from iqa.models.glint_edge import VIEWS
from iqa.training.alike import Alike
from sdk.views import View

GRID = View.parse(VIEWS["fragments"]).rows
Maps = tuple[NDArray[np.float16], ...]


class CutMix:
    """Puts parts of other frames of a store into its frames.

    Args:
        store: Labels; frames without a human mean stay whole.
        features: What is put together.
        share: Of the frames whose fragments are mixed, and of those whose reduced view is another.
    """

    def __init__(self, store: Store, features: Features, share: float) -> None:
        self._maps, self._share, self._alike = features.maps, share, Alike(store)

    def mix(self, row: int, maps: Maps, rng: np.random.Generator) -> None:
        """Change a frame's own ``maps`` in place: local4, local8, context8, ``[side, side, C]``."""
        if row not in self._alike:
            return
        if rng.random() < self._share:
            partner, chosen = self._alike.partner(row, rng), fragments(rng)
            for own, other in zip(maps[:2], self._maps[:2], strict=True):
                mask = at_side(chosen, own.shape[0])
                own[mask] = other[partner][mask]
        if rng.random() < self._share:
            maps[2][:] = self._maps[2][self._alike.partner(row, rng)]


def fragments(rng: np.random.Generator) -> NDArray[np.bool_]:
    """``[7, 7]``: any share of the fragments, from none to all, anywhere."""
    return rng.random((GRID, GRID)) < rng.random()


def at_side(chosen: NDArray[Any], side: int) -> NDArray[Any]:
    """The same choice on a map ``[side, side]`` of the mosaic of fragments."""
    return chosen.repeat(side // GRID, 0).repeat(side // GRID, 1)
