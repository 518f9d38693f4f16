"""What one step sees: inputs and labels, from the units that a source gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqa.models.glint_edge import DISTORTION_LABELS


@dataclass(frozen=True, slots=True)
class Rows:
    """Some frames of one content, as a source gives them.

    Attributes:
        inputs: What the model takes, ``[n * C, ...]`` each, with C crops a frame.
        target: ``[n]`` quality, 0 to 1.
        weight: ``[n]`` trust in it.
        causes: ``[n, 12]`` posterior of the distortion, zeros where it is not known.
        group: ``[n]`` number of the content.
    """

    inputs: tuple[NDArray[np.generic], ...]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    causes: NDArray[np.float32]
    group: NDArray[np.int64]

    @classmethod
    def rated(cls, inputs: tuple[NDArray[np.generic], ...], quality: float, group: int) -> Rows:
        """One frame with a score and nothing else."""
        causes = np.zeros((1, len(DISTORTION_LABELS)), np.float32)
        one = np.ones(1, np.float32)
        return cls(inputs, one * quality, one, causes, np.array([group]))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of several units as tensors, in their order."""

    inputs: tuple[Tensor, ...]
    target: Tensor  # [B]
    weight: Tensor  # [B]
    causes: Tensor  # [B, 12]
    group: Tensor  # [B]

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        names = [field.name for field in fields(self) if field.name != "inputs"]
        moved = {n: getattr(self, n).to(device, non_blocking=True) for n in names}
        inputs = tuple(x.to(device, non_blocking=True) for x in self.inputs)
        return replace(self, inputs=inputs, **moved)

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU can fetch from; called by the loader."""
        names = [field.name for field in fields(self) if field.name != "inputs"]
        pinned = {n: getattr(self, n).pin_memory() for n in names}
        return replace(self, inputs=tuple(x.pin_memory() for x in self.inputs), **pinned)


def collate(units: Sequence[Rows | Exception]) -> Batch | Exception:
    """Join units; the first failure instead, so that a worker's error reaches the user whole."""
    for unit in units:
        if isinstance(unit, Exception):
            return unit

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(unit, name) for unit in units]))

    inputs = tuple(
        torch.from_numpy(np.concatenate(parts))
        for parts in zip(*(unit.inputs for unit in units), strict=True)
    )
    return Batch(inputs, *(joined(n) for n in ("target", "weight", "causes", "group")))
