"""How raw video bytes become frames: one entry per layout, zero-copy wherever the layout allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import PixelFormat

Bytes = NDArray[np.uint8]  # one frame as read, [frame_bytes]


@dataclass(frozen=True, slots=True)
class Layout:
    """A raw video layout.

    Attributes:
        name: ffmpeg's name of it.
        pixel_format: Format of the frames made from it.
        frame_bytes: (width, height) → bytes of one frame.
        arrange: (bytes, width, height) → `Frame.data`; odd sizes lose their last column or row
            where the frame's format stores chroma for pairs of pixels.
    """

    name: str
    pixel_format: PixelFormat
    frame_bytes: Callable[[int, int], int]
    arrange: Callable[[Bytes, int, int], Bytes]


def _half(side: int) -> int:
    return (side + 1) // 2  # chroma planes are rounded up


def _even(side: int) -> int:
    return side & ~1


def _packed(channels: int) -> Callable[[Bytes, int, int], Bytes]:
    def arrange(data: Bytes, width: int, height: int) -> Bytes:
        return data.reshape((height, width, channels))  # [H, W, C]

    return arrange


def _gray(data: Bytes, width: int, height: int) -> Bytes:
    return data.reshape((height, width))  # [H, W]


def _gray_limited(data: Bytes, width: int, height: int) -> Bytes:
    """Expand 16…235 to 0…255: a gray frame has no colour range of its own."""
    levels = (np.arange(256) - 16) * 255 / 219
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return table[data].reshape((height, width))  # [H, W]


def _i420(data: Bytes, width: int, height: int) -> Bytes:
    if width % 2 == 0 and height % 2 == 0:
        return data.reshape((height * 3 // 2, width))  # [H*3/2, W], no copy
    luma, cb, cr = _planes(data, width, height, _half(width), _half(height))
    even_w, even_h = _even(width), _even(height)
    chroma = [plane[: even_h // 2, : even_w // 2].ravel() for plane in (cb, cr)]
    cropped = np.concatenate([luma[:even_h, :even_w].ravel(), *chroma])
    return cropped.reshape((even_h * 3 // 2, even_w))


def _nv12(data: Bytes, width: int, height: int) -> Bytes:
    if width % 2 == 0 and height % 2 == 0:
        return data.reshape((height * 3 // 2, width))  # [H*3/2, W], no copy
    luma = data[: width * height].reshape((height, width))
    chroma = data[width * height :].reshape((_half(height), 2 * _half(width)))  # [H/2, W] CbCr
    even_w, even_h = _even(width), _even(height)
    return np.concatenate([luma[:even_h, :even_w], chroma[: even_h // 2, :even_w]])


def _i422(data: Bytes, width: int, height: int) -> Bytes:
    """Interleave planar 4:2:2 as YUYV; nothing is lost."""
    luma, cb, cr = _planes(data, width, height, _half(width), height)
    return _yuyv(luma, cb, cr)


def _i444(data: Bytes, width: int, height: int) -> Bytes:
    """Average 4:4:4 chroma over pairs of columns, the finest chroma a frame carries."""
    luma, cb, cr = _planes(data, width, height, width, height)
    even_w = _even(width)
    halves = [
        ((plane[:, 0:even_w:2].astype(np.uint16) + plane[:, 1:even_w:2] + 1) // 2).astype(np.uint8)
        for plane in (cb, cr)
    ]
    return _yuyv(luma, halves[0], halves[1])


def _planes(
    data: Bytes, width: int, height: int, chroma_w: int, chroma_h: int
) -> tuple[Bytes, Bytes, Bytes]:
    """Split one frame's bytes: luma [H, W], Cb and Cr [chroma_h, chroma_w]."""
    luma_end = width * height
    cb_end = luma_end + chroma_w * chroma_h
    luma = data[:luma_end].reshape((height, width))
    cb = data[luma_end:cb_end].reshape((chroma_h, chroma_w))
    return luma, cb, data[cb_end:].reshape((chroma_h, chroma_w))


def _yuyv(luma: Bytes, cb: Bytes, cr: Bytes) -> Bytes:
    height, width = luma.shape[0], _even(luma.shape[1])
    packed = np.empty((height, width, 2), np.uint8)  # [H, W, (Y, Cb|Cr)]
    packed[..., 0] = luma[:, :width]
    packed[:, 0::2, 1] = cb[:, : width // 2]
    packed[:, 1::2, 1] = cr[:, : width // 2]
    return packed


def _subsampled_bytes(width: int, height: int) -> int:
    return width * height + 2 * _half(width) * _half(height)


_LAYOUTS = (
    Layout("bgr24", PixelFormat.BGR, lambda w, h: 3 * w * h, _packed(3)),
    Layout("rgb24", PixelFormat.RGB, lambda w, h: 3 * w * h, _packed(3)),
    Layout("bgra", PixelFormat.BGRA, lambda w, h: 4 * w * h, _packed(4)),
    Layout("rgba", PixelFormat.RGBA, lambda w, h: 4 * w * h, _packed(4)),
    Layout("gray", PixelFormat.GRAY, lambda w, h: w * h, _gray),
    Layout("gray-limited", PixelFormat.GRAY, lambda w, h: w * h, _gray_limited),
    Layout("nv12", PixelFormat.NV12, _subsampled_bytes, _nv12),
    Layout("yuv420p", PixelFormat.I420, _subsampled_bytes, _i420),
    Layout("yuyv422", PixelFormat.YUYV, lambda w, h: 2 * w * h, _packed(2)),
    Layout("yuv422p", PixelFormat.YUYV, lambda w, h: w * h + 2 * _half(w) * h, _i422),
    Layout("yuv444p", PixelFormat.YUYV, lambda w, h: 3 * w * h, _i444),
)
LAYOUTS = {layout.name: layout for layout in _LAYOUTS}

# What rawvideo may be called on the command line: ffmpeg's names and this SDK's.
RAW_FORMATS = {
    "bgr24": "bgr24",
    "bgr": "bgr24",
    "rgb24": "rgb24",
    "rgb": "rgb24",
    "bgra": "bgra",
    "rgba": "rgba",
    "gray": "gray",
    "gray8": "gray",
    "nv12": "nv12",
    "i420": "yuv420p",
    "yuv420p": "yuv420p",
    "yuyv422": "yuyv422",
    "yuyv": "yuyv422",
    "yuv422p": "yuv422p",
    "yuv444p": "yuv444p",
}
