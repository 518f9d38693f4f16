"""The ImageNet stages' outputs up to stride 16, for trainings that leave the stages as they are.

What is computed once need not be computed by every variant with every seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn

from iqa.data.features import CHUNK, Compiled, compiled
from iqa.losses import TRUSTED
from iqa.models.glint_edge import GlintEdge, run
from iqa.training.batch import Rows
from iqa.training.networks import GlintEdgeNetwork
from iqa.training.sources import CachedSource
from iqa.whole_file import whole_file

Half = NDArray[np.float16]


class Deep(nn.Module):
    """Stages from stride 8 to stride 16; those of both branches begin alike."""

    def __init__(self, model: GlintEdge) -> None:
        super().__init__()
        self.stages = model.local.deep

    def forward(self, stride8: Tensor) -> Tensor:
        return run(self.stages, stride8)


def compiled_stages(model: GlintEdge) -> Compiled:
    """From stride 8 ``[B, 32, 28, 28]`` to stride 16 ``[B, 96, 14, 14]``."""
    return compiled(Deep(model), torch.zeros(2, 32, 28, 28))


def stride16(stages: Compiled, stride8: Half, rows: Iterable[int]) -> Half:
    """NHWC from NHWC; ``rows`` are the first of each chunk."""
    chunks = (stride8[first : first + CHUNK].astype(np.float32) for first in rows)
    found = [stages(chunk.transpose(0, 3, 1, 2))[0] for chunk in chunks]
    return np.concatenate(found).transpose(0, 2, 3, 1).astype(np.float16)


class Given(nn.Module):
    """In place of stages whose output is given."""

    def __init__(self) -> None:
        super().__init__()
        self.value: Tensor | None = None

    def forward(self, _: Tensor) -> Tensor | None:
        return self.value


class TapNetwork(GlintEdgeNetwork):
    """glint-edge from the trunk's outputs and those of both branches' stages."""

    @staticmethod
    def prepare(model: GlintEdge) -> None:
        """Take the stages out."""
        model.local.deep = nn.ModuleDict({"given": Given()})
        model.context.deep = nn.ModuleDict()

    def inputs(self, model: GlintEdge, raw: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        local4, local8, local16, context16 = (x.float().permute(0, 3, 1, 2) for x in raw)
        model.local.deep["given"].value = local16
        return local4, local8, context16


class TapSource(CachedSource):
    """The first groups of prepared frames, with the stages' outputs; kept in ``folder``."""

    def __init__(self, work: Path, groups: int, stages: Compiled, folder: Path) -> None:
        super().__init__(work)
        self.groups = min(groups, super().__len__())
        maps = (self.features.local8, self.features.context8)
        self.taps = [
            self._kept(folder / f"{name}-{self.groups}.npy", stages, stride8)
            for name, stride8 in zip(("local16", "context16"), maps, strict=True)
        ]

    def _kept(self, path: Path, stages: Compiled, stride8: Half) -> Half:
        if not path.is_file():
            rows = range(0, self.groups * self.frames, CHUNK)
            found = stride16(stages, stride8[: rows.stop], track(rows, path.stem))
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as stream:
                np.save(stream, found)
        return np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return self.groups

    def unit(self, index: int, epoch: int) -> Rows:
        rows = slice(index * self.frames, (index + 1) * self.frames)
        unit = super().unit(index, epoch)
        given = (*unit.inputs[:2], *(np.array(taps[rows]) for taps in self.taps))
        return Rows(given, unit.target, unit.weight, unit.causes, unit.group)


class WithoutFaults:
    """Groups of KADID's distortions alone."""

    frames, causes = CachedSource.frames, True

    def __init__(self, source: CachedSource) -> None:
        self.source = source
        weight = source.store.weight[: len(source) * self.frames].reshape(-1, self.frames)
        self.groups = np.flatnonzero(weight.min(axis=1) >= TRUSTED)

    def __len__(self) -> int:
        return len(self.groups)

    def unit(self, index: int, epoch: int) -> Any:
        return self.source.unit(int(self.groups[index]), epoch)
