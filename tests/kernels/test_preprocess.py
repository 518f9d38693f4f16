"""The frame kernel equals sdk.preprocess to the last bit and touches no byte it may not.

Its unmodified source runs under the emulation, through the same C ABI and binding as on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sdk import preprocess
from sdk.demo.photographs import load_photograph
from sdk.errors import BackendError, FrameError, UsageError
from sdk.frames import ColorSpec, Frame, PixelFormat
from sdk.views import View

from .bound import Bound
from .emulated import Workshop

CHANNELS = {"bgr": 3, "rgb": 3, "bgra": 4, "rgba": 4, "yuyv": 2}
PLANAR = (PixelFormat.NV12, PixelFormat.I420)
COLORS = [ColorSpec(matrix, full) for matrix in ("bt601", "bt709") for full in (False, True)]  # type: ignore[arg-type]
# Patches and crops of sides that are multiples of four (runs of four pixels) and that are not.
VIEWS = [
    "fragments:3x8",
    "resize:9x14",
    "crops:2x2@6",
    "fragments:2x5",
    "resize:1x1",
    "crops:1x1@8",
]


@pytest.fixture(scope="module")
def bound(workshop: Workshop) -> Bound:
    return Bound.build(workshop)


def noise(pixel_format: PixelFormat, width: int, height: int, padding: int, seed: int) -> Frame:
    """Random samples; each row is followed by `padding` bytes (I420 has none)."""
    channels = CHANNELS.get(pixel_format.value, 1)
    rows = height * 3 // 2 if pixel_format in PLANAR else height
    padding = 0 if pixel_format is PixelFormat.I420 else padding
    rng = np.random.default_rng(seed)
    memory = rng.integers(0, 256, (rows, width * channels + padding), dtype=np.uint8)
    data = memory[:, : width * channels]
    if channels > 1:
        strides = (memory.strides[0], channels, 1)
        data = np.lib.stride_tricks.as_strided(data, (rows, width, channels), strides)
    return Frame(data, pixel_format, width, height, COLORS[seed % len(COLORS)])


def expected(frame: Frame, view: View) -> NDArray[np.uint8]:
    rgb = preprocess.to_rgb(frame)
    if view.kind == "fragments":
        return preprocess.fragments(rgb, view.rows, view.size)[None]
    if view.kind == "resize":
        return preprocess.resize(rgb, view.rows, view.columns)[None]
    return preprocess.crops(rgb, view.rows, view.size)


def rows_of(frame: Frame) -> NDArray[np.uint8]:
    """The bytes of the frame's rows, without what lies between them."""
    data = frame.data
    return np.lib.stride_tricks.as_strided(
        data, (data.shape[0], data.strides[1] * data.shape[1]), (data.strides[0], 1)
    )


def gather(
    bound: Bound, frame: Frame, views: Sequence[View], *, shift: int = 0, seed: int = 0
) -> list[NDArray[np.uint8]]:
    """All views by one launch; outputs begin `shift` bytes behind a multiple of 16."""
    outs = []
    for view in views:
        memory = np.zeros(int(np.prod(view.shape)) + 32, np.uint8)
        first = -memory.ctypes.data % 16 + shift
        outs.append(memory[first : first + int(np.prod(view.shape))].reshape(view.shape))
    bound.watch([rows_of(frame)], outs, seed)
    bound.kernels.gather_views(frame.data, frame.pixel_format, frame.color, views, outs)
    return outs


@settings(max_examples=60)
@given(
    pixel_format=st.sampled_from(PixelFormat),
    width=st.integers(8, 70),
    height=st.integers(8, 70),
    padding=st.integers(0, 19),
    flip=st.booleans(),
    shift=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_every_layout_and_size_equals_numpy(
    bound: Bound,
    pixel_format: PixelFormat,
    width: int,
    height: int,
    padding: int,
    flip: bool,
    shift: int,
    seed: int,
) -> None:
    width -= width % 2 if pixel_format in (*PLANAR, PixelFormat.YUYV) else 0
    height -= height % 2 if pixel_format in PLANAR else 0
    frame = noise(pixel_format, width, height, padding, seed)
    if flip and pixel_format not in PLANAR:  # bottom-up rows
        frame = Frame(frame.data[::-1], pixel_format, width, height, frame.color)
    views = [View.parse(spec) for spec in VIEWS]
    for view, out in zip(views, gather(bound, frame, views, shift=shift, seed=seed), strict=True):
        assert np.array_equal(out, expected(frame, view)), view.spec


@pytest.mark.parametrize(
    ("pixel_format", "size"),
    [
        (PixelFormat.NV12, (3840, 2160)),
        (PixelFormat.BGR, (1920, 1080)),
        (PixelFormat.YUYV, (1280, 720)),
        (PixelFormat.I420, (640, 480)),
    ],
)
def test_the_views_of_the_models_on_the_sizes_of_cameras(
    bound: Bound, pixel_format: PixelFormat, size: tuple[int, int]
) -> None:
    frame = noise(pixel_format, *size, 64, 1)
    data = np.ascontiguousarray(frame.data)  # one range to watch rather than thousands
    frame = Frame(data, pixel_format, *size, frame.color)
    views = [View.parse("fragments:7x32"), View.parse("resize:224x224")]
    outs = [np.zeros(view.shape, np.uint8) for view in views]
    bound.watch([data.reshape(-1)], outs)
    bound.kernels.gather_views(data, pixel_format, frame.color, views, outs)
    for view, out in zip(views, outs, strict=True):
        assert np.array_equal(out, view.apply(frame)), view.spec


def test_a_photograph(bound: Bound) -> None:
    bgr = load_photograph("astronaut.png")
    frame = Frame(bgr, PixelFormat.BGR, bgr.shape[1], bgr.shape[0])
    views = [View.parse("fragments:7x32"), View.parse("resize:64x64")]
    for view, out in zip(views, gather(bound, frame, views), strict=True):
        assert np.array_equal(out, expected(frame, view))


@pytest.mark.parametrize("color", COLORS)
def test_every_chroma_pair_converts_alike(bound: Bound, color: ColorSpec) -> None:
    """All 65,536 (U, V) pairs, each at four of a few lumas."""
    u, v = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    data = np.empty((768, 512), np.uint8)
    lumas = np.array([0, 15, 16, 17, 128, 235, 255], np.uint8)
    data[:512] = lumas[np.arange(512 * 512).reshape(512, 512) % 7]
    data[512:] = np.stack([u, v], axis=-1).reshape(256, 512)
    frame = Frame(data, PixelFormat.NV12, 512, 512, color)
    bound.watch([data.reshape(-1)], [out := np.zeros((1, 512, 512, 3), np.uint8)])
    whole = View.parse("fragments:1x512")
    bound.kernels.gather_views(data, frame.pixel_format, color, [whole], [out])
    assert np.array_equal(out[0], preprocess.to_rgb(frame))


def test_a_byte_outside_is_noticed(bound: Bound) -> None:
    """The watch that the tests above rely on: one row too few is an error."""
    frame = noise(PixelFormat.BGR, 32, 32, 0, 0)
    out = np.zeros((1, 32, 32, 3), np.uint8)
    bound.watch([rows_of(frame)[:-1]], [out])
    with pytest.raises(BackendError, match="global read of 1 bytes out of bounds"):
        bound.kernels.gather_views(
            frame.data, frame.pixel_format, frame.color, [View.parse("fragments:1x32")], [out]
        )


GOOD = noise(PixelFormat.BGR, 32, 32, 0, 0).data
SMALL = np.zeros((1, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("data", "pixel_format", "spec", "out", "message"),
    [
        (GOOD.astype(np.float32), "bgr", "resize:8x8", SMALL, "Frame is float32"),
        (GOOD[:, :, 0], "bgr", "resize:8x8", SMALL, "3 axes, 3 samples a pixel"),
        (GOOD[:, ::2], "bgr", "resize:8x8", SMALL, "packed pixels"),
        (np.zeros((47, 32), np.uint8), "nv12", "resize:8x8", SMALL, "47 rows"),
        (np.zeros((48, 64), np.uint8)[:, :32], "i420", "resize:8x8", SMALL, "no padding"),
        (GOOD, "bgr", "resize:8x9", SMALL, r"must be uint8 \[1, 8, 9, 3\], packed"),
        (GOOD, "bgr", "resize:8x8", SMALL.astype(np.int8), "must be uint8"),
        (GOOD, "bgr", "resize:8x8", np.zeros((1, 8, 16, 3), np.uint8)[:, :, ::2], "not packed"),
        (GOOD.tolist(), "bgr", "resize:8x8", SMALL, "of type list"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    bound: Bound, data: object, pixel_format: str, spec: str, out: object, message: str
) -> None:
    with pytest.raises(FrameError, match=message):
        bound.kernels.gather_views(
            data, PixelFormat(pixel_format), ColorSpec(), [View.parse(spec)], [out]
        )


@pytest.mark.parametrize(
    ("pixel_format", "shape", "spec"),
    [
        ("bgr", (32, 16, 3), "fragments:2x17"),  # a patch wider than the frame
        ("yuyv", (32, 33, 2), "resize:8x8"),  # odd width
        ("gray", (40000, 8), "resize:8x8"),  # too high
    ],
)
def test_shapes_beyond_the_limits_are_refused_before_the_launch(
    bound: Bound, pixel_format: str, shape: tuple[int, ...], spec: str
) -> None:
    view = View.parse(spec)
    bound.watch([], [])  # a kernel that ran would stop with another message
    arguments = (np.zeros(shape, np.uint8), PixelFormat(pixel_format), ColorSpec(), [view])
    with pytest.raises(BackendError, match="size, stride or scale is out of range"):
        bound.kernels.gather_views(*arguments, [np.zeros(view.shape, np.uint8)])


@pytest.mark.parametrize("count", [0, 9])
def test_too_few_or_many_views_are_refused(bound: Bound, count: int) -> None:
    views = [View.parse("resize:8x8")] * count
    with pytest.raises(UsageError, match=f"There are {count} views"):
        bound.kernels.gather_views(GOOD, PixelFormat.BGR, ColorSpec(), views, [SMALL] * count)
