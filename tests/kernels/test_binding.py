"""The library as CMake builds it, loaded and called on a machine that need not have a GPU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sdk._device_array import CUDA, HOST, device_array
from sdk._kernel_abi import ENVIRONMENT
from sdk._kernels import Kernels
from sdk.errors import BackendError, FrameError
from sdk.frames import ColorSpec, PixelFormat
from sdk.views import View


class OnDevice:
    """An array in the memory of a GPU, by CUDA's array interface. The address leads nowhere."""

    def __init__(self, *shape: int, typestr: str = "|u1", strides: object = None) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": typestr,
            "data": (0x7F0000000000, False),
            "strides": strides,
            "version": 3,
        }


@pytest.fixture(scope="module")
def library(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared library, built for one architecture."""
    if shutil.which("nvcc") is None or shutil.which("cmake") is None:
        pytest.skip("needs nvcc and cmake")
    build = tmp_path_factory.mktemp("cuda")
    options = ["-DFRAMESCORE_CUDA=ON", "-DFRAMESCORE_CUDA_ARCHITECTURES=80-real"]
    configure = ["cmake", "-S", str(repository), "-B", str(build), *options]
    compile_it = ["cmake", "--build", str(build), "--parallel", str(os.cpu_count())]
    for command in (configure, [*compile_it, "--target", "framescore_kernels_c"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "kernels" / "libframescore_kernels.so"


@pytest.mark.slow
def test_nothing_but_the_c_abi_is_visible(library: Path) -> None:
    command = ["nm", "-D", "--defined-only", str(library)]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1] for line in symbols.splitlines()]
    assert {"framescore_gather_views", "framescore_residual_layer_norm"} <= set(names)
    assert [name for name in names if not name.startswith("framescore_")] == []


@pytest.mark.slow
def test_it_needs_no_library_of_nvidia(library: Path) -> None:
    needed = subprocess.run(["ldd", str(library)], capture_output=True, text=True, check=True)
    assert re.findall("lib(?:cuda|nv)\\S*", needed.stdout) == []


@pytest.mark.slow
def test_without_a_gpu_a_call_says_so(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # nor is one used where there is one
    monkeypatch.setenv(ENVIRONMENT, str(library))
    frame, out = OnDevice(64, 64, 3), OnDevice(1, 8, 8, 3)
    with pytest.raises(BackendError, match=r"gather_views was not launched: CUDA .*: .+") as caught:
        Kernels().gather_views(
            frame, PixelFormat.BGR, ColorSpec(), [View.parse("resize:8x8")], [out]
        )
    assert "NVIDIA GPU" in caught.value.hint


@pytest.mark.slow
def test_arrays_on_the_host_are_refused(library: Path) -> None:
    rows = np.zeros((2, 64), np.float32)
    with pytest.raises(FrameError, match="rows lies in host memory; the kernels read a CUDA dev"):
        Kernels(library).residual_layer_norm(rows, rows[0], rows[0], rows)


def test_a_missing_library_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be loaded") as caught:
        Kernels(tmp_path / "absent.so")
    assert "-DFRAMESCORE_CUDA=ON" in caught.value.hint


def test_a_foreign_library_is_refused() -> None:
    with pytest.raises(BackendError, match="framescore_describe_status"):
        Kernels(Path("libc.so.6"))


def test_numpy_and_torch_arrays_look_alike() -> None:
    torch = pytest.importorskip("torch")
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::2]
    ours, theirs = device_array(array), device_array(torch.from_numpy(array))
    assert ours == theirs
    assert ours.pointer == array.ctypes.data
    assert (ours.shape, ours.strides, ours.dtype) == ((2, 2, 4), array.strides, "float32")
    assert (ours.device, ours.is_packed) == ((HOST, 0), False)
    assert device_array(torch.zeros(3, dtype=torch.bfloat16)).dtype == "bfloat16"


def test_an_offset_into_a_tensor_counts() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(10, dtype=torch.float32)[3:]
    assert device_array(tensor).pointer == tensor.data_ptr()


def test_axes_of_one_element_are_packed_whatever_their_stride() -> None:
    array = np.lib.stride_tricks.as_strided(np.zeros(4, np.uint8), (1, 4), (999, 1))
    assert device_array(array).is_packed


def test_the_cuda_array_interface() -> None:
    array = device_array(OnDevice(2, 3, typestr="<f2"))
    assert (array.dtype, array.strides, array.device) == ("float16", (6, 2), (CUDA, 0))
    assert not device_array(OnDevice(2, 3, strides=(8, 1))).is_packed
    with pytest.raises(FrameError, match="type '<i8'; allowed are int8"):
        device_array(OnDevice(2, typestr="<i8"))
