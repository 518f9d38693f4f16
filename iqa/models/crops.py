"""Crops of a picture for networks with a fixed input: a fixed grid, or the published random ones.

The published protocols of GlintIQA and DEIQT average the scores of random 224 pixel crops (25 and
10) of the picture at its own size. A score must not depend on luck: here a grid is the default, and
the random crops are decided by a seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdk.errors import FrameError
from sdk.frames import as_frame
from sdk.views import View

SIZE = 224
PUBLISHED_COUNT = 25


def grid_crops(rgb: NDArray[np.uint8], view: str = "crops:5x5@224") -> NDArray[np.uint8]:
    """Evenly spaced crops ``[N, 224, 224, 3]`` of uint8 RGB ``[H, W, 3]``, as at run time."""
    return View.parse(view).apply(as_frame(rgb, format="rgb"))


def random_crops(
    rgb: NDArray[np.uint8], seed: int, count: int = PUBLISHED_COUNT
) -> NDArray[np.uint8]:
    """``count`` crops at even chances, ``[count, 224, 224, 3]``; they may overlap.

    Raises:
        FrameError: The picture is smaller than a crop.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < SIZE:
        raise FrameError(f"Picture of {width}x{height}; crops need at least {SIZE}x{SIZE}.")
    rng = np.random.default_rng(seed)
    tops = rng.integers(0, height - SIZE + 1, count)
    lefts = rng.integers(0, width - SIZE + 1, count)
    places = zip(tops, lefts, strict=True)
    return np.stack([rgb[top : top + SIZE, left : left + SIZE] for top, left in places])


def normalise(crops: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 ``[N, H, W, 3]`` to what networks take, float32 ``[N, 3, H, W]``."""
    image = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    middle, spread = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (mean, std))
    return (image - middle) / spread


@torch.inference_mode()
def mean_score(model: nn.Module, image: Tensor) -> float:
    """Mean of a network's scores of crops ``[N, 3, H, W]``."""
    return float(model(image).mean())
