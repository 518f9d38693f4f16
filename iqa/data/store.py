"""Both views of many samples on disk, so that training does not wait for distortions.

A store is a folder: ``fragments.npy`` and ``resize.npy`` (uint8 ``[N, 224, 224, 3]``),
``labels.npz``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from iqa.data.synthesis import GROUP, Synthesis
from iqa.data.workers import made_in_order
from iqa.distortions.kadid import Picture, to_bytes
from iqa.models.glint_edge import VIEWS
from sdk.frames import as_frame
from sdk.views import View

SIDE = 224
Views = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Store:
    """Memory-mapped views and labels of ``N`` samples, in groups of four."""

    fragments: NDArray[np.uint8]  # [N, 224, 224, 3]
    resize: NDArray[np.uint8]  # [N, 224, 224, 3]
    mos: NDArray[np.float32]  # [N]
    weight: NDArray[np.float32]  # [N]
    causes: NDArray[np.float32]  # [N, 12]

    def __len__(self) -> int:
        return len(self.mos)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Map a finished store.

        Raises:
            FileNotFoundError: ``folder`` holds no finished store.
        """
        if not (folder / "labels.npz").is_file():
            raise FileNotFoundError(f"{folder} holds no finished store (labels.npz is missing).")
        labels = np.load(folder / "labels.npz")
        views = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("fragments", "resize")]
        return cls(*views, labels["mos"], labels["weight"], labels["causes"])


def views_of(image: Picture) -> Views:
    """Both views of a float frame, through the 8 bits a camera delivers."""
    frame = as_frame(to_bytes(image), format="rgb")
    fragments, resize = (
        View.parse(VIEWS[name]).apply(frame)[0] for name in ("fragments", "resize")
    )
    return fragments, resize


def _group(
    synthesis: Synthesis, index: int
) -> list[tuple[Views, float, float, NDArray[np.float32]]]:
    samples = synthesis.group(index)
    return [(views_of(s.image), s.label.mos, s.label.weight, s.label.causes) for s in samples]


def write_store(
    folder: Path,
    synthesis: Synthesis,
    groups: int,
    workers: int,
    progress: Iterable[int] | None = None,
) -> None:
    """Make ``groups`` groups with ``workers`` processes; ``labels.npz`` comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (groups * GROUP, SIDE, SIDE, 3)
    maps = [
        open_memmap(folder / f"{n}.npy", "w+", np.uint8, shape) for n in ("fragments", "resize")
    ]
    labels: list[tuple[float, float, NDArray[np.float32]]] = []
    made = made_in_order(partial(_group, synthesis), range(groups), workers, chunk=4)
    for index, group in zip(progress or range(groups), made, strict=True):
        for offset, (views, *label) in enumerate(group):
            for view, target in zip(views, maps, strict=True):
                target[index * GROUP + offset] = view
            labels.append(tuple(label))
    mos, weight, causes = zip(*labels, strict=True)
    np.savez(
        folder / "labels.npz",
        mos=np.float32(mos),
        weight=np.float32(weight),
        causes=np.stack(causes),
    )
