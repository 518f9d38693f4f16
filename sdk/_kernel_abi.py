"""The C ABI of the CUDA kernels: structures and enumerators of framescore/kernels/*.h, loading."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from .errors import BackendError

LIBRARY = "libframescore_kernels.so"
ENVIRONMENT = "FRAMESCORE_KERNELS"  # path of the library where it does not lie beside this file
CUDA_REFUSED = (6, 7)  # kNoKernelImage, kLaunchFailed of status.h

# Enumerators by number, as in the headers.
FORMATS = ("bgr", "rgb", "gray", "bgra", "rgba", "nv12", "i420", "yuyv")
MATRICES = ("bt601", "bt709")
VIEW_KINDS = ("fragments", "resize", "crops")
HALF_TYPES = ("float16", "bfloat16")
ROW_TYPES = ("float16", "bfloat16", "float32")


class DeviceFrame(ctypes.Structure):
    """Of preprocess.h."""

    _fields_ = (
        ("format", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("matrix", ctypes.c_int32),
        ("full_range", ctypes.c_int32),
        ("plane", ctypes.c_void_p * 3),
        ("stride", ctypes.c_int64 * 3),
    )


class ViewOutput(ctypes.Structure):
    """Of preprocess.h."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("size", ctypes.c_int32),
        ("out", ctypes.c_void_p),
    )


class AttentionShape(ctypes.Structure):
    """Of attention.h."""

    _fields_ = (
        ("type", ctypes.c_int32),
        ("batch", ctypes.c_int32),
        ("tokens", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("bias_stride", ctypes.c_int32),
        ("mask_stride", ctypes.c_int32),
    )


class LayerNormShape(ctypes.Structure):
    """Of layer_norm.h."""

    _fields_ = (
        ("rows", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
    )


class LayerNormTensors(ctypes.Structure):
    """Of layer_norm.h."""

    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ("input", "residual", "gamma", "beta", "sum", "output")
    )


class Int8AttentionShape(ctypes.Structure):
    """Of attention_int8.h."""

    _fields_ = (
        ("batch", ctypes.c_int32),
        ("tokens", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
        ("scale", ctypes.c_float),
    )


class QuantizedQk(ctypes.Structure):
    """Of attention_int8.h."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("q", "k", "q_scale", "k_scale"))


class ChannelAttentionShape(ctypes.Structure):
    """Of channel_attention.h."""

    _fields_ = (
        ("type", ctypes.c_int32),
        ("batch", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("positions", ctypes.c_int32),
        ("qkv_stride", ctypes.c_int32),
        ("residual_stride", ctypes.c_int32),
        ("out_stride", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
    )


class ChannelAttentionTensors(ctypes.Structure):
    """Of channel_attention.h."""

    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ("q", "k", "v", "gamma", "beta", "residual", "out")
    )


def default_path() -> Path:
    """What the environment names, or the library beside this file."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else Path(__file__).parent / LIBRARY


def load(path: Path) -> ctypes.CDLL:
    """Load the library; a GPU is needed for calls only.

    Args:
        path: The shared library.

    Returns:
        It, with the types of what it returns.

    Raises:
        BackendError: It is not there or not ours.
    """
    try:
        library = ctypes.CDLL(str(path))
        library.framescore_describe_status.restype = ctypes.c_char_p
        library.framescore_take_cuda_error.restype = ctypes.c_char_p
    except (OSError, AttributeError) as error:
        raise BackendError(
            f"The CUDA kernels cannot be loaded: {error}.",
            hint="Build them: cmake -B build -DFRAMESCORE_CUDA=ON && cmake --build build, then set "
            f"{ENVIRONMENT}=build/kernels/{LIBRARY}.",
        ) from error
    return library
