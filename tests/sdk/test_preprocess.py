from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.frames import as_frame
from sdk.preprocess import crops, fragments, resize, to_rgb

YUV_TO_RGB = {
    "nv12": cv2.COLOR_YUV2RGB_NV12,
    "i420": cv2.COLOR_YUV2RGB_I420,
    "yuyv": cv2.COLOR_YUV2RGB_YUYV,
}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def yuyv_of(y: int, u: int, v: int) -> np.ndarray:
    picture = np.full((32, 32, 2), y, np.uint8)
    picture[:, 0::2, 1] = u
    picture[:, 1::2, 1] = v
    return picture


@pytest.mark.parametrize(("format", "channels"), [("bgr", 3), ("rgb", 3), ("bgra", 4), ("rgba", 4)])
def test_to_rgb_orders_packed_channels(format: str, channels: int) -> None:
    picture = noise(33, 47, channels)
    red, blue = (2, 0) if format.startswith("b") else (0, 2)
    rgb = to_rgb(as_frame(picture, format=format))
    assert np.array_equal(rgb, picture[:, :, [red, 1, blue]])


def test_to_rgb_repeats_gray() -> None:
    picture = noise(33, 47)
    assert np.array_equal(to_rgb(as_frame(picture)), np.stack([picture] * 3, axis=-1))


@pytest.mark.parametrize("format", YUV_TO_RGB)
def test_to_rgb_is_within_one_of_opencv(format: str) -> None:
    picture = noise(64, 96, 2) if format == "yuyv" else noise(96, 96)
    ours = to_rgb(as_frame(picture, format=format)).astype(int)
    assert np.abs(ours - cv2.cvtColor(picture, YUV_TO_RGB[format])).max() <= 1


@pytest.mark.parametrize(
    ("matrix", "full_range", "yuv", "rgb"),
    [
        ("bt601", False, (16, 128, 128), (0, 0, 0)),
        ("bt601", False, (235, 128, 128), (255, 255, 255)),
        ("bt601", False, (81, 90, 240), (255, 0, 0)),
        ("bt601", False, (145, 54, 34), (0, 255, 0)),
        ("bt601", False, (41, 240, 110), (0, 0, 255)),
        ("bt601", True, (0, 128, 128), (0, 0, 0)),
        ("bt601", True, (255, 128, 128), (255, 255, 255)),
        ("bt601", True, (76, 85, 255), (255, 0, 0)),
        ("bt709", False, (63, 102, 240), (255, 0, 0)),
        ("bt709", False, (173, 42, 26), (0, 255, 0)),
        ("bt709", False, (32, 240, 118), (0, 0, 255)),
        ("bt709", True, (54, 99, 255), (255, 0, 0)),
    ],
)
def test_to_rgb_knows_the_primaries(
    matrix: str, full_range: bool, yuv: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    frame = as_frame(yuyv_of(*yuv), format="yuyv", matrix=matrix, full_range=full_range)
    assert np.abs(to_rgb(frame)[0, 0].astype(int) - rgb).max() <= 2  # the codes are rounded


def test_to_rgb_gives_each_pixel_the_chroma_that_covers_it() -> None:
    picture = np.full((48, 32), 128, np.uint8)  # nv12 of 32x32
    picture[32, 2:4] = 90, 240  # chroma of rows 0-1, columns 2-3
    rgb = to_rgb(as_frame(picture, format="nv12"))
    coloured = np.ptp(rgb, axis=2) > 0
    assert coloured[:2, 2:4].all()
    assert coloured.sum() == 4


@given(height=st.integers(32, 300), width=st.integers(32, 300), grid=st.integers(1, 9))
def test_fragments_are_native_patches_at_even_steps(height: int, width: int, grid: int) -> None:
    rgb = noise(height, width, 3)
    spliced = fragments(rgb, grid, 32)
    for i in range(grid):
        for j in range(grid):
            y = i * (height - 32) // (grid - 1) if grid > 1 else (height - 32) // 2
            x = j * (width - 32) // (grid - 1) if grid > 1 else (width - 32) // 2
            patch = spliced[i * 32 : i * 32 + 32, j * 32 : j * 32 + 32]
            assert np.array_equal(patch, rgb[y : y + 32, x : x + 32])


def test_fragments_reach_all_four_corners() -> None:
    rgb = noise(1080, 1920, 3)
    spliced = fragments(rgb)
    assert spliced.shape == (224, 224, 3)
    assert np.array_equal(spliced[:32, :32], rgb[:32, :32])
    assert np.array_equal(spliced[-32:, -32:], rgb[-32:, -32:])
    assert np.array_equal(spliced[:32, -32:], rgb[:32, -32:])


def test_fragments_refuses_a_patch_larger_than_the_picture() -> None:
    with pytest.raises(ValueError, match="7 windows of 32 pixels do not fit an axis of 31"):
        fragments(noise(31, 64, 3))


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    out=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    taps=st.integers(1, 16),
)
def test_resize_is_the_rounded_mean_of_its_samples(
    height: int, width: int, out: tuple[int, int], taps: int
) -> None:
    rgb = noise(height, width, 3)
    ours = resize(rgb, *out, taps)
    i, j = out[0] - 1, out[1] // 2
    total = np.zeros(3, int)
    for ky in range(taps):
        for kx in range(taps):
            y = ((2 * (taps * i + ky) + 1) * height) // (2 * taps * out[0])
            x = ((2 * (taps * j + kx) + 1) * width) // (2 * taps * out[1])
            total += rgb[y, x]
    assert np.array_equal(ours[i, j], (total + taps**2 // 2) // taps**2)


def test_resize_with_as_many_samples_as_pixels_is_the_block_mean() -> None:
    rgb = noise(48, 64, 3)
    blocks = rgb.reshape(12, 4, 16, 4, 3).astype(int).sum(axis=(1, 3))
    assert np.array_equal(resize(rgb, 12, 16), (blocks + 8) // 16)


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_resize_keeps_a_flat_picture_flat(value: int) -> None:
    assert (resize(np.full((1080, 37, 3), value, np.uint8)) == value).all()


def test_resize_of_a_mirrored_picture_is_mirrored_up_to_its_sampling() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 1793)[:, None, None], (1793, 64, 3)).astype(np.uint8)
    down, up = resize(ramp).astype(int), resize(ramp[::-1]).astype(int)[::-1]
    assert np.abs(down - up).max() <= 1


def test_crops_are_fragments_kept_apart() -> None:
    rgb = noise(300, 500, 3)
    cut = crops(rgb, 3, 64)
    assert cut.shape == (9, 64, 64, 3)
    spliced = cut.reshape(3, 3, 64, 64, 3).transpose(0, 2, 1, 3, 4).reshape(192, 192, 3)
    assert np.array_equal(spliced, fragments(rgb, 3, 64))
