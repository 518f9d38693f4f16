"""Pictures in other layouts show what the original shows."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.layouts import layouts_of
from sdk import as_frame
from sdk.preprocess import to_rgb


@pytest.mark.parametrize("name", ["bgr", "nv12", "i420", "yuyv"])
def test_layout_shows_the_same_picture(name: str) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    bgr = colours.repeat(2, axis=0).repeat(2, axis=1)  # chroma is halved: 2x2 alike lose nothing
    rgb = to_rgb(as_frame(layouts_of(bgr)[name], format=name))
    assert np.abs(rgb.astype(int) - bgr[:, :, ::-1]).max() <= 3
