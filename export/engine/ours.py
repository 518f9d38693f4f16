"""Our attention kernel in an engine: the graph that has it, and what the builder needs for it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from export.attention_plugin import AttentionKernel, compile_kernels
from export.engine.api import Toolkit
from export.engine.options import Options, frame_range
from sdk.errors import BackendError, UsageError

if TYPE_CHECKING:
    from export.attention import Block

_log = logging.getLogger("framescore")

_SOURCES: Final = Path(__file__).resolve().parents[2] / "kernels"
_ELEMENTS: Final = {"fp16": "HALF", "bf16": "BF16"}
_BUILD_LIBRARY: Final = (
    "cmake -B build/plugin -DFRAMESCORE_CUDA=ON -DTensorRT_ROOT=... && cmake --build build/plugin"
)


@dataclass(frozen=True, slots=True)
class OwnAttention:
    """A graph with our attention.

    Attributes:
        graph: The ONNX file.
        nodes: The attentions that are ours.
        kernels: What the plan takes into itself; empty where a library has the kernels.
    """

    graph: bytes
    nodes: tuple[str, ...]
    kernels: tuple[AttentionKernel, ...] = ()

    @property
    def sha256(self) -> str:
        """Of the graph and the kernels."""
        digest = hashlib.sha256(self.graph)
        for kernel in self.kernels:
            digest.update(kernel.ptx.encode())
        return digest.hexdigest()


def with_our_attention(graph: bytes, toolkit: Toolkit, options: Options) -> OwnAttention:
    """Replace a graph's attention by ours, and say of each block that stays why.

    Args:
        graph: The ONNX file.
        toolkit: The TensorRT that will build it.
        options: The build's; its plugins have our library, or none do.

    Raises:
        UsageError: No attention of the graph can be replaced.
        BackendError: There is no plugin to replace it by, or `onnx` is missing.
    """
    try:
        import onnx

        from export.attention import AHEAD, LIBRARY, rewrite_attention
    except ImportError as error:
        raise BackendError(
            f"Attention cannot be replaced: {error}.", hint="pip install 'framescore[export]'"
        ) from error
    form = LIBRARY if options.plugins else AHEAD
    _check_plugin(toolkit, options)
    rewritten = rewrite_attention(onnx.load_model_from_string(graph), form)
    if not rewritten.replaced:
        raise UsageError(
            f"No attention of this network can be ours: {_why_none(rewritten.blocks)}.",
            hint="Build it with --attention native.",
        )
    for block in rewritten.blocks:
        if block.reason:
            _log.warning("attention %s stays native: %s", block.node, block.reason)
    kernels = () if form is LIBRARY else _compile(rewritten.blocks)
    data = rewritten.model.SerializeToString(deterministic=True)
    return OwnAttention(data, rewritten.replaced, kernels)


def _check_plugin(toolkit: Toolkit, options: Options) -> None:
    """Make sure that there is a plugin of either form.

    Raises:
        BackendError: There is none; the hint says how to get one.
    """
    if options.plugins:
        return
    library = f"libframescore_trt{toolkit.version.partition('.')[0]}.so"
    hint = f"Name the plugin library: --plugin {library}. It is built by: {_BUILD_LIBRARY}"
    smallest, _, largest = frame_range(options.batch)
    if not toolkit.features.quick_plugins:
        reason = f"{toolkit.name} takes kernels from a library only"
    elif smallest != largest:
        reason = "kernels within a plan need a fixed batch (NVIDIA/TensorRT#4849)"
    elif not _SOURCES.is_dir():
        reason = "kernels within a plan are compiled from source, which only a checkout has"
    else:
        return
    raise BackendError(f"Our attention needs its plugin library: {reason}.", hint=hint)


def _compile(blocks: Sequence[Block]) -> tuple[AttentionKernel, ...]:
    wanted = sorted({(block.head_dim, block.kind) for block in blocks if not block.reason})
    return tuple(
        kernel
        for head_dim, kind in wanted
        for kernel in compile_kernels(_SOURCES, head_dim, (_ELEMENTS[kind],))
    )


def _why_none(blocks: Sequence[Block]) -> str:
    if not blocks:
        return "it has none"
    reasons = list(dict.fromkeys(block.reason for block in blocks))
    more = f", and {len(reasons) - 1} other reasons" if len(reasons) > 1 else ""
    return f"{reasons[0]} ({blocks[0].node}{more})"
