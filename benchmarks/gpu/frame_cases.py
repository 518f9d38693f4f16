"""Frames whose views are gathered: every layout, with pitch, in odd sizes and in cameras' sizes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu import place
from sdk import preprocess
from sdk.frames import ColorSpec, Frame, PixelFormat

MODEL_VIEWS = ("fragments:7x32", "resize:224x224")  # of glint-edge
CROPS = ("crops:5x5@224",)  # of GlintIQA
ODD_VIEWS = ("fragments:3x5", "resize:9x14", "crops:2x2@6", "fragments:2x8")
_SIZES = {"480p": (854, 480), "1080p": (1920, 1080), "4K": (3840, 2160)}
_BT601 = ColorSpec()
_CHANNELS = {"bgr": 3, "rgb": 3, "bgra": 4, "rgba": 4, "yuyv": 2}
_PLANAR = (PixelFormat.NV12, PixelFormat.I420)


@dataclass(frozen=True, slots=True)
class FrameCase:
    """One launch.

    Attributes:
        pixel_format: Layout of the frame.
        size: (width, height).
        padding: Bytes behind each row.
        color: Matrix and range.
        views: Specs of the views.
    """

    pixel_format: PixelFormat
    size: tuple[int, int]
    padding: int = 0
    color: ColorSpec = _BT601
    views: tuple[str, ...] = MODEL_VIEWS

    @property
    def name(self) -> str:
        """Short and unique among cases."""
        width, height = self.size
        kind = f"{self.color.matrix} {'full' if self.color.full_range else 'limited'}"
        layout = f"{self.pixel_format.value} {width}x{height}+{self.padding}"
        return f"{layout} {kind} {' '.join(self.views)}"


def correctness_cases() -> Iterator[FrameCase]:
    """Small frames in every layout and colour, then cameras' frames with the models' views."""
    colors = [ColorSpec(matrix, full) for matrix in ("bt601", "bt709") for full in (False, True)]  # type: ignore[arg-type]
    for layout, size, color in product(PixelFormat, ((32, 32), (34, 70), (66, 36)), colors):
        padding = 0 if layout is PixelFormat.I420 else 13
        yield FrameCase(layout, size, padding, color, ODD_VIEWS)
    for layout, size in product(PixelFormat, _SIZES.values()):
        yield FrameCase(layout, size, 0 if layout is PixelFormat.I420 else 64)
    yield FrameCase(PixelFormat.NV12, _SIZES["1080p"], views=CROPS)


def timing_cases() -> Iterator[FrameCase]:
    """What decoders and cameras deliver."""
    layouts = (PixelFormat.NV12, PixelFormat.BGR, PixelFormat.YUYV)
    for layout, size in product(layouts, _SIZES.values()):
        yield FrameCase(layout, size)
    yield FrameCase(PixelFormat.NV12, _SIZES["1080p"], views=CROPS)


def make_frame(case: FrameCase, seed: int) -> Frame:
    """A frame of noise on the host."""
    width, height = case.size
    channels = _CHANNELS.get(case.pixel_format.value, 1)
    rows, pitch = _rows_and_pitch(case)
    memory: NDArray[np.uint8]
    memory = np.random.default_rng(seed).integers(0, 256, (rows, pitch), np.uint8)
    data = memory[:, : width * channels]
    if channels > 1:
        strides = (pitch, channels, 1)
        data = np.lib.stride_tricks.as_strided(data, (rows, width, channels), strides)
    return Frame(data, case.pixel_format, width, height, case.color)


def frame_bytes(case: FrameCase) -> int:
    """Of the frame's array, padding included."""
    rows, pitch = _rows_and_pitch(case)
    return rows * pitch


def _rows_and_pitch(case: FrameCase) -> tuple[int, int]:
    width, height = case.size
    rows = height * 3 // 2 if case.pixel_format in _PLANAR else height
    return rows, width * _CHANNELS.get(case.pixel_format.value, 1) + case.padding


def expected_views(frame: Frame, specs: tuple[str, ...]) -> list[NDArray[np.uint8]]:
    """By the definition, sdk.preprocess."""
    rgb, found = preprocess.to_rgb(frame), []
    for view in parse_views(specs):
        if view.kind == "fragments":
            found.append(preprocess.fragments(rgb, view.rows, view.size)[None])
        elif view.kind == "resize":
            found.append(preprocess.resize(rgb, view.rows, view.columns)[None])
        else:
            found.append(preprocess.crops(rgb, view.rows, view.size))
    return found


def parse_views(specs: tuple[str, ...]) -> list[Any]:
    """`sdk.views.View` of each spec, also where the native CPU module is not built."""
    try:
        importlib.import_module("sdk._core")
    except ImportError:
        sys.modules["sdk._core"] = ModuleType("sdk._core")  # views are only described here
    views = importlib.import_module("sdk.views")
    return [views.View.parse(spec) for spec in specs]


def bytes_written(specs: tuple[str, ...]) -> int:
    """Of all views."""
    return sum(int(np.prod(view.shape)) for view in parse_views(specs))


def on_device(frame: Frame) -> Any:
    """The frame's array on the device, with its pitch."""
    import torch

    rows, pitch = frame.data.shape[0], frame.data.strides[0]
    flat = np.lib.stride_tricks.as_strided(
        frame.data, (rows, frame.width * _step(frame)), (pitch, 1)
    )
    memory = torch.zeros((rows, pitch), dtype=torch.uint8, device=place.DEVICE)
    memory[:, : flat.shape[1]] = torch.from_numpy(np.ascontiguousarray(flat)).to(place.DEVICE)
    strides = tuple(int(stride) for stride in frame.data.strides)
    return memory.as_strided(tuple(frame.data.shape), strides)


def _step(frame: Frame) -> int:
    return _CHANNELS.get(frame.pixel_format.value, 1)
