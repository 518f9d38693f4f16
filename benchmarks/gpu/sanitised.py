"""Small launches of every kernel, to be run under compute-sanitizer; without torch, which is slow
there. Memory comes from cudaMalloc, each buffer exactly as large as its tensor.

    compute-sanitizer --tool memcheck python -m benchmarks.gpu.sanitised KERNELS.so PROBES.so
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu import frame_cases
from sdk._kernels import Kernels
from sdk.errors import BackendError
from sdk.frames import PixelFormat

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
LENGTHS = (17, 65, 197, 577)
_CHANNELS = 128
_POSITIONS = (196, 49)
_WIDTHS = (49, 196, 384)


class Device:
    """Device memory by the runtime that the probes carry.

    Args:
        probes: `kernel_library.PROBES`.
    """

    def __init__(self, probes: Path) -> None:
        self._library = ctypes.CDLL(str(probes))
        self._library.probe_allocate.restype = ctypes.c_void_p
        self._library.probe_allocate.argtypes = [ctypes.c_size_t]
        self._library.probe_free.argtypes = [ctypes.c_void_p]
        self._library.probe_upload.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]

    def empty(self, shape: Sequence[int], typestr: str) -> DeviceBuffer:
        """Memory that nothing has written, so that initcheck sees who reads it."""
        size = int(np.prod(shape)) * np.dtype(typestr).itemsize
        pointer = self._library.probe_allocate(size)
        if not pointer:
            raise RuntimeError(f"The device has no {size} bytes.")
        return DeviceBuffer(pointer, tuple(shape), typestr)

    def upload(self, array: NDArray[Any]) -> DeviceBuffer:
        """A copy of a host array."""
        packed = np.ascontiguousarray(array)
        buffer = self.empty(packed.shape, packed.dtype.str)
        if self._library.probe_upload(buffer.pointer, packed.ctypes.data, packed.nbytes):
            raise RuntimeError("The copy to the device failed.")
        return buffer

    def wait(self) -> None:
        """Until the device has done all; raises what went wrong there."""
        if error := self._library.probe_wait():
            raise RuntimeError(f"A kernel failed with CUDA error {error}.")

    def free(self, *buffers: DeviceBuffer) -> None:
        """Give memory back."""
        for buffer in buffers:
            self._library.probe_free(buffer.pointer)


class DeviceBuffer:
    """Packed device memory as CUDA's array interface shows it."""

    def __init__(self, pointer: int, shape: tuple[int, ...], typestr: str) -> None:
        self.pointer = pointer
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": typestr, "data": (pointer, False), "version": 3,
        }  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Launch everything; the last line says how many launches there were."""
    kernels, device = Kernels(Path(arguments[0])), Device(Path(arguments[1]))
    rng = np.random.default_rng(0)
    launches = 0
    for run in (run_attention, run_channel_attention, run_layer_norm, run_frames):
        launches += run(kernels, device, rng)
    print(f"{launches} launches")
    return 0


def run_attention(kernels: Kernels, device: Device, rng: np.random.Generator) -> int:
    """Every tile, with and without bias and mask; then the 8-bit form."""
    launches = 0
    for tokens, tile, extras in product(LENGTHS, range(6), (False, True)):
        shape = (1, tokens, 3, 2, 64)
        qkv = device.upload(rng.normal(size=shape).astype(np.float16))
        out = device.empty((1, tokens, 2, 64), "<f2")
        stride = tokens + tokens % 2
        bias = device.upload(rng.normal(size=(2, tokens, stride)).astype(np.float16))
        mask = device.upload(rng.integers(0, 2, (1, tokens), dtype=np.uint8))
        given: dict[str, Any] = {"bias": bias, "mask": mask} if extras else {}
        launches += _launched(device, kernels.attention, qkv, out, tile=tile, **given)
        device.free(qkv, out, bias, mask)
    for tokens in LENGTHS:
        qkv = device.upload(rng.normal(size=(1, tokens, 3, 2, 64)).astype(np.float16))
        out = device.empty((1, tokens, 2, 64), "<f2")
        space = device.empty((kernels.int8_workspace(qkv),), "|u1")
        launches += _launched(device, kernels.attention_int8, qkv, out, space)
        device.free(qkv, out, space)
    return launches


def run_channel_attention(kernels: Kernels, device: Device, rng: np.random.Generator) -> int:
    """Every tile and the linearised form."""
    launches = 0
    for positions in _POSITIONS:
        stride, even = -(-positions // 8) * 8, positions + positions % 2
        qkv = device.upload(rng.normal(size=(2, _CHANNELS, 3, stride)).astype(np.float16))
        scales = rng.normal(size=(2, positions)).astype(np.float32)
        gamma, beta = (device.upload(one) for one in scales)
        residual = device.upload(rng.normal(size=(2, _CHANNELS, even)).astype(np.float16))
        for tile in (*range(5), None):
            out = device.empty((2, _CHANNELS, even), "<f2")
            space = device.empty((kernels.channel_workspace(qkv, positions),), "|u1")
            given: dict[str, Any] = {"workspace": space} if tile is None else {"tile": tile}
            given |= {"gamma": gamma, "beta": beta, "residual": residual}
            launches += _launched(device, kernels.channel_attention, qkv, out, positions, **given)
            device.free(out, space)
        device.free(qkv, gamma, beta, residual)
    return launches


def run_layer_norm(kernels: Kernels, device: Device, rng: np.random.Generator) -> int:
    """Both types that numpy has, packets and single elements."""
    launches = 0
    for width, dtype in product(_WIDTHS, (np.float16, np.float32)):
        shape = (5, width)
        x, residual = (device.upload(rng.normal(size=shape).astype(dtype)) for _ in range(2))
        gamma, beta = (device.upload(rng.normal(size=width).astype(dtype)) for _ in range(2))
        out, total = (device.empty(shape, np.dtype(dtype).str) for _ in range(2))
        given = {"residual": residual, "total": total}
        launches += _launched(device, kernels.residual_layer_norm, x, gamma, beta, out, **given)
        device.free(x, residual, gamma, beta, out, total)
    return launches


def run_frames(kernels: Kernels, device: Device, rng: np.random.Generator) -> int:
    """Every layout at an odd size, packed: one byte too far leaves the buffer."""
    launches = 0
    for pixel_format in PixelFormat:
        case = frame_cases.FrameCase(pixel_format, (34, 70), views=frame_cases.ODD_VIEWS)
        frame = frame_cases.make_frame(case, int(rng.integers(1000)))
        views = frame_cases.parse_views(case.views)
        data = device.upload(frame.data)
        outs = [device.empty(view.shape, "|u1") for view in views]
        given = (data, pixel_format, case.color, views, outs)
        launches += _launched(device, kernels.gather_views, *given)
        device.free(data, *outs)
    return launches


def _launched(device: Device, launch: Callable[..., None], *given: Any, **named: Any) -> int:
    """1, or 0 where the tile is not built; waits before the buffers go."""
    try:
        launch(*given, **named)
    except BackendError as error:
        if "tile is not built" not in str(error):
            raise
        return 0
    device.wait()
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
