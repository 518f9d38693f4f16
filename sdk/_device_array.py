"""Arrays of any framework as pointer, shape, strides and type: DLPack, or CUDA's array interface.

Nothing is copied and nothing is kept: who calls a kernel keeps the arrays alive until its stream
has passed it, as with every asynchronous call.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from .errors import FrameError

HOST, CUDA = 1, 2  # DLPack's device types
_DEVICE_NAMES = {HOST: "host memory", CUDA: "a CUDA device"}
_TYPES = {  # DLPack's (code, bits)
    (0, 8): "int8",
    (1, 8): "uint8",
    (2, 16): "float16",
    (2, 32): "float32",
    (4, 16): "bfloat16",
}
_INTERFACE_TYPES = {"|i1": "int8", "|u1": "uint8", "<f2": "float16", "<f4": "float32"}
_BYTES = {"int8": 1, "uint8": 1, "float16": 2, "bfloat16": 2, "float32": 4}
_NO_SYNCHRONISATION = -1  # DLPack: the caller orders streams itself


class DeviceArray(NamedTuple):
    """An array that somebody else owns.

    Attributes:
        pointer: Address of the first element.
        shape: Elements along each axis.
        strides: Bytes from one element to the next along each axis.
        dtype: "int8", "uint8", "float16", "bfloat16" or "float32".
        device: (DLPack device type, number).
    """

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: tuple[int, int]

    @property
    def is_packed(self) -> bool:
        """Whether the elements lie without gaps in C order."""
        return self.strides == packed_strides(self.shape, _BYTES[self.dtype])


def device_array(array: Any) -> DeviceArray:
    """Look at an array without touching its memory.

    Args:
        array: Anything with `__dlpack__` (torch, CuPy, JAX, numpy) or `__cuda_array_interface__`
            (Numba, PyCUDA).

    Returns:
        Where it lies and how.

    Raises:
        FrameError: The array offers neither protocol, or its elements are of another type.
    """
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        return _from_dlpack(array)
    if hasattr(array, "__cuda_array_interface__"):
        return _from_interface(array)
    raise FrameError(
        f"Array is of type {type(array).__name__}; allowed are objects with __dlpack__ or "
        "__cuda_array_interface__.",
        hint="torch, CuPy, Numba and PyCUDA arrays have one of them.",
    )


def device_name(kind: int) -> str:
    """A DLPack device type in words."""
    return _DEVICE_NAMES.get(kind, f"a device of DLPack type {kind}")


def packed_strides(shape: tuple[int, ...], element: int) -> tuple[int, ...]:
    """Strides in bytes of a C-contiguous array; axes of one element have none of their own.

    Args:
        shape: Elements along each axis.
        element: Bytes of one.

    Returns:
        Bytes from one element to the next along each axis.
    """
    strides: list[int] = []
    step = element
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("number", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):  # DLTensor, with which a DLManagedTensor begins
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("axes", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),  # in elements; null: packed
        ("byte_offset", ctypes.c_uint64),
    )


def _from_dlpack(array: Any) -> DeviceArray:
    try:
        on_cuda = int(array.__dlpack_device__()[0]) == CUDA
        capsule = array.__dlpack__(**({"stream": _NO_SYNCHRONISATION} if on_cuda else {}))
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise FrameError(f"{type(array).__name__} cannot be read by DLPack: {error}.") from error
    address = _capsule_pointer(capsule, b"dltensor")
    tensor = _Tensor.from_address(address)  # the capsule frees it when it goes
    dtype = _TYPES.get((tensor.dtype.code, tensor.dtype.bits))
    if dtype is None or tensor.dtype.lanes != 1:
        raise _wrong_type(f"DLPack type {tensor.dtype.code} of {tensor.dtype.bits} bits")
    shape = tuple(tensor.shape[axis] for axis in range(tensor.axes))
    element = _BYTES[dtype]
    strides = (
        tuple(tensor.strides[axis] * element for axis in range(tensor.axes))
        if tensor.strides
        else packed_strides(shape, element)
    )
    pointer = (tensor.data or 0) + tensor.byte_offset
    device = (tensor.device.type, tensor.device.number)
    return DeviceArray(pointer, shape, _ignoring_single(shape, strides, element), dtype, device)


def _capsule_pointer(capsule: object, name: bytes) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return int(get(capsule, name))


def _from_interface(array: Any) -> DeviceArray:
    interface = array.__cuda_array_interface__
    dtype = _INTERFACE_TYPES.get(interface["typestr"])
    if dtype is None:
        raise _wrong_type(f"type {interface['typestr']!r}")
    shape = tuple(int(length) for length in interface["shape"])
    element = _BYTES[dtype]
    strides = tuple(interface.get("strides") or packed_strides(shape, element))
    pointer = int(interface["data"][0])
    return DeviceArray(pointer, shape, _ignoring_single(shape, strides, element), dtype, (CUDA, 0))


def _ignoring_single(
    shape: tuple[int, ...], strides: tuple[int, ...], element: int
) -> tuple[int, ...]:
    """The strides, with those of axes of one element (which mean nothing) as if packed."""
    packed = packed_strides(shape, element)
    return tuple(
        own if length > 1 else usual
        for length, own, usual in zip(shape, strides, packed, strict=True)
    )


def _wrong_type(what: str) -> FrameError:
    return FrameError(f"Array elements are of {what}; allowed are {', '.join(_BYTES)}.")
