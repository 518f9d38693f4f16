"""What pictures show, as vectors of any backbone, kept on disk so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iqa.saqt.pictures import Picture
from iqa.whole_file import whole_file
from sdk.errors import UsageError

Backbone = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # RGB [H, W, 3] -> [D]
Progress = Callable[[str, int, int], object]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHUNK = 64


class PooledBackbone:
    """A torch network's last map averaged over positions, on pictures at their own size.

    Args:
        network: ``[1, 3, H, W]`` -> ``[1, D, h, w]``, or a list of maps of which the last counts.
        mean: Of the normalisation, on 0..1.
        std: Of the normalisation.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.mean, self.std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (mean, std))

    @torch.inference_mode()
    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        found = self.network((image - self.mean) / self.std)
        last: Tensor = found[-1] if isinstance(found, list) else found
        return last[0].mean(dim=(1, 2)).numpy()


def unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows ``[n, D]`` of length 1."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def features_of(
    pictures: Sequence[Picture],
    backbone: Backbone,
    name: str,
    folder: Path,
    progress: Progress = lambda *_: None,
) -> NDArray[np.float32]:
    """Unit-length features ``[n, D]`` of pictures, in their order.

    Args:
        pictures: In a fixed order.
        backbone: Any function of a picture.
        name: Of the backbone and its weights; features of another are not mixed in.
        folder: Where chunks of features are kept; finished ones are not computed again.
        progress: Told the stage, pictures done, and all.

    Raises:
        UsageError: The folder holds features of other pictures or of another backbone.
    """
    _claim(folder, pictures, name)
    chunks = []
    for start in range(0, len(pictures), CHUNK):
        path = folder / f"{start:08d}.npy"
        if not path.is_file():
            some = []
            for number, picture in enumerate(pictures[start : start + CHUNK], start):
                progress("features", number, len(pictures))
                some.append(backbone(picture.read()))
            with whole_file(path) as stream:
                np.save(stream, np.stack(some).astype(np.float32))
        chunks.append(np.load(path))
    progress("features", len(pictures), len(pictures))
    return unit(np.concatenate(chunks))


def _claim(folder: Path, pictures: Sequence[Picture], name: str) -> None:
    """Say whose features a folder holds, or see that they are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    listing = "\n".join(f"{p.name} {p.path.stat().st_size}" for p in pictures)
    claim = {"backbone": name, "pictures": hashlib.sha256(listing.encode()).hexdigest()}
    path = folder / "features.json"
    if not path.is_file():
        path.write_text(json.dumps(claim) + "\n", encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != claim:
        raise UsageError(
            f"Folder {folder} holds features of other pictures or of another backbone.",
            hint="Give another folder, or delete this one.",
        )
