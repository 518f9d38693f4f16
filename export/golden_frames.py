"""Frames to judge engines on: freely licensed photographs, clean and degraded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from sdk.demo.degradations import DEGRADATIONS
from sdk.demo.photographs import load_photograph

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHOTOGRAPHS: Final = ("coffee.png", "astronaut.png", "chelsea.png")
STRENGTHS: Final = (0.35, 0.9)  # a fault that one notices, and one that ruins the picture


def degraded_photographs() -> Iterator[NDArray[np.uint8]]:
    """Yield each photograph clean, then every degradation mild and strong on one photograph each.

    The same pixels on every machine with the same OpenCV. They need scikit-image, which brings
    the photographs (CC0 and public domain).

    Yields:
        BGR frames, uint8 [H, W, 3].

    Raises:
        FramescoreError: scikit-image isn't installed.
    """
    photographs = [load_photograph(name) for name in PHOTOGRAPHS]
    yield from photographs
    for number, (_, degrade) in enumerate(sorted(DEGRADATIONS.items())):
        for step, strength in enumerate(STRENGTHS):
            picture = photographs[(number + step) % len(photographs)]
            yield degrade(picture, strength, np.random.default_rng(number))
