"""The speed of light of this GPU, measured: what the kernels' figures are shares of."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from benchmarks.gpu.graph_timing import time_graph

_CHAINS = 8  # as in probes.cu
_THREADS = 256
_BLOCKS_EACH = 8  # blocks on a multiprocessor
_TURNS = 2000
_HALF_FLOP, _INT8_OP = 2 * 16 * 8 * 16, 2 * 16 * 8 * 32  # of one instruction of a warp
_CACHED_BYTES = 8 * 1024 * 1024
_GEMM = 8192


def measure_ceilings(library: Path) -> dict[str, float]:
    """Measure the ceilings on the current device.

    Args:
        library: `kernel_library.PROBES`, built.

    Returns:
        copy_gbps (memory, read + write), cache_gbps (L2, read), gemm_tflops (cuBLAS, fp16),
        mma_tflops and mma_int8_tops (mma.sync in a loop), node_us (an empty kernel in a graph).
    """
    import torch

    probes = ctypes.CDLL(str(library))
    processors = torch.cuda.get_device_properties(0).multi_processor_count
    blocks = processors * _BLOCKS_EACH
    out = torch.zeros(blocks * _THREADS, device="cuda")
    products = blocks * _THREADS // 32 * _CHAINS * _TURNS
    half = _time(probes.probe_half, out, blocks, _THREADS, _TURNS)
    int8 = _time(probes.probe_int8, out, blocks, _THREADS, _TURNS)
    words = torch.randint(0, 2**31, (_CACHED_BYTES // 4,), dtype=torch.int32, device="cuda")
    cached = _time(probes.probe_cache, words, _CACHED_BYTES // 16, out, blocks, _THREADS)
    return {
        "copy_gbps": _copy_gbps(),
        "cache_gbps": blocks * _CACHED_BYTES / cached / 1e3,
        "gemm_tflops": _gemm_tflops(),
        "mma_tflops": products * _HALF_FLOP / half / 1e6,
        "mma_int8_tops": products * _INT8_OP / int8 / 1e6,
        "node_us": _time(probes.probe_empty),
    }


def _time(probe: Any, *arguments: Any) -> float:
    """Microseconds of a launch in a graph."""
    import torch

    def launch(_: int) -> None:
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        given = [
            ctypes.c_void_p(x.data_ptr()) if isinstance(x, torch.Tensor) else ctypes.c_int(x)
            for x in arguments
        ]
        if error := probe(*given, stream):
            raise RuntimeError(f"A probe failed with CUDA error {error}.")

    return time_graph(launch, 1, launches=20).median


def _copy_gbps() -> float:
    import torch

    source = torch.empty(2**29, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    us = time_graph(lambda _: target.copy_(source), 1, launches=4).median
    return 2 * source.numel() / us / 1e3


def _gemm_tflops() -> float:
    import torch

    a, b = (torch.randn(_GEMM, _GEMM, device="cuda", dtype=torch.float16) for _ in range(2))
    us = time_graph(lambda _: a @ b, 1, launches=4).median
    return 2 * _GEMM**3 / us / 1e6
