"""Frames: what can be scored, and how anything a caller holds becomes one."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from .errors import FrameError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Matrix = Literal["bt601", "bt709"]

MIN_SIDE = 32  # pixels; below this there is nothing to judge
MAX_SIDE = 32768  # pixels


class PixelFormat(str, Enum):
    """How a frame's samples lie in its array (the shapes are those of `Frame.data`)."""

    BGR = "bgr"  # [H, W, 3]
    RGB = "rgb"  # [H, W, 3]
    GRAY = "gray"  # [H, W]
    BGRA = "bgra"  # [H, W, 4]
    RGBA = "rgba"  # [H, W, 4]
    NV12 = "nv12"  # [H * 3/2, W]: Y, then U and V interleaved
    I420 = "i420"  # [H * 3/2, W]: Y, then all of U, then all of V
    YUYV = "yuyv"  # [H, W, 2]: Y U Y V ...


@dataclass(frozen=True, slots=True)
class ColorSpec:
    """How Y'CbCr samples were made; other formats ignore it.

    Attributes:
        matrix: Luma weights, "bt601" or "bt709".
        full_range: Luma spans 0-255 rather than 16-235.
    """

    matrix: Matrix = "bt601"
    full_range: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture and where it came from. The array is borrowed, not copied.

    Attributes:
        data: uint8; bgr/rgb [H, W, 3], gray [H, W], bgra/rgba [H, W, 4], nv12/i420 [H * 3/2, W]
            (OpenCV's plane layout), yuyv [H, W, 2]. Rows may be padded, pixels are packed.
        pixel_format: Layout of `data`.
        width: Pixels per row of the picture.
        height: Rows of the picture.
        color: Meaning of Y'CbCr samples.
        index: 0-based position in its source.
        pts_s: Presentation time in seconds, if known.
        source: Name of the source.
        dropped: Frames a live source has dropped so far.
        captured_at: `time.perf_counter()` when the frame was decoded.
    """

    data: NDArray[np.uint8]
    pixel_format: PixelFormat
    width: int
    height: int
    color: ColorSpec = ColorSpec()
    index: int = 0
    pts_s: float | None = None
    source: str = ""
    dropped: int = 0
    captured_at: float | None = None


class _Layout(NamedTuple):
    """What an array of one pixel format looks like."""

    channels: int  # samples on the last axis; 1 means the array is [rows, width]
    even: tuple[bool, bool]  # whether (height, width) must be even
    shape: str  # for messages


_LAYOUTS = {
    PixelFormat.BGR: _Layout(3, (False, False), "[height, width, 3]"),
    PixelFormat.RGB: _Layout(3, (False, False), "[height, width, 3]"),
    PixelFormat.GRAY: _Layout(1, (False, False), "[height, width]"),
    PixelFormat.BGRA: _Layout(4, (False, False), "[height, width, 4]"),
    PixelFormat.RGBA: _Layout(4, (False, False), "[height, width, 4]"),
    PixelFormat.NV12: _Layout(1, (True, True), "[height * 3/2, width]"),
    PixelFormat.I420: _Layout(1, (True, True), "[height * 3/2, width]"),
    PixelFormat.YUYV: _Layout(2, (False, True), "[height, width, 2]"),
}
_PLANAR_420 = (PixelFormat.NV12, PixelFormat.I420)
_HOST_DEVICES = (1, 3, 11)  # DLPack: kDLCPU, kDLCUDAHost, kDLROCMHost


def as_frame(
    image: object,
    *,
    format: str = "bgr",
    size: tuple[int, int] | None = None,
    matrix: str = "bt601",
    full_range: bool = False,
) -> Frame:
    """Wrap whatever holds a picture on the host as a `Frame`, without copying where possible.

    With the default format a 2-D array is taken as gray and four channels as BGRA (as RGBA when
    the format is "rgb").

    Args:
        image: uint8 numpy array, an object with `__dlpack__` or `__array_interface__`, bytes, or a
            Frame (returned as it is, the other arguments unused).
        format: A `PixelFormat` value.
        size: (width, height) in pixels; needed only for flat data, and for YUYV given as
            [height, width * 2].
        matrix: "bt601" or "bt709", for Y'CbCr formats.
        full_range: Luma spans 0-255 rather than 16-235, for Y'CbCr formats.

    Returns:
        A frame that borrows the image's memory unless its pixels were not packed.

    Raises:
        FrameError: Wrong type, dtype, shape or size, or memory that is not on the host.
        UsageError: Unknown `format` or `matrix`, or a `size` that is not two positive integers.
    """
    if isinstance(image, Frame):
        return image
    pixel_format = _parse_format(format)
    color = _parse_color(matrix, full_range)
    data = _as_uint8(_host_array(image))
    if size is not None:
        data = _with_size(data, pixel_format, size)
    pixel_format = _recognise(data, pixel_format)
    data = _canonical(data, pixel_format)
    width, height = _picture_size(data, pixel_format)
    return Frame(_packed(data, pixel_format), pixel_format, width, height, color)


def _parse_format(name: str) -> PixelFormat:
    try:
        return PixelFormat(name)
    except ValueError:
        allowed = ", ".join(layout.value for layout in PixelFormat)
        raise UsageError(f"Pixel format is {name!r}; allowed are {allowed}.") from None


def _parse_color(matrix: str, full_range: bool) -> ColorSpec:
    for known in get_args(Matrix):
        if matrix == known:
            return ColorSpec(known, bool(full_range))
    raise UsageError(f"Colour matrix is {matrix!r}; allowed are {', '.join(get_args(Matrix))}.")


def _host_array(image: object) -> NDArray[np.generic]:
    """The image as a numpy array that shares its memory."""
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, (bytes, bytearray)):
        return np.frombuffer(image, np.uint8)
    if isinstance(image, memoryview):
        return np.asarray(image)
    if hasattr(image, "__dlpack__") and hasattr(image, "__dlpack_device__"):
        return _from_dlpack(image)
    if hasattr(image, "__array_interface__"):
        return np.asarray(image)
    raise FrameError(
        f"Frame is of type {type(image).__name__}; allowed are a uint8 numpy array, an object with "
        "__dlpack__ or __array_interface__ in host memory, bytes with a size, and sdk.Frame.",
        hint="Pass numpy.asarray(image, dtype=numpy.uint8), or open files with sdk.open_source.",
    )


def _from_dlpack(image: object) -> NDArray[np.generic]:
    try:
        device = int(image.__dlpack_device__()[0])  # type: ignore[attr-defined]
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise _unreadable(image, error) from error
    if device not in _HOST_DEVICES:
        raise FrameError(
            f"Frame is a {type(image).__name__} on DLPack device type {device}; only host memory "
            "is accepted.",
            hint="Copy it to the host first, for example with tensor.cpu().",
        )
    try:
        return np.from_dlpack(image)  # type: ignore[arg-type]
    except (BufferError, RuntimeError, TypeError) as error:
        raise _unreadable(image, error) from error


def _unreadable(image: object, error: Exception) -> FrameError:
    return FrameError(
        f"Frame of type {type(image).__name__} cannot be read through DLPack: {error}.",
        hint="Convert it to a uint8 numpy array first.",
    )


def _as_uint8(data: NDArray[np.generic]) -> NDArray[np.uint8]:
    if data.dtype == np.uint8:
        if data.size == 0:
            raise FrameError(f"Frame is empty: its shape is {data.shape}; it needs pixels.")
        return data.view(np.ndarray)
    raise FrameError(
        f"Frame has dtype {data.dtype}{_nan_note(data)}; allowed is uint8.", hint=_dtype_hint(data)
    )


def _nan_note(data: NDArray[np.generic]) -> str:
    if data.dtype.kind != "f":
        return ""
    count = int(np.isnan(data).sum())
    return f" with {count} NaN values" if count else ""


def _dtype_hint(data: NDArray[np.generic]) -> str:
    if data.dtype.kind == "f":
        return (
            "For values in 0-1: (image.clip(0, 1) * 255 + 0.5).astype(numpy.uint8), after "
            "replacing NaN."
        )
    if data.dtype == np.uint16:
        return "For 16-bit samples: (image >> 8).astype(numpy.uint8); for N-bit ones shift by N-8."
    if data.dtype == np.bool_:
        return "For a mask: image.astype(numpy.uint8) * 255."
    return "Bring the samples to 0-255 and convert with astype(numpy.uint8)."


def _with_size(
    data: NDArray[np.uint8], pixel_format: PixelFormat, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Give flat data, or YUYV rows, the shape its format and size ask for."""
    try:
        width, height = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise UsageError(
            f"Frame size is {size!r}; it must be two whole numbers: width, height."
        ) from None
    rows, columns, channels = _array_shape(pixel_format, width, height)
    if data.size != rows * columns * channels:
        raise FrameError(
            f"Frame data has {data.size} bytes; a {width}x{height} {pixel_format.value} frame has "
            f"{rows * columns * channels}.",
            hint="Check size=(width, height) and format.",
        )
    if data.ndim > 1 and data.shape[0] != rows:
        raise FrameError(
            f"Frame has shape {tuple(data.shape)}; a {width}x{height} {pixel_format.value} frame "
            f"has {rows} rows.",
            hint="Check size=(width, height): width comes first. Arrays that have their shape "
            "need no size.",
        )
    return data.reshape((rows, columns) if channels == 1 else (rows, columns, channels))


def _array_shape(pixel_format: PixelFormat, width: int, height: int) -> tuple[int, int, int]:
    """(rows, columns, channels) of a frame's array."""
    _check_picture(pixel_format, width, height)
    rows = height * 3 // 2 if pixel_format in _PLANAR_420 else height
    return rows, width, _LAYOUTS[pixel_format].channels


def _recognise(data: NDArray[np.uint8], pixel_format: PixelFormat) -> PixelFormat:
    """Tell gray and four-channel arrays from three-channel ones."""
    if pixel_format not in (PixelFormat.BGR, PixelFormat.RGB):
        return pixel_format
    if data.ndim == 2 or (data.ndim == 3 and data.shape[2] == 1):
        return PixelFormat.GRAY
    if data.ndim == 3 and data.shape[2] == 4:
        return PixelFormat.BGRA if pixel_format is PixelFormat.BGR else PixelFormat.RGBA
    return pixel_format


def _canonical(data: NDArray[np.uint8], pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """Check the array's axes against its format; [H, W, 1] loses its last axis."""
    layout = _LAYOUTS[pixel_format]
    if layout.channels == 1 and data.ndim == 3 and data.shape[2] == 1:
        data = data[:, :, 0]
    axes = 2 if layout.channels == 1 else 3
    if data.ndim == axes and (axes == 2 or data.shape[2] == layout.channels):
        return data
    raise FrameError(
        f"Frame has shape {tuple(data.shape)}; a {pixel_format.value} frame is {layout.shape}.",
        hint=_shape_hint(data, pixel_format),
    )


def _shape_hint(data: NDArray[np.uint8], pixel_format: PixelFormat) -> str:
    if data.ndim == 1 or (data.ndim == 2 and pixel_format is PixelFormat.YUYV):
        return "Pass size=(width, height) with data that carries no shape."
    if data.ndim == 4:
        return "That is a batch: pass its frames one by one, or use Scorer.score_batch."
    if data.ndim == 3 and data.shape[0] in (1, 3, 4):
        return "Channels come last: transpose it with image.transpose(1, 2, 0)."
    return "Pass the format the data has: format='bgr', 'rgb', 'gray', 'nv12' and so on."


def _picture_size(data: NDArray[np.uint8], pixel_format: PixelFormat) -> tuple[int, int]:
    """(width, height) of the picture an array holds, checked."""
    rows, width = int(data.shape[0]), int(data.shape[1])
    height = rows
    if pixel_format in _PLANAR_420:
        if rows % 3:
            raise FrameError(
                f"Frame has {rows} rows; a {pixel_format.value} array has height * 3/2 rows, a "
                "multiple of 3.",
                hint="Pass the Y plane and the chroma planes in one array.",
            )
        height = rows // 3 * 2
    _check_picture(pixel_format, width, height)
    return width, height


def _check_picture(pixel_format: PixelFormat, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
        raise FrameError(
            f"Frame is {width}x{height} pixels; allowed are {MIN_SIDE} to {MAX_SIDE} a side.",
            hint="Enlarge or crop the picture; quality is judged at native resolution.",
        )
    even_height, even_width = _LAYOUTS[pixel_format].even
    if (even_height and height % 2) or (even_width and width % 2):
        what = "width and height" if even_height else "width"
        raise FrameError(
            f"Frame is {width}x{height} pixels; {pixel_format.value} shares chroma between "
            f"neighbours and needs an even {what}.",
            hint="Crop the odd row or column, or convert to bgr first.",
        )


def _packed(data: NDArray[np.uint8], pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """The array itself if its pixels are packed (rows may be padded), else a copy."""
    if pixel_format is PixelFormat.I420:  # its chroma rows are half a row of the array
        return np.ascontiguousarray(data)
    channels = _LAYOUTS[pixel_format].channels
    packed = data.strides[1] == channels and (channels == 1 or data.strides[2] == 1)
    return data if packed else np.ascontiguousarray(data)
