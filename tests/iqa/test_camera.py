from __future__ import annotations

import numpy as np
import pytest

from iqa.distortions.camera import FAULTS
from iqa.distortions.kadid import Picture


@pytest.mark.parametrize("name", FAULTS)
def test_severity_orders_the_change(picture: Picture, name: str) -> None:
    operation, _ = FAULTS[name]
    before = picture.copy()
    outs = [operation(picture, s, np.random.default_rng(2)) for s in (0.15, 0.5, 1.0)]
    errors = [float(((out - picture) ** 2).mean()) for out in outs]
    assert errors == sorted(errors)
    assert errors[0] > 0
    assert np.array_equal(picture, before)
    for out in outs:
        assert out.shape == picture.shape
        assert out.dtype == np.float32
        assert out.min() >= 0
        assert out.max() <= 1


@pytest.mark.parametrize(
    "name", ["haze", "underwater", "low_contrast", "over_exposure", "colour_cast"]
)
def test_severity_zero_changes_nothing(picture: Picture, name: str) -> None:
    out = FAULTS[name][0](picture, 0.0, np.random.default_rng(2))
    assert np.abs(out - picture).max() < 2e-3


def test_haze_lowers_contrast_and_water_takes_red(picture: Picture) -> None:
    hazy = FAULTS["haze"][0](picture, 0.8, np.random.default_rng(0))
    assert hazy.std() < 0.6 * picture.std()
    water = FAULTS["underwater"][0](picture, 0.8, np.random.default_rng(0))
    ratio = water.mean(axis=(0, 1)) / picture.mean(axis=(0, 1))
    assert ratio[0] < min(ratio[1], ratio[2])
