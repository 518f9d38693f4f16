from __future__ import annotations

import numpy as np
import pytest
import torch

from iqa.models.crops import grid_crops, mean_score, normalise, random_crops
from sdk.errors import FrameError
from sdk.preprocess import crops


def picture(height: int = 300, width: int = 400) -> np.ndarray:
    """Every pixel names its place."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 256, columns % 256, rows // 256 * 16 + columns // 256], -1).astype("u1")


def test_grid_is_that_of_the_run_time() -> None:
    np.testing.assert_array_equal(grid_crops(picture()), crops(picture(), 5, 224))
    assert grid_crops(picture(), "crops:3x3@224").shape == (9, 224, 224, 3)


def test_random_crops_are_windows_decided_by_the_seed() -> None:
    first = random_crops(picture(), seed=1)
    assert first.shape == (25, 224, 224, 3)
    for crop in first:
        top, left = (int(crop[0, 0, axis]) for axis in (0, 1))
        np.testing.assert_array_equal(crop, picture()[top : top + 224, left : left + 224])
    np.testing.assert_array_equal(first, random_crops(picture(), seed=1))
    assert not np.array_equal(first, random_crops(picture(), seed=2))


def test_random_crops_reach_every_edge() -> None:
    many = random_crops(picture(226, 225), seed=0, count=60)
    corners = {(int(c[0, 0, 0]), int(c[0, 0, 1])) for c in many}
    assert corners == {(top, left) for top in range(3) for left in range(2)}


def test_a_small_picture_is_refused() -> None:
    with pytest.raises(FrameError, match="400x200"):
        random_crops(picture(200, 400), seed=0)


def test_normalisation_and_mean() -> None:
    crops_ = np.zeros((2, 4, 4, 3), np.uint8)
    crops_[1] = 255
    image = normalise(crops_, (0.5, 0.5, 0.5), (0.5, 0.25, 0.5))
    assert image.shape == (2, 3, 4, 4)
    assert image[:, :, 0, 0].tolist() == [[-1, -2, -1], [1, 2, 1]]
    assert mean_score(torch.nn.Flatten(), image) == pytest.approx(0)
    assert mean_score(torch.nn.Flatten(), image[1:]) == pytest.approx(4 / 3)
