"""The frozen trunk's outputs for a whole store, so that training runs only what it trains."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor, nn

from iqa.data.store import Store
from iqa.models.glint_edge import GlintEdge

# name: channels, side
SHAPES = {"local4": (24, 56), "local8": (32, 28), "context8": (32, 28)}
CHUNK = 8  # larger ones leave the caches


@dataclass(frozen=True, slots=True)
class Features:
    """Memory-mapped float16 NHWC outputs of the trunk, one row a sample."""

    local4: NDArray[np.float16]  # [N, 56, 56, 24]
    local8: NDArray[np.float16]  # [N, 28, 28, 32]
    context8: NDArray[np.float16]  # [N, 28, 28, 32]

    @property
    def maps(self) -> tuple[NDArray[np.float16], ...]:
        """All of them, as the network takes them."""
        return self.local4, self.local8, self.context8

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """float32 channels-last NCHW tensors of ``rows``."""
        local4, local8, context8 = (
            torch.from_numpy(m[rows].astype(np.float32)).permute(0, 3, 1, 2) for m in self.maps
        )
        return local4, local8, context8

    @classmethod
    def open(cls, folder: Path) -> Features:
        """Map the features beside a store's views."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in SHAPES))


class _Trunk(nn.Module):
    """The shared trunk by itself, for OpenVINO."""

    def __init__(self, model: GlintEdge) -> None:
        super().__init__()
        self.model = model

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.shallow(view)


Compiled = Callable[[NDArray[Any]], list[NDArray[np.float32]]]


def compiled_trunk(model: GlintEdge) -> Compiled:
    """The trunk, from views ``[B, 224, 224, 3]`` to strides 4 and 8, NCHW."""
    return compiled(_Trunk(model), torch.zeros(2, 224, 224, 3, dtype=torch.uint8))


def compiled(module: nn.Module, example: Tensor) -> Compiled:
    """A frozen network in OpenVINO's fp32, several times faster than torch on a CPU.

    Args:
        module: From one tensor to one or several.
        example: An input; the size of its first dimension is free.
    """
    free = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export warns of its own insides
        program = torch.export.export(module.eval(), (example,), dynamic_shapes=free)
        graph = openvino.convert_model(program)
    ready = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda values: list(ready(values).to_tuple())


def write_features(folder: Path, model: GlintEdge, progress: Iterable[int] | None = None) -> None:
    """Run the trunk of ``model`` over the store in ``folder`` and keep its outputs there."""
    store, trunk = Store.open(folder), compiled_trunk(model)
    maps = {
        name: open_memmap(
            folder / f"{name}.part", "w+", np.float16, (len(store), side, side, channels)
        )
        for name, (channels, side) in SHAPES.items()
    }
    for start in progress or range(0, len(store), CHUNK):
        rows = slice(start, start + CHUNK)
        local4, local8 = trunk(np.array(store.fragments[rows]))
        _, context8 = trunk(np.array(store.resize[rows]))
        for name, value in zip(SHAPES, (local4, local8, context8), strict=True):
            maps[name][rows] = value.transpose(0, 2, 3, 1)
    for name in SHAPES:
        (folder / f"{name}.part").rename(folder / f"{name}.npy")
