"""The definition of every view, in numpy: training and runtime share it.

`sdk._core` computes the same bytes without converting the whole frame; where they differ, this
module is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .frames import ColorSpec, Frame, PixelFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # (Kr, Kb), ITU-R


def to_rgb(frame: Frame) -> NDArray[np.uint8]:
    """Convert a whole frame to RGB.

    Y'CbCr is converted per pixel with the chroma sample that covers it (nearest), so conversion
    and picking pixels commute. In integers (`>>` floors), with the coefficients of
    `yuv_coefficients`::

        l = (max(Y - y_offset, 0) * y >> 1) + 32
        R = clip((l + v_to_r * (V - 128)) >> 6, 0, 255)
        G = clip((l - u_to_g * (U - 128) - v_to_g * (V - 128)) >> 6, 0, 255)
        B = clip((l + u_to_b * (U - 128)) >> 6, 0, 255)

    which for BT.601 limited range is within 1 of OpenCV's result. Alpha is ignored.

    Args:
        frame: Any frame of any pixel format.

    Returns:
        uint8 [height, width, 3], RGB, contiguous.
    """
    data, layout = frame.data, frame.pixel_format
    if layout is PixelFormat.GRAY:
        return np.repeat(data[:, :, None], 3, axis=2)
    if layout in (PixelFormat.BGR, PixelFormat.BGRA):
        return np.ascontiguousarray(data[:, :, 2::-1])
    if layout in (PixelFormat.RGB, PixelFormat.RGBA):
        return np.ascontiguousarray(data[:, :, :3])
    return _yuv_to_rgb(*_yuv_planes(frame), frame.color)


def fragments(rgb: NDArray[np.uint8], grid: int = 7, patch: int = 32) -> NDArray[np.uint8]:
    """Splice a grid of native-resolution patches: noise, blur and blocking stay as they are.

    Patch (i, j) starts at row ``i * (H - patch) // (grid - 1)`` and column
    ``j * (W - patch) // (grid - 1)``; with ``grid == 1`` it is the centre patch.

    Args:
        rgb: uint8 [H, W, 3].
        grid: Patches along each axis.
        patch: Side of a patch in pixels, at most min(H, W).

    Returns:
        uint8 [grid * patch, grid * patch, 3].
    """
    ys = _window_pixels(rgb.shape[0], grid, patch)  # [grid * patch]
    xs = _window_pixels(rgb.shape[1], grid, patch)
    return np.ascontiguousarray(rgb[ys[:, None], xs])


def resize(
    rgb: NDArray[np.uint8], height: int = 224, width: int = 224, taps: int = 4
) -> NDArray[np.uint8]:
    """Bring the whole frame to one size by a bounded number of samples per output pixel.

    Each output pixel is ``(sum + taps**2 // 2) // taps**2`` over taps x taps samples; sample k of
    output i along an axis of n pixels for m outputs sits at
    ``((2 * (taps * i + k) + 1) * n) // (2 * taps * m)``. The cost does not grow with the frame.

    Args:
        rgb: uint8 [H, W, 3].
        height: Rows of the result.
        width: Columns of the result.
        taps: Samples per output pixel along each axis, 1 to 16.

    Returns:
        uint8 [height, width, 3].
    """
    ys = _sample_positions(rgb.shape[0], height, taps)  # [height * taps]
    xs = _sample_positions(rgb.shape[1], width, taps)
    samples = rgb[ys[:, None], xs].reshape(height, taps, width, taps, 3)
    sums = samples.sum(axis=(1, 3), dtype=np.uint32)  # [height, width, 3]
    means: NDArray[np.uint32] = (sums + taps**2 // 2) // taps**2
    return means.astype(np.uint8)


def crops(rgb: NDArray[np.uint8], grid: int = 5, size: int = 224) -> NDArray[np.uint8]:
    """Cut a grid of evenly spaced native-resolution crops; their starts are those of `fragments`.

    Args:
        rgb: uint8 [H, W, 3].
        grid: Crops along each axis.
        size: Side of a crop in pixels, at most min(H, W).

    Returns:
        uint8 [grid * grid, size, size, 3], row by row.
    """
    ys = _window_pixels(rgb.shape[0], grid, size).reshape(grid, 1, size, 1)
    xs = _window_pixels(rgb.shape[1], grid, size).reshape(1, grid, 1, size)
    return rgb[ys, xs].reshape(grid * grid, size, size, 3)


class YuvCoefficients(NamedTuple):
    """Y'CbCr to RGB in fixed point, luma scaled by 2**7 and chroma by 2**6; see `to_rgb`."""

    y_offset: int
    y: int
    v_to_r: int
    u_to_g: int
    v_to_g: int
    u_to_b: int


def yuv_coefficients(color: ColorSpec) -> YuvCoefficients:
    """The integer coefficients of a colour specification, from its luma weights Kr and Kb.

    Args:
        color: Matrix and range of the samples.

    Returns:
        Scaled integers, rounded half up.
    """
    kr, kb = _LUMA_WEIGHTS[color.matrix]
    kg = 1.0 - kr - kb
    luma = 1.0 if color.full_range else 255.0 / 219.0
    chroma = 2.0 if color.full_range else 2.0 * 255.0 / 224.0
    return YuvCoefficients(
        0 if color.full_range else 16,
        _fixed_point(luma, 7),
        _fixed_point(chroma * (1.0 - kr), 6),
        _fixed_point(chroma * (1.0 - kb) * kb / kg, 6),
        _fixed_point(chroma * (1.0 - kr) * kr / kg, 6),
        _fixed_point(chroma * (1.0 - kb), 6),
    )


def _fixed_point(value: float, bits: int) -> int:
    return int(value * (1 << bits) + 0.5)


def _window_pixels(n: int, grid: int, size: int) -> NDArray[np.intp]:
    """The pixels along one axis that `grid` evenly spaced windows cover: [grid * size]."""
    if not (grid >= 1 and 1 <= size <= n):
        raise ValueError(f"{grid} windows of {size} pixels do not fit an axis of {n} pixels.")
    starts = [(n - size) // 2] if grid == 1 else [i * (n - size) // (grid - 1) for i in range(grid)]
    return (np.asarray(starts, np.intp)[:, None] + np.arange(size)).ravel()


def _sample_positions(n: int, outputs: int, taps: int) -> NDArray[np.intp]:
    """The pixels along one axis that a bounded-tap resize reads: [outputs * taps]."""
    samples = np.arange(outputs * taps, dtype=np.int64)
    return ((2 * samples + 1) * n // (2 * taps * outputs)).astype(np.intp)


def _yuv_planes(frame: Frame) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Y, U and V of every pixel, each int32 [height, width]."""
    data, height, width = frame.data, frame.height, frame.width
    if frame.pixel_format is PixelFormat.YUYV:
        luma, chroma = data[:, :, 0], data[:, :, 1]  # chroma: U V U V ...
        u, v = chroma[:, 0::2], chroma[:, 1::2]
        rows = 1
    else:
        luma, chroma = data[:height], data[height:]
        rows = 2
        if frame.pixel_format is PixelFormat.NV12:
            u, v = chroma[:, 0::2], chroma[:, 1::2]
        else:  # i420: all of U, then all of V
            u, v = chroma.reshape(2, height // 2, width // 2)
    u, v = (plane.repeat(rows, axis=0).repeat(2, axis=1) for plane in (u, v))
    return luma.astype(np.int32), u.astype(np.int32), v.astype(np.int32)


def _yuv_to_rgb(
    y: NDArray[np.int32], u: NDArray[np.int32], v: NDArray[np.int32], color: ColorSpec
) -> NDArray[np.uint8]:
    k = yuv_coefficients(color)
    luma = np.maximum(y - k.y_offset, 0) * k.y // 2 + 32
    cb, cr = u - 128, v - 128
    rgb = np.stack(
        (luma + k.v_to_r * cr, luma - k.u_to_g * cb - k.v_to_g * cr, luma + k.u_to_b * cb), axis=-1
    )
    clipped: NDArray[np.int32] = np.clip(rgb >> 6, 0, 255)
    return clipped.astype(np.uint8)
