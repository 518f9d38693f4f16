"""Our attention kernel as a plugin that travels inside a TensorRT plan, as PTX.

An engine built with it runs from C++ or trtexec with neither Python nor a plugin library. TensorRT
10.9 or newer (`tensorrt.plugin`, ahead-of-time quick plugins). Build one engine for each batch
size: with dynamic shapes TensorRT leaks a CUDA module at every change (NVIDIA/TensorRT#4849).
PTX made by CUDA 13 needs a driver of release 580 or newer where the engine runs.

    kernels = compile_kernels(Path("kernels"), head_dim=64)
    register(kernels)                                    # once in a process
    attention = tensorrt.plugin.op.framescore.attention
    layer = network.add_plugin(attention(qkv, heads=6, scale=0.125), aot=True)

The layer takes qkv [batch, tokens, 3 * heads * head_dim] in fp16 or bf16, as the QKV product
writes it, and returns [batch, tokens, heads * head_dim], as the projection reads it.

Source of the interface: the `tensorrt.plugin` sources in NVIDIA's tensorrt-cu13-bindings 11.4.
"""

from __future__ import annotations

import importlib
import math
import re
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias
from typing import Any

from sdk.errors import BackendError, UsageError

PLUGIN = "framescore::attention"
HEAD_DIMS = (32, 48, 64, 96, 128)
MAX_SHARED_BYTES = 48 * 1024  # TensorRT is not known to ask CUDA for more on a plugin's behalf

# The tactics, by AttentionTile of framescore/kernels/attention.h.
_TILES = {1: "kRows128", 2: "kRows64", 3: "kRows32", 4: "kRows16", 5: "kRows16Resident"}
_ELEMENTS = {"HALF": "Half", "BF16": "BFloat16"}  # tensorrt.DataType: our name
_TUNING_NAMES = {"HALF": "FP16", "BF16": "BF16"}  # tensorrt.DataType: autotune's name
_ENTRY = "framescore_attention"
_LAUNCH = re.compile(rf"{_ENTRY}_launch\[12\](?: = \{{([^}}]*)\}})?;")


@dataclass(frozen=True, slots=True)
class AttentionKernel:
    """One compiled kernel.

    Attributes:
        element: Element type as a `tensorrt.DataType` name: "HALF" or "BF16".
        head_dim: Width of a head.
        tile: Number of the tile, TensorRT's tactic.
        ptx: PTX with the one entry `framescore_attention`.
        rows: Query rows a block takes.
        threads: Threads of a block.
        shared_bytes: Dynamic shared memory of a block.
    """

    element: str
    head_dim: int
    tile: int
    ptx: str
    rows: int
    threads: int
    shared_bytes: int


def compile_kernels(
    sources: Path, head_dim: int, elements: Sequence[str] = ("HALF",), nvcc: str = "nvcc"
) -> tuple[AttentionKernel, ...]:
    """Compile every tile for one head dimension.

    Args:
        sources: The repository's kernels/ folder.
        head_dim: One of `HEAD_DIMS`.
        elements: Of "HALF" and "BF16".
        nvcc: The compiler of a CUDA toolkit, 12.6 or newer.

    Returns:
        The tiles that exist for this head dimension and need at most 48 KB of shared memory.

    Raises:
        UsageError: There is no kernel of that head dimension or element type.
        BackendError: nvcc is missing or refuses the source.
    """
    if head_dim not in HEAD_DIMS or not set(elements) <= set(_ELEMENTS):
        raise UsageError(
            f"Attention of {', '.join(elements)} with head dimension {head_dim} has no kernel; "
            f"there are {', '.join(_ELEMENTS)} with {', '.join(map(str, HEAD_DIMS))}."
        )
    found = [
        read_kernel(element, head_dim, tile, _compile(sources, element, head_dim, name, nvcc))
        for element in elements
        for tile, name in _TILES.items()
    ]
    return tuple(k for k in found if k.rows and k.shared_bytes <= MAX_SHARED_BYTES)


def read_kernel(element: str, head_dim: int, tile: int, ptx: str) -> AttentionKernel:
    """Take the launch parameters out of a kernel's PTX, where its source has put them.

    Args:
        element: "HALF" or "BF16".
        head_dim: What it was compiled for.
        tile: What it was compiled for.
        ptx: The compiler's output.

    Returns:
        The kernel; `rows` is 0 where the tile does not exist for the head dimension.

    Raises:
        BackendError: The PTX is not of kernels/plugin/attention_ahead.cu.
    """
    match = _LAUNCH.search(ptx)
    if match is None:
        raise BackendError(f"The PTX has no {_ENTRY}_launch; it is not that of this plugin.")
    given = bytes(int(byte) for byte in (match[1] or "").split(",") if byte.strip())
    rows, threads, shared = struct.unpack("<3i", given.ljust(12, b"\0"))  # nvcc drops last zeros
    return AttentionKernel(element, head_dim, tile, ptx, rows, threads, shared)


def register(kernels: Sequence[AttentionKernel]) -> None:
    """Make `tensorrt.plugin.op.framescore.attention` known, once in a process.

    Args:
        kernels: What `compile_kernels` returned, of one head dimension or several.

    Raises:
        BackendError: tensorrt is not installed, or older than 10.9.
        UsageError: There are no kernels.
    """
    if not kernels:
        raise UsageError("No kernels were given to register.", hint="Compile them first.")
    trtp = _tensorrt_plugin()
    tensor, tensors = trtp.TensorDesc, GenericAlias(tuple, (trtp.TensorDesc,))
    attributes = {"heads": int, "scale": float}

    def describe(qkv: Any, heads: int, scale: float) -> Any:  # noqa: ARG001 - the schema's names
        out = qkv.like()
        out.shape_expr[2] = qkv.shape_expr[2] // 3
        return out

    def tune(qkv: Any, heads: int, scale: float, outputs: Any) -> Any:  # noqa: ARG001
        head_dim = qkv.shape[2] // (3 * heads)
        found = []
        for element in sorted({k.element for k in kernels if k.head_dim == head_dim}):
            tiles = [k.tile for k in kernels if (k.element, k.head_dim) == (element, head_dim)]
            name = _TUNING_NAMES[element]
            found.append(trtp.AutoTuneCombination(f"{name}, {name}", "LINEAR", tiles))
        if not found:
            raise UsageError(f"No attention kernel of head dimension {head_dim} is registered.")
        return found

    def implement(qkv: Any, heads: int, scale: float, outputs: Any, tactic: int) -> Any:  # noqa: ARG001
        head_dim = qkv.shape[2] // (3 * heads)
        kernel = _pick(kernels, qkv.dtype.name, head_dim, tactic)
        return launch_of(trtp, kernel, qkv.shape_expr, heads, scale)

    launch = (str, str, trtp.KernelLaunchParams, trtp.SymIntExprs)
    results = GenericAlias(tuple, launch)
    offers = GenericAlias(list, (trtp.AutoTuneCombination,))
    _annotate(describe, qkv=tensor, **attributes, returns=tensor)
    _annotate(tune, qkv=tensor, **attributes, outputs=tensors, returns=offers)
    _annotate(implement, qkv=tensor, **attributes, outputs=tensors, tactic=int, returns=results)
    trtp.register(PLUGIN)(describe)
    trtp.autotune(PLUGIN)(tune)
    trtp.aot_impl(PLUGIN)(implement)


def launch_of(
    trtp: Any, kernel: AttentionKernel, shape: Any, heads: int, scale: float
) -> tuple[str, str, Any, Any]:
    """Return how TensorRT shall launch a kernel.

    Args:
        trtp: The `tensorrt.plugin` module.
        kernel: The kernel.
        shape: Symbolic shape [batch, tokens, 3 * heads * head_dim].
        heads: Attention heads.
        scale: Of the scores before the softmax.

    Returns:
        Entry name, PTX, launch parameters, and the integers between inputs and outputs.
    """
    parameters = trtp.KernelLaunchParams()
    parameters.grid_x = trtp.cdiv(shape[1], kernel.rows)
    parameters.grid_y = heads
    parameters.grid_z = shape[0]
    parameters.block_x = kernel.threads
    parameters.shared_mem = kernel.shared_bytes
    arguments = trtp.SymIntExprs(2)
    arguments[0] = trtp.SymInt32(shape[1])
    arguments[1] = trtp.SymInt32(float_bits(scale * math.log2(math.e)))
    return _ENTRY, kernel.ptx, parameters, arguments


def float_bits(value: float) -> int:
    """The bits of a float32 as an int32: ahead-of-time plugins pass no other scalars.

    Args:
        value: A number.

    Returns:
        An integer of the same four bytes.
    """
    bits: int = struct.unpack("<i", struct.pack("<f", value))[0]
    return bits


def _pick(
    kernels: Sequence[AttentionKernel], element: str, head_dim: int, tactic: int
) -> AttentionKernel:
    """The kernel of a tactic; tactic 0 is TensorRT's default and means the first one."""
    fitting = [k for k in kernels if (k.element, k.head_dim) == (element, head_dim)]
    for kernel in fitting:
        if tactic in (0, kernel.tile):
            return kernel
    raise UsageError(
        f"No attention kernel of {element}, head dimension {head_dim} and tactic {tactic} is "
        "registered.",
        hint="Compile the kernels for the head dimension of this network.",
    )


def _annotate(function: Callable[..., Any], **types: Any) -> None:
    """Give a function the types that tensorrt.plugin reads from its signature."""
    function.__annotations__ = {
        "return" if name == "returns" else name: kind for name, kind in types.items()
    }


def _tensorrt_plugin() -> Any:
    try:
        trtp = importlib.import_module("tensorrt.plugin")
    except ImportError as error:
        raise BackendError(
            f"TensorRT's Python plugins cannot be loaded: {error}.",
            hint="Install TensorRT 10.9 or newer: pip install 'framescore[trt]'",
        ) from error
    if not hasattr(trtp, "aot_impl"):
        raise BackendError(
            "This TensorRT has no ahead-of-time plugins; they came with 10.9.",
            hint="Use a newer TensorRT, or the plugin library of kernels/plugin.",
        )
    return trtp


def _compile(sources: Path, element: str, head_dim: int, tile: str, nvcc: str) -> str:
    defines = {"ELEMENT": _ELEMENTS[element], "HEAD_DIM": head_dim, "TILE": tile}
    command = [
        nvcc, "-ptx", "-std=c++17", "-arch=compute_80", f"-I{sources}", f"-I{sources / 'include'}",
        *(f"-DFRAMESCORE_{name}={value}" for name, value in defines.items()),
        str(sources / "plugin" / "attention_ahead.cu"), "-o", "-",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BackendError(
            f"The CUDA compiler {nvcc} cannot be run: {error}.",
            hint="Install a CUDA toolkit, 12.6 or newer, and put its bin folder on PATH.",
        ) from error
    if done.returncode or not done.stdout:
        raise BackendError(
            f"{nvcc} refuses the attention kernel: {done.stderr.strip()[:2000]}",
            hint=f"The kernels' sources are expected in {sources}.",
        )
    return done.stdout
