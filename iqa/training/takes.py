"""From a picture to what a model takes: the views of run time, or crops that training draws."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sdk.errors import UsageError
from sdk.frames import as_frame
from sdk.views import View

Picture8 = NDArray[np.uint8]


class Takes:
    """Gathers a model's inputs.

    Args:
        specs: Views in the order of the model's inputs. A single ``crops`` view becomes one random
            crop in training and its grid in validation; others are the same in both.
    """

    def __init__(self, specs: Sequence[str]) -> None:
        self.views = [View.parse(spec) for spec in specs]
        self.cropped = self.views[0].kind == "crops"
        if self.cropped and len(self.views) > 1:
            raise UsageError(f"Views {', '.join(specs)}: crops are trained alone.")

    @property
    def crops(self) -> int:
        """Crops of a frame in validation."""
        return self.views[0].shape[0] if self.cropped else 1

    def draw(self, rgb: Picture8, rng: np.random.Generator) -> tuple[Picture8, ...]:
        """Inputs to train on, ``[1, H, W, 3]`` each."""
        if not self.cropped:
            return self.grid(rgb)
        size = self.views[0].size
        rgb = padded(rgb, size)
        top, left = (int(rng.integers(0, n - size + 1)) for n in rgb.shape[:2])
        return (rgb[None, top : top + size, left : left + size],)

    def grid(self, rgb: Picture8) -> tuple[Picture8, ...]:
        """Inputs as at run time, ``[C, H, W, 3]`` each."""
        frame = as_frame(padded(rgb, max(view.size for view in self.views)), format="rgb")
        return tuple(view.apply(frame) for view in self.views)


def padded(rgb: Picture8, size: int) -> Picture8:
    """Mirror the edges of pictures that are smaller than a crop; no pixel is resampled."""
    height, width = rgb.shape[:2]
    below, right = max(size - height, 0), max(size - width, 0)
    if below or right:
        rgb = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REFLECT)
    return np.ascontiguousarray(rgb)


def flipped(rgb: Picture8, ways: str, rng: np.random.Generator) -> Picture8:
    """Mirrored at even chances in each of ``ways``, "h" and "v"."""
    if "h" in ways and rng.random() < 0.5:
        rgb = rgb[:, ::-1]
    if "v" in ways and rng.random() < 0.5:
        rgb = rgb[::-1]
    return rgb
