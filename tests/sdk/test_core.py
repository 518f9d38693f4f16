"""The native gathers equal sdk.preprocess to the last bit and never read beyond a frame."""

from __future__ import annotations

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk import _core, preprocess
from sdk.frames import ColorSpec, Frame, PixelFormat

CHANNELS = {"bgr": 3, "rgb": 3, "bgra": 4, "rgba": 4, "yuyv": 2}
SIDES = st.one_of(st.integers(32, 96), st.sampled_from([223, 224, 225, 895, 896, 897, 1792, 4096]))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Frames of every format, size and memory layout that Frame allows."""
    pixel_format = draw(st.sampled_from(PixelFormat))
    width, height = draw(SIDES), draw(SIDES)
    if pixel_format in (PixelFormat.NV12, PixelFormat.I420, PixelFormat.YUYV):
        width, height = width & ~1, height & ~1
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    data = _noise(rng, pixel_format, width, height, draw(st.integers(0, 19)))
    if pixel_format not in (PixelFormat.NV12, PixelFormat.I420) and draw(st.booleans()):
        data = data[::-1]  # bottom-up rows
    color = ColorSpec(draw(st.sampled_from(["bt601", "bt709"])), draw(st.booleans()))
    return Frame(data, pixel_format, width, height, color)


def _noise(
    rng: np.random.Generator, pixel_format: PixelFormat, width: int, height: int, padding: int
) -> np.ndarray:
    """Random samples whose rows are followed by `padding` bytes (I420 has none)."""
    channels = CHANNELS.get(pixel_format.value, 1)
    planar = pixel_format in (PixelFormat.NV12, PixelFormat.I420)
    rows = height * 3 // 2 if planar else height
    padding = 0 if pixel_format is PixelFormat.I420 else padding
    memory = rng.integers(0, 256, (rows, width * channels + padding), dtype=np.uint8)
    data = memory[:, : width * channels]
    if channels == 1:
        return data
    return np.lib.stride_tricks.as_strided(
        data, (rows, width, channels), (memory.strides[0], channels, 1)
    )


def source(frame: Frame) -> tuple[np.ndarray, str, str, bool]:
    return frame.data, frame.pixel_format.value, frame.color.matrix, frame.color.full_range


@given(frame=frames(), grid=st.integers(1, 9), patch=st.integers(1, 32))
def test_fragments_equal_numpy(frame: Frame, grid: int, patch: int) -> None:
    out = np.zeros((1, grid * patch, grid * patch, 3), np.uint8)
    _core.fragments(*source(frame), grid, patch, out)
    assert np.array_equal(out[0], preprocess.fragments(preprocess.to_rgb(frame), grid, patch))


@given(
    frame=frames(),
    height=st.integers(1, 64),
    width=st.integers(1, 64),
    taps=st.sampled_from([1, 2, 3, 4, 4, 4, 16]),
)
def test_resize_equals_numpy(frame: Frame, height: int, width: int, taps: int) -> None:
    out = np.zeros((1, height, width, 3), np.uint8)
    _core.resize(*source(frame), height, width, taps, out)
    expected = preprocess.resize(preprocess.to_rgb(frame), height, width, taps)
    assert np.array_equal(out[0], expected)


@given(frame=frames(), grid=st.integers(1, 5), size=st.integers(1, 32))
def test_crops_equal_numpy(frame: Frame, grid: int, size: int) -> None:
    out = np.zeros((grid * grid, size, size, 3), np.uint8)
    _core.crops(*source(frame), grid, size, out)
    assert np.array_equal(out, preprocess.crops(preprocess.to_rgb(frame), grid, size))


@pytest.mark.parametrize("pixel_format", PixelFormat)
@pytest.mark.parametrize("level", [0, 255])
def test_extreme_samples_do_not_overflow(pixel_format: PixelFormat, level: int) -> None:
    rng = np.random.default_rng(level)
    data = _noise(rng, pixel_format, 64, 64, 0)
    data[...] = np.where(data > 127, level, 255 - level)  # every channel at an end of its range
    for matrix in ("bt601", "bt709"):
        frame = Frame(data, pixel_format, 64, 64, ColorSpec(matrix, level == 0))  # type: ignore[arg-type]
        out = np.zeros((1, 8, 8, 3), np.uint8)
        _core.resize(*source(frame), 8, 8, 16, out)
        expected = preprocess.resize(preprocess.to_rgb(frame), 8, 8, 16)
        assert np.array_equal(out[0], expected)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
def test_every_luma_and_chroma_pair_converts_alike(matrix: str, full_range: bool) -> None:
    """All 65,536 (U, V) pairs at a few lumas, by the vectorised path and the single-pixel one."""
    u, v = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for luma in (0, 15, 16, 17, 128, 235, 255):
        data = np.full((768, 512), luma, np.uint8)
        data[512:] = np.stack([u, v], axis=-1).reshape(256, 512)
        color = ColorSpec(matrix, full_range)  # type: ignore[arg-type]
        frame = Frame(data, PixelFormat.NV12, 512, 512, color)
        rgb = preprocess.to_rgb(frame)
        vectorised, single = np.zeros((2, 1, 512, 512, 3), np.uint8)
        _core.resize(*source(frame), 512, 512, 1, vectorised)
        _core.fragments(*source(frame), 1, 512, single)
        assert np.array_equal(vectorised[0], rgb)
        assert np.array_equal(single[0], rgb)


def test_gathers_from_many_threads_at_once() -> None:
    frame = Frame(
        _noise(np.random.default_rng(3), PixelFormat.I420, 640, 480, 0), PixelFormat.I420, 640, 480
    )

    def gather(_: int) -> bytes:
        out = np.zeros((1, 224, 224, 3), np.uint8)
        _core.resize(*source(frame), 224, 224, 4, out)
        return out.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(gather, range(32)))) == 1


# Puts frames against pages that must not be touched: one byte read outside ends the process.
GUARDED = """
import ctypes, mmap, sys
import numpy as np
from sdk import _core

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)

def guarded(size):
    # -> two uint8 arrays of `size` bytes: one ends at a forbidden page, one begins after one
    inner = -(-size // PAGE) * PAGE
    memory = mmap.mmap(-1, inner + 2 * PAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (base, base + PAGE + inner):
        assert libc.mprotect(ctypes.c_void_p(page), PAGE, 0) == 0  # PROT_NONE
    data = np.frombuffer(memory, np.uint8)
    return data[PAGE + inner - size : PAGE + inner], data[PAGE : PAGE + size]

SHAPES = {"bgr": (3,), "rgb": (3,), "bgra": (4,), "rgba": (4,), "yuyv": (2,)}
for format in ("bgr", "rgb", "gray", "bgra", "rgba", "nv12", "i420", "yuyv"):
    for width, height in ((32, 32), (34, 38), (224, 50), (1000, 36)):
        rows = height * 3 // 2 if format in ("nv12", "i420") else height
        shape = (rows, width, *SHAPES.get(format, ()))
        for memory in guarded(int(np.prod(shape))):
            data = memory.reshape(shape)
            flips = (data,) if format in ("nv12", "i420") else (data, data[::-1])
            for picture in flips:
                source = (picture, format, "bt601", False)
                for side in (8, 56, 224):
                    out = np.zeros((1, side, side, 3), np.uint8)
                    _core.resize(*source, side, side, 4, out)
                _core.fragments(*source, 7, 32, np.zeros((1, 224, 224, 3), np.uint8))
                _core.crops(*source, 2, 32, np.zeros((4, 32, 32, 3), np.uint8))
print("inside")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_no_byte_outside_the_frame_is_read() -> None:
    run = subprocess.run(
        [sys.executable, "-c", GUARDED], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "inside\n"), run.stderr


GOOD: dict[str, Any] = {
    "data": np.zeros((64, 64, 3), np.uint8),
    "format": "bgr",
    "matrix": "bt601",
    "full_range": False,
    "grid": 2,
    "patch": 32,
    "out": np.zeros((1, 64, 64, 3), np.uint8),
}
READ_ONLY = np.zeros((1, 64, 64, 3), np.uint8)
READ_ONLY.setflags(write=False)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("data", np.zeros((64, 64, 3), np.float32), "must be uint8"),
        ("data", np.zeros((64, 64), np.uint8), "2 axes; this pixel format has 3"),
        ("data", np.zeros((64, 64, 4), np.uint8), "must have 3 samples"),
        ("data", np.zeros((0, 64, 3), np.uint8), "empty"),
        ("data", np.zeros((64, 128, 3), np.uint8)[:, ::2], "must be packed"),
        ("data", np.zeros((64, 64, 3), np.uint8)[:, :, ::-1], "must be packed"),
        ("data", np.zeros((64, 16, 3), np.uint8), "does not fit a frame of 16x64"),
        ("format", "p010", "'p010'; allowed are bgr"),
        ("matrix", "bt2020", "'bt2020'; allowed are bt601, bt709"),
        ("grid", 0, "grid is 0"),
        ("patch", 0, "window of 0"),
        ("out", np.zeros((1, 64, 63, 3), np.uint8), r"shape \[1, 64, 64, 3\]"),
        ("out", np.zeros((1, 64, 64, 3), np.int8), "uint8"),
        ("out", READ_ONLY, "writable"),
        ("out", np.zeros((1, 64, 128, 3), np.uint8)[:, :, ::2], "C-contiguous"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(argument: str, value: object, message: str) -> None:
    _core.fragments(**GOOD)
    with pytest.raises(ValueError, match=message):
        _core.fragments(**{**GOOD, argument: value})


@pytest.mark.parametrize(
    ("format", "shape", "message"),
    [
        ("nv12", (64, 64), "height and width"),
        ("nv12", (48, 33), "even height and width"),
        ("yuyv", (32, 33, 2), "even width"),
    ],
)
def test_odd_chroma_is_refused(format: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.fragments(**{**GOOD, "data": np.zeros(shape, np.uint8), "format": format})


def test_padded_i420_is_refused() -> None:
    data = np.zeros((48, 64), np.uint8)[:, :32]
    with pytest.raises(ValueError, match="I420 data must be contiguous"):
        _core.fragments(**{**GOOD, "data": data, "format": "i420"})


@pytest.mark.parametrize("taps", [0, 17])
def test_taps_that_would_overflow_are_refused(taps: int) -> None:
    out = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=f"taps is {taps}; allowed are 1..16"):
        _core.resize(GOOD["data"], "bgr", "bt601", False, 8, 8, taps, out)


def test_the_stub_tells_the_truth(repository: Path) -> None:
    stub = ast.parse((repository / "sdk" / "_core.pyi").read_text())
    declared = {
        node.name: [argument.arg for argument in node.args.args]
        for node in stub.body
        if isinstance(node, ast.FunctionDef)
    }
    assert set(declared) == {name for name in vars(_core) if not name.startswith("_")}
    for name, arguments in declared.items():
        signature = (getattr(_core, name).__doc__ or "").splitlines()[0]
        assert [part.split(":")[0] for part in signature.split("(")[1].split(", ")] == arguments
