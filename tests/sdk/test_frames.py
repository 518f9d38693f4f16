from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdk.errors import FrameError, FramescoreError, UsageError
from sdk.frames import ColorSpec, Frame, PixelFormat, as_frame


class OnHost:
    """A tensor of another library, in host memory."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> object:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


class OnDevice:
    """A tensor in the memory of a GPU, as DLPack announces it (2 is kDLCUDA)."""

    def __dlpack__(self, **options: Any) -> object:
        raise AssertionError("device memory must not be asked for")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


class WithArrayInterface:
    def __init__(self, array: np.ndarray) -> None:
        self._array = array  # keeps the memory alive
        self.__array_interface__ = array.__array_interface__


def blank(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


@pytest.mark.parametrize(
    ("shape", "format", "expected"),
    [
        ((40, 50, 3), "bgr", PixelFormat.BGR),
        ((40, 50, 3), "rgb", PixelFormat.RGB),
        ((40, 50), "bgr", PixelFormat.GRAY),
        ((40, 50), "rgb", PixelFormat.GRAY),
        ((40, 50, 1), "bgr", PixelFormat.GRAY),
        ((40, 50), "gray", PixelFormat.GRAY),
        ((40, 50, 1), "gray", PixelFormat.GRAY),
        ((40, 50, 4), "bgr", PixelFormat.BGRA),
        ((40, 50, 4), "rgb", PixelFormat.RGBA),
        ((40, 50, 4), "bgra", PixelFormat.BGRA),
        ((40, 50, 4), "rgba", PixelFormat.RGBA),
        ((60, 50), "nv12", PixelFormat.NV12),
        ((60, 50), "i420", PixelFormat.I420),
        ((40, 50, 2), "yuyv", PixelFormat.YUYV),
        ((33, 47, 3), "bgr", PixelFormat.BGR),
        ((33, 47), "gray", PixelFormat.GRAY),
    ],
)
def test_shape_and_format_decide(
    shape: tuple[int, ...], format: str, expected: PixelFormat
) -> None:
    frame = as_frame(blank(*shape), format=format)
    height = 40 if format in ("nv12", "i420") else shape[0]
    assert (frame.pixel_format, frame.width, frame.height) == (expected, shape[1], height)


@pytest.mark.parametrize(
    ("format", "bytes_per_frame"),
    [("bgr", 6000), ("gray", 2000), ("rgba", 8000), ("nv12", 3000), ("i420", 3000), ("yuyv", 4000)],
)
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, "u1")])
def test_flat_bytes_take_their_shape_from_the_size(
    format: str, bytes_per_frame: int, wrap: Any
) -> None:
    frame = as_frame(wrap(bytes(bytes_per_frame)), format=format, size=(50, 40))
    assert (frame.width, frame.height) == (50, 40)


def test_yuyv_rows_take_their_shape_from_the_size() -> None:
    rows = np.arange(40 * 100, dtype=np.uint16).astype(np.uint8).reshape(40, 100)
    frame = as_frame(rows, format="yuyv", size=(50, 40))
    assert frame.data.shape == (40, 50, 2)
    assert np.array_equal(frame.data.reshape(40, 100), rows)


def test_a_frame_passes_through() -> None:
    frame = Frame(blank(40, 50), PixelFormat.GRAY, 50, 40, index=7)
    assert as_frame(frame) is frame


def test_colour_is_kept() -> None:
    frame = as_frame(blank(60, 50), format="nv12", matrix="bt709", full_range=True)
    assert frame.color == ColorSpec("bt709", True)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a[::-1],  # bottom-up
        lambda a: a[3:60, 5:70],  # rows padded by the rest of the picture
        lambda a: a[::2],  # every second row
    ],
)
def test_packed_pixels_are_borrowed(view: Any) -> None:
    picture = view(blank(80, 90, 3))
    assert np.shares_memory(as_frame(picture).data, picture)


@pytest.mark.parametrize(
    ("shape", "view"),
    [
        ((80, 90, 3), lambda a: a[:, ::-1]),
        ((80, 90, 3), lambda a: a[:, ::2]),
        ((80, 90, 3), lambda a: a[:, :, ::-1]),
        ((3, 80, 90), lambda a: a.transpose(1, 2, 0)),
        ((80, 90, 4), lambda a: a[:, :, :3]),
        ((90, 80), lambda a: a.T),
    ],
)
def test_unpacked_pixels_are_copied_value_for_value(shape: tuple[int, ...], view: Any) -> None:
    picture = view(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    frame = as_frame(picture)
    assert not np.shares_memory(frame.data, picture)
    assert np.array_equal(frame.data, picture)


def test_padded_i420_is_copied_since_its_chroma_rows_are_half_rows() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 40), dtype=np.uint8)[:, :32]
    frame = as_frame(picture, format="i420")
    assert frame.data.flags.c_contiguous
    assert np.array_equal(frame.data, picture)


@pytest.mark.parametrize("wrap", [OnHost, WithArrayInterface])
def test_other_libraries_memory_is_borrowed(wrap: Any) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert np.shares_memory(as_frame(wrap(picture)).data, picture)


def test_a_read_only_picture_is_accepted() -> None:
    picture = blank(40, 50, 3)
    picture.setflags(write=False)
    assert as_frame(picture).width == 50


def test_torch_tensors_on_the_host_are_borrowed() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    tensor = torch.arange(40 * 50 * 3).reshape(40, 50, 3).to(torch.uint8)
    frame = as_frame(tensor)
    tensor[0, 0, 0] = 99
    assert frame.data[0, 0, 0] == 99


def test_device_memory_is_refused_without_touching_it() -> None:
    with pytest.raises(FrameError, match=r"DLPack device type 2.*tensor\.cpu\(\)"):
        as_frame(OnDevice())


NAN = np.full((40, 50, 3), np.nan, np.float32)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (blank(40, 50, 3).astype(np.uint16), r"dtype uint16; allowed is uint8.*>> 8"),
        (blank(40, 50, 3).astype(np.float32), r"dtype float32; allowed is uint8.*\* 255"),
        (blank(40, 50, 3).astype(np.float64), r"dtype float64"),
        (NAN, r"dtype float32 with 6000 NaN values"),
        (blank(40, 50).astype(bool), r"dtype bool.*\* 255"),
        (blank(40, 50).astype(np.int64), r"dtype int64"),
        (OnHost(blank(40, 50, 3).astype(np.int16)), r"dtype int16"),
        (blank(0, 50, 3), r"empty: its shape is \(0, 50, 3\)"),
        (b"", r"empty"),
        (blank(1, 1, 3), r"1x1 pixels; allowed are 32 to 32768"),
        (blank(40, 31, 3), r"31x40 pixels"),
        (np.broadcast_to(np.uint8(0), (32769, 40, 3)), r"40x32769 pixels"),
        (blank(40, 50, 5), r"\(40, 50, 5\); a bgr frame is \[height, width, 3\]"),
        (blank(40, 50, 2), r"\(40, 50, 2\)"),
        (blank(3, 40, 50), r"transpose\(1, 2, 0\)"),
        (blank(2, 40, 50, 3), r"batch"),
        (blank(6000), r"Pass size=\(width, height\)"),
        (np.uint8(3), r"\(\); a bgr frame"),
        ([[0, 1], [2, 3]], r"type list; allowed are"),
        ("frame.png", r"type str.*sdk\.open_source"),
        (None, r"type NoneType"),
    ],
)
def test_what_cannot_be_scored_is_refused(image: object, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        as_frame(image)


@pytest.mark.parametrize(
    ("shape", "format", "message"),
    [
        ((40, 50, 4), "gray", r"a gray frame is \[height, width\]"),
        ((40, 50, 3), "bgra", r"a bgra frame is \[height, width, 4\]"),
        ((40, 50, 3), "nv12", r"a nv12 frame is \[height \* 3/2, width\]"),
        ((61, 50), "nv12", "61 rows.*multiple of 3"),
        ((60, 51), "i420", "even width and height"),
        ((40, 51, 2), "yuyv", "even width"),
        ((40, 100), "yuyv", r"Pass size=\(width, height\)"),
    ],
)
def test_shapes_that_contradict_the_format_are_refused(
    shape: tuple[int, ...], format: str, message: str
) -> None:
    with pytest.raises(FrameError, match=message):
        as_frame(blank(*shape), format=format)


def test_odd_420_of_a_given_size_is_refused() -> None:
    with pytest.raises(FrameError, match="51x40 pixels; i420 shares chroma"):
        as_frame(bytes(51 * 60), format="i420", size=(51, 40))


@pytest.mark.parametrize(
    ("shape", "format", "rows"),
    [((40, 50, 3), "bgr", 50), ((60, 50), "nv12", 75), ((40, 100), "yuyv", 50)],
)
def test_a_size_with_height_first_does_not_shear_a_picture(
    shape: tuple[int, ...], format: str, rows: int
) -> None:
    with pytest.raises(FrameError, match=rf"has {rows} rows\. .*width comes first"):
        as_frame(blank(*shape), format=format, size=(40, 50))


def test_a_memoryview_keeps_its_shape_and_strides() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (80, 50, 3), dtype=np.uint8)
    frame = as_frame(memoryview(picture)[::2])
    assert np.array_equal(frame.data, picture[::2])


def test_memory_that_dlpack_does_not_know_is_refused() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    with pytest.raises(FrameError, match="cannot be read through DLPack"):
        as_frame(torch.zeros(40, 50, 3, dtype=torch.uint8, device="meta"))


def test_bytes_of_another_size_are_refused() -> None:
    with pytest.raises(FrameError, match="has 2999 bytes; a 50x40 nv12 frame has 3000"):
        as_frame(bytes(2999), format="nv12", size=(50, 40))


@pytest.mark.parametrize("size", [(50,), (50, 40, 3), (50.5, 40), ("50", "40"), 50])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(UsageError, match="must be two whole numbers"):
        as_frame(bytes(6000), size=size)


def test_unknown_format_and_matrix_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="'p010'; allowed are bgr, rgb, gray"):
        as_frame(blank(40, 50), format="p010")
    with pytest.raises(UsageError, match="'bt2020'; allowed are bt601, bt709"):
        as_frame(blank(40, 50), matrix="bt2020")


def test_errors_are_of_the_family_a_caller_catches() -> None:
    with pytest.raises(FramescoreError) as caught:
        as_frame(blank(1, 1))
    assert isinstance(caught.value, ValueError)
    assert caught.value.hint
