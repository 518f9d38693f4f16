"""What the demo does to its frames: faults that cameras and codecs have, from none to severe.

Each takes a BGR picture uint8 [H, W, 3], a strength from 0 (untouched) to 1 (severe) and a random
generator, and returns a new picture of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # BGR [H, W, 3]
Degradation = Callable[[Picture, float, np.random.Generator], Picture]


def defocus(picture: Picture, strength: float, _rng: np.random.Generator) -> Picture:
    """Blur with a Gaussian of up to 4 pixels."""
    import cv2

    return _picture(cv2.GaussianBlur(picture, (0, 0), 0.05 + 3.95 * strength))


def noise(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Add white noise with a standard deviation of up to 32 grey levels."""
    grain = rng.normal(0.0, 32.0 * strength, picture.shape)
    return _clipped(picture + grain)


def jpeg(picture: Picture, strength: float, _rng: np.random.Generator) -> Picture:
    """Compress with JPEG, down to quality 4."""
    import cv2

    # Quality falls on a logarithmic scale: most of what is visible lies below 30.
    quality = round(95 * (4 / 95) ** strength)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _picture(cv2.imdecode(data, cv2.IMREAD_COLOR))


def underexposure(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Take away up to 3 stops of light; what is left of it carries the sensor's noise."""
    dark = picture * 2.0 ** (-3.0 * strength)
    return _clipped(dark + rng.normal(0.0, 4.0 * strength, picture.shape))


def haze(picture: Picture, strength: float, _rng: np.random.Generator) -> Picture:
    """Veil the picture with up to 70 % of a light grey."""
    veil = 0.7 * strength
    return _clipped(picture * (1 - veil) + 205.0 * veil)


def low_resolution(picture: Picture, strength: float, _rng: np.random.Generator) -> Picture:
    """Shrink by up to 5 and enlarge again."""
    import cv2

    height, width = picture.shape[:2]
    factor = 1 + 4 * strength
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return _picture(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR))


DEGRADATIONS: Final[Mapping[str, Degradation]] = MappingProxyType(
    {
        "defocus": defocus,
        "noise": noise,
        "JPEG blocks": jpeg,
        "underexposure": underexposure,
        "haze": haze,
        "low resolution": low_resolution,
    }
)
"""Every degradation by the name that the timeline shows."""


def _clipped(values: NDArray[np.floating[Any]]) -> Picture:
    return _picture(np.clip(np.rint(values), 0, 255))


def _picture(array: Any) -> Picture:
    """Give what OpenCV or numpy returns its type."""
    return np.asarray(array, dtype=np.uint8)
