"""The GPU of this machine, asked of its driver: no CUDA package is needed for that."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LIBRARIES: Final = ("libcuda.so.1", "libcuda.so")
_CAPABILITY_MAJOR: Final = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_CAPABILITY_MINOR: Final = 76
_MODULE_VERSION: Final = Path("/sys/module/nvidia/version")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes:
        name: Its name, for example "Orin" or "NVIDIA GeForce RTX 4060".
        capability: Its compute capability as one number: 87 for 8.7.
        driver: Version of the driver; on a Jetson, and where the kernel does not tell, that of the
            CUDA that the driver brings.
    """

    name: str
    capability: int
    driver: str

    @property
    def sm(self) -> str:
        """Its architecture, such as "sm_87"."""
        return f"sm_{self.capability}"


def find_gpu() -> Gpu | None:
    """Return the first GPU that CUDA shows to this process; None without GPU or driver."""
    cuda = _load_driver()
    device, count = ctypes.c_int(), ctypes.c_int()
    if cuda is None or cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return None
    if not count.value or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name = ctypes.create_string_buffer(256)
    if cuda.cuDeviceGetName(name, len(name), device):
        return None
    major = _attribute(cuda, _CAPABILITY_MAJOR, device)
    minor = _attribute(cuda, _CAPABILITY_MINOR, device)
    return Gpu(name.value.decode(errors="replace"), 10 * major + minor, _driver_version(cuda))


def _load_driver() -> ctypes.CDLL | None:
    for library in _LIBRARIES:
        try:
            return ctypes.CDLL(library)
        except OSError:
            continue
    return None


def _attribute(cuda: ctypes.CDLL, attribute: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    return 0 if cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) else value.value


def _driver_version(cuda: ctypes.CDLL) -> str:
    try:
        return _MODULE_VERSION.read_text().strip()
    except OSError:
        version = ctypes.c_int()
        cuda.cuDriverGetVersion(ctypes.byref(version))
        return f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
