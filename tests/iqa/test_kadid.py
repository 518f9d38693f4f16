from __future__ import annotations

import itertools

import numpy as np
import pytest

from iqa.distortions import kadid
from iqa.distortions.kadid import TYPES, Picture, distort, optimal_levels


def change(picture: Picture, kind: int, level: int) -> float:
    out = distort(picture, kind, level, np.random.default_rng(7))
    return float(np.abs(out - kadid.stretch(picture)).mean())


@pytest.mark.parametrize("kind", TYPES)
def test_every_setting_keeps_shape_type_and_range(picture: Picture, kind: int) -> None:
    for level in (1, 3, 5):
        out = distort(picture, kind, level, np.random.default_rng(0))
        assert out.shape == picture.shape
        assert out.dtype == np.float32
        assert out.min() >= 0
        assert out.max() <= 1


@pytest.mark.parametrize("kind", TYPES)
def test_same_seed_same_pixels(picture: Picture, kind: int) -> None:
    first, second = (distort(picture, kind, 4, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)


# Types whose level is a severity: the last level must change the picture more than the first.
@pytest.mark.parametrize("kind", sorted(set(TYPES) - {18, 25}))
def test_level_five_changes_more_than_level_one(picture: Picture, kind: int) -> None:
    assert change(picture, kind, 5) > change(picture, kind, 1)


@pytest.mark.parametrize(
    ("kind", "level", "limit"), [(18, 3, 1e-6), (3, 1, 1e-6), (1, 1, 2e-3), (8, 1, 6e-3)]
)
def test_settings_that_change_nothing(
    picture: Picture, kind: int, level: int, limit: float
) -> None:
    assert change(picture, kind, level) <= limit


def test_input_is_not_written(picture: Picture) -> None:
    before = picture.copy()
    for kind in TYPES:
        distort(picture, kind, 5, np.random.default_rng(0))
    assert np.array_equal(picture, before)


def test_white_noise_has_the_published_variance() -> None:
    grey = np.full((256, 256, 3), 0.5, np.float32)
    noisy = kadid.white_noise(grey, 0.003, np.random.default_rng(0))
    assert noisy.var() == pytest.approx(0.003, rel=0.02)


def test_disk_has_the_area_of_its_radius() -> None:
    kernel = kadid.disk(6)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert 1 / kernel.max() == pytest.approx(np.pi * 6.25**2, rel=0.02)


def test_negative_saturation_flips_the_hue() -> None:
    red = np.zeros((4, 4, 3), np.float32)
    red[...] = (0.6, 0.3, 0.3)
    out = kadid.saturation_hsv(red, -0.4, np.random.default_rng(0))
    assert out[0, 0, 0] < out[0, 0, 1]


def test_quantisation_is_the_best_split() -> None:
    histogram = np.zeros(256)
    rng = np.random.default_rng(5)
    histogram[rng.choice(12, 12, replace=False)] = rng.integers(1, 50, 12)

    def within(cuts: tuple[int, ...]) -> float:
        edges = (0, *cuts, 256)
        total = 0.0
        for low, high in itertools.pairwise(edges):
            mass, at = histogram[low:high], np.arange(low, high)
            if mass.sum():
                total += float((mass * (at - (mass * at).sum() / mass.sum()) ** 2).sum())
        return total

    best = min(within(cuts) for cuts in itertools.combinations(range(1, 13), 3))
    assert within(tuple(optimal_levels(histogram, 4))) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(("kind", "level"), [(0, 1), (26, 1), (1, 0), (1, 6)])
def test_unknown_setting_is_named(picture: Picture, kind: int, level: int) -> None:
    with pytest.raises(ValueError, match=rf"type {kind} level {level}"):
        distort(picture, kind, level, np.random.default_rng(0))
