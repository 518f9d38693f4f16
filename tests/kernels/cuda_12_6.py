"""Device code through the compiler of CUDA 12.6, JetPack 6's, as far as PyPI has it: NVRTC, which
is nvcc's device half as a library, ptxas and the runtime's headers. `make build/cuda-12.6`.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from .emulated import KERNELS, REPOSITORY
from .static_facts import Facts, read_ptxas

FOLDER = REPOSITORY / "build" / "cuda-12.6" / "nvidia"
RUNTIME_HEADERS = FOLDER / "cuda_runtime" / "include"
ARCHITECTURES = ("80", "86", "87", "89", "90")  # all that 12.6 knows of ours

# The kernels with nothing of their launches.
PROGRAM = """
#define __builtin_huge_valf() __builtin_bit_cast(float, 0x7f800000)
#include "attention/attention_int8.cuh"
#include "attention/quantize_qk.cuh"
#include "attention/tiles.cuh"
#include "channel_attention/linear_attention.cuh"
#include "layer_norm/layer_norm.cuh"
#include "preprocess/gather.cuh"
using namespace framescore::kernels;
using namespace framescore::kernels::device;
"""

_INTEGERS = {"int8": "signed char", "int16": "short", "int32": "int", "int64": "long"}
_UNSIGNED = {f"u{name}": f"unsigned {kind.split()[-1]}" for name, kind in _INTEGERS.items()}
_TYPES = {**_INTEGERS, **_UNSIGNED, "uintptr": "unsigned long"}

# NVRTC has no standard library and declares the device part of the runtime by itself.
HEADERS = {
    "cstddef": "#pragma once\nusing size_t = decltype(sizeof 0);\nnamespace std {using ::size_t;}",
    "cstdint": "#pragma once\n#include <cstddef>\n"
    + "\n".join(
        f"using {name}_t = {kind};\nnamespace std {{using ::{name}_t;}}"
        for name, kind in _TYPES.items()
    ),
    "cmath": "",
    "cuda_runtime.h": "#pragma once\ntypedef struct CUstream_st* cudaStream_t;",
    "cuda_runtime_api.h": "#include <cuda_runtime.h>",
}


def require() -> None:
    """Skip the test where the packages are not there."""
    if not (FOLDER / "cuda_nvrtc").is_dir():
        pytest.skip("needs the compiler of CUDA 12.6: make build/cuda-12.6")


def compile_ptx(kernels: Sequence[str], architecture: str) -> str:
    """PTX of kernels, named as in budgets.json, for compute_`architecture`."""
    nvrtc = ctypes.CDLL(str(FOLDER / "cuda_nvrtc" / "lib" / "libnvrtc.so.12"))
    program = ctypes.c_void_p()
    texts, names = list(HEADERS.values()), list(HEADERS)
    created = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), PROGRAM.encode(), b"kernels.cu", len(names),
        _strings(texts), _strings(names),
    )  # fmt: skip
    assert created == 0
    try:
        for kernel in kernels:
            assert nvrtc.nvrtcAddNameExpression(program, kernel.encode()) == 0
        options = [f"--gpu-architecture=compute_{architecture}", "--std=c++17", "-default-device"]
        options += [f"-I{KERNELS}", f"-I{KERNELS / 'include'}"]
        done = nvrtc.nvrtcCompileProgram(program, len(options), _strings(options))
        assert done == 0, _read(nvrtc, "ProgramLog", program)[:4000]
        return _read(nvrtc, "PTX", program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def assemble(ptx: Path, architecture: str) -> dict[str, Facts]:
    """Facts of a PTX file's kernels, by short name, as 12.6's ptxas makes them for sm_...."""
    ptxas = FOLDER / "cuda_nvcc" / "bin" / "ptxas"
    command = [str(ptxas), f"-arch=sm_{architecture}", "-v", str(ptx), "-o", f"{ptx}.cubin"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(read_ptxas(done.stderr))


def _strings(values: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * len(values))(*(value.encode() for value in values))


def _read(nvrtc: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{what}")(program, text)
    return text.value.decode()
