from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.frames import Frame, PixelFormat
from sdk.io.layout import LAYOUTS, RAW_FORMATS
from sdk.preprocess import to_rgb

EVEN_ONLY = {"yuyv422"}
VIEWS = ("bgr24", "rgb24", "bgra", "rgba", "gray", "nv12", "yuv420p", "yuyv422")


def arranged(name: str, data: np.ndarray, width: int, height: int) -> np.ndarray:
    return LAYOUTS[name].arrange(data, width, height)


def random_bytes(name: str, width: int, height: int) -> np.ndarray:
    count = LAYOUTS[name].frame_bytes(width, height)
    return np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8)


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(32, 40), st.integers(32, 40))
def test_every_layout_makes_frames_that_convert(name: str, width: int, height: int) -> None:
    width += width % 2 if name in EVEN_ONLY else 0
    image = arranged(name, random_bytes(name, width, height), width, height)
    layout = LAYOUTS[name]
    planar = layout.pixel_format in (PixelFormat.I420, PixelFormat.NV12)
    rows = image.shape[0] * 2 // 3 if planar else image.shape[0]
    rgb = to_rgb(Frame(image, layout.pixel_format, image.shape[1], rows))
    assert width - 1 <= rgb.shape[1] <= width
    assert height - 1 <= rgb.shape[0] <= height


@pytest.mark.parametrize("name", VIEWS)
def test_even_frames_are_views(name: str) -> None:
    data = random_bytes(name, 64, 48)
    assert np.shares_memory(arranged(name, data, 64, 48), data)


def test_raw_names_lead_to_layouts() -> None:
    assert set(RAW_FORMATS.values()) == set(LAYOUTS) - {"gray-limited"}


@pytest.mark.parametrize(
    ("name", "code"), [("yuv420p", cv2.COLOR_YUV2RGB_I420), ("nv12", cv2.COLOR_YUV2RGB_NV12)]
)
def test_420_agrees_with_opencv(name: str, code: int) -> None:
    image = arranged(name, random_bytes(name, 64, 48), 64, 48)
    ours = to_rgb(Frame(image, LAYOUTS[name].pixel_format, 64, 48))
    assert np.abs(ours.astype(int) - cv2.cvtColor(image, code)).max() <= 2


@pytest.mark.parametrize("name", ["yuv420p", "nv12"])
@pytest.mark.parametrize(("width", "height"), [(35, 33), (35, 34), (34, 33)])
def test_odd_420_is_cropped_not_shifted(name: str, width: int, height: int) -> None:
    """Planes of an odd frame hold (n + 1) // 2 chroma samples a row; each pixel keeps its own."""
    half_w, half_h = (width + 1) // 2, (height + 1) // 2
    luma = np.arange(width * height).reshape(height, width) % 200
    cb = np.arange(half_w * half_h).reshape(half_h, half_w) % 200
    cr = cb + 20
    chroma = [cb, cr] if name == "yuv420p" else [np.dstack([cb, cr])]
    data = np.concatenate([plane.ravel() for plane in (luma, *chroma)]).astype(np.uint8)
    assert data.size == LAYOUTS[name].frame_bytes(width, height)

    image = arranged(name, data, width, height)
    even_w, even_h = width - width % 2, height - height % 2
    assert image.shape == (even_h * 3 // 2, even_w)
    assert np.array_equal(image[:even_h], luma[:even_h, :even_w])
    tail = image[even_h:].ravel()
    if name == "yuv420p":
        planes = tail.reshape(2, even_h // 2, even_w // 2)
    else:
        planes = tail.reshape(even_h // 2, even_w // 2, 2).transpose(2, 0, 1)
    assert np.array_equal(planes[0], cb[: even_h // 2, : even_w // 2])
    assert np.array_equal(planes[1], cr[: even_h // 2, : even_w // 2])


@pytest.mark.parametrize("width", [64, 63])
def test_422_becomes_yuyv_without_loss(width: int) -> None:
    data = random_bytes("yuv422p", width, 48)
    half = (width + 1) // 2
    luma, chroma = data[: width * 48].reshape(48, width), data[width * 48 :].reshape(2, 48, half)
    image = arranged("yuv422p", data, width, 48)
    even = width - width % 2
    assert np.array_equal(image[..., 0], luma[:, :even])
    assert np.array_equal(image[:, 0::2, 1], chroma[0, :, : even // 2])
    assert np.array_equal(image[:, 1::2, 1], chroma[1, :, : even // 2])


def test_444_chroma_is_averaged_over_pairs_of_columns() -> None:
    data = random_bytes("yuv444p", 33, 32)
    cb = data.reshape(3, 32, 33)[1].astype(int)
    image = arranged("yuv444p", data, 33, 32)
    assert image.shape == (32, 32, 2)
    assert np.array_equal(image[:, 0::2, 1], (cb[:, 0:32:2] + cb[:, 1:32:2] + 1) // 2)


def test_limited_gray_is_expanded() -> None:
    data = np.full(32 * 32, 126, np.uint8)
    data[:4] = 0, 16, 235, 255
    image = arranged("gray-limited", data, 32, 32)
    assert image.ravel()[:5].tolist() == [0, 0, 255, 255, 128]
