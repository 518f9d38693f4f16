"""The frozen trunk's outputs for a whole store, so that training runs only what it trains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from iqa.data.store import Store
from iqa.models.glint_edge import GlintEdge

# name: channels, side
SHAPES = {"local4": (24, 56), "local8": (32, 28), "context8": (32, 28)}
CHUNK = 32


@dataclass(frozen=True, slots=True)
class Features:
    """Memory-mapped float16 NHWC outputs of the trunk, one row a sample."""

    local4: NDArray[np.float16]  # [N, 56, 56, 24]
    local8: NDArray[np.float16]  # [N, 28, 28, 32]
    context8: NDArray[np.float16]  # [N, 28, 28, 32]

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """float32 channels-last NCHW tensors of ``rows``."""
        maps = (self.local4, self.local8, self.context8)
        local4, local8, context8 = (
            torch.from_numpy(m[rows].astype(np.float32)).permute(0, 3, 1, 2) for m in maps
        )
        return local4, local8, context8

    @classmethod
    def open(cls, folder: Path) -> Features:
        """Map the features beside a store's views."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in SHAPES))


@torch.inference_mode()
def write_features(folder: Path, model: GlintEdge, progress: Iterable[int] | None = None) -> None:
    """Run the trunk of ``model`` over the store in ``folder`` and keep its outputs there."""
    store = Store.open(folder)
    maps = {
        name: open_memmap(
            folder / f"{name}.part", "w+", np.float16, (len(store), side, side, channels)
        )
        for name, (channels, side) in SHAPES.items()
    }
    for start in progress or range(0, len(store), CHUNK):
        rows = slice(start, start + CHUNK)
        local4, local8 = model.shallow(torch.from_numpy(np.array(store.fragments[rows])))
        _, context8 = model.shallow(torch.from_numpy(np.array(store.resize[rows])))
        for name, value in zip(SHAPES, (local4, local8, context8), strict=True):
            maps[name][rows] = value.permute(0, 2, 3, 1).numpy()
    for name in SHAPES:
        (folder / f"{name}.part").rename(folder / f"{name}.npy")
