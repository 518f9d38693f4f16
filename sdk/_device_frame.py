"""A frame's array in device memory, as the frame kernel takes it."""

from __future__ import annotations

from ._device_array import DeviceArray
from ._kernel_abi import FORMATS, MATRICES, DeviceFrame
from .errors import FrameError
from .frames import ColorSpec, PixelFormat

_CHANNELS = {"bgr": 3, "rgb": 3, "bgra": 4, "rgba": 4, "yuyv": 2}  # others have 1


def device_frame(data: DeviceArray, pixel_format: PixelFormat, color: ColorSpec) -> DeviceFrame:
    """Find the planes of an array that is shaped like `Frame.data`.

    Args:
        data: uint8; its rows may be padded.
        pixel_format: Layout of `data`.
        color: Meaning of Y'CbCr samples.

    Returns:
        The structure of preprocess.h.

    Raises:
        FrameError: The array has another shape, type or strides.
    """
    axes = 3 if pixel_format.value in _CHANNELS else 2
    channels = _CHANNELS.get(pixel_format.value, 1)
    packed = (channels, 1) if axes == 3 else (1,)
    shaped = len(data.shape) == axes and (axes == 2 or data.shape[2] == channels)
    if data.dtype != "uint8" or not shaped or data.strides[1:] != packed:
        raise FrameError(
            f"Frame is {data.dtype} {list(data.shape)} with strides {list(data.strides)}; a "
            f"{pixel_format.value} frame has {axes} axes"
            f"{f', {channels} samples a pixel' if axes == 3 else ''} and packed pixels of uint8."
        )
    rows, width = data.shape[:2]
    frame = DeviceFrame(
        FORMATS.index(pixel_format.value), width, rows, MATRICES.index(color.matrix),
        int(color.full_range),
    )  # fmt: skip
    frame.plane[0], frame.stride[0] = data.pointer, data.strides[0]
    if pixel_format in (PixelFormat.NV12, PixelFormat.I420):
        _add_chroma(frame, data, pixel_format)
    return frame


def _add_chroma(frame: DeviceFrame, data: DeviceArray, pixel_format: PixelFormat) -> None:
    rows, pitch = data.shape[0], data.strides[0]
    if rows % 3 or (pixel_format is PixelFormat.I420 and not data.is_packed):
        raise FrameError(
            f"Frame has {rows} rows of {pitch} bytes; a {pixel_format.value} array has "
            "height * 3/2 rows, and an i420 one no padding."
        )
    frame.height = rows // 3 * 2
    frame.plane[1] = data.pointer + frame.height * pitch
    frame.stride[1] = pitch
    if pixel_format is PixelFormat.I420:
        frame.stride[1] = frame.stride[2] = frame.width // 2
        frame.plane[2] = frame.plane[1] + frame.height // 2 * (frame.width // 2)
