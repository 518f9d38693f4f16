"""What our kernels are compared with: torch's attentions, torch.compile and Triton.

Each rival makes, from one set of inputs, a call that a graph can capture. "packed" ones start from
the QKV product and end where the projection reads, transposes included; "bare" ones are given
contiguous [batch, heads, tokens, dim] tensors and leave their output so: the kernel alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

Call = Callable[[], object]
Maker = Callable[[Any], Call]  # from qkv [batch, tokens, 3, heads, dim]

SDPA = ("flash", "cudnn", "efficient", "math")


def attention_rivals() -> dict[str, Maker]:
    """By name, those that this machine may have; each may still refuse a shape."""
    rivals: dict[str, Maker] = {}
    for name in SDPA:
        rivals[f"sdpa {name}, packed"] = _packed(name)
        rivals[f"sdpa {name}, bare"] = _bare(name)
    rivals["torch.compile, packed"] = _compiled
    rivals["triton, packed"] = _triton
    return rivals


def packed_attention(qkv: Any) -> Any:
    """As models write it: [batch, tokens, 3, heads, dim] to [batch, tokens, heads * dim]."""
    import torch

    batch, tokens, _, heads, dim = qkv.shape
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).reshape(batch, tokens, heads * dim)


def _backend(name: str) -> Any:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    backends = {
        "flash": SDPBackend.FLASH_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "math": SDPBackend.MATH,
    }
    return sdpa_kernel(backends[name])


def _packed(name: str) -> Maker:
    def make(qkv: Any) -> Call:
        def call() -> object:
            with _backend(name):
                return packed_attention(qkv)

        return call

    return make


def _bare(name: str) -> Maker:
    def make(qkv: Any) -> Call:
        import torch

        parts = [part.contiguous() for part in qkv.permute(2, 0, 3, 1, 4).unbind(0)]

        def call() -> object:
            with _backend(name):
                return torch.nn.functional.scaled_dot_product_attention(*parts)

        return call

    return make


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch.compile at the first call, for fixed shapes, which is its fastest; graphs are captured
    by us."""
    return lambda *given: _compile(function)(*given)


@cache
def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    made: Callable[..., Any] = torch.compile(function, dynamic=False)
    return made


def _compiled(qkv: Any) -> Call:
    call = compiled(packed_attention)
    return lambda: call(qkv)


def _triton(qkv: Any) -> Call:
    import torch

    from benchmarks.gpu.triton_attention import attention

    batch, tokens, _, heads, dim = qkv.shape
    out = torch.empty((batch, tokens, heads, dim), dtype=qkv.dtype, device=qkv.device)
    return lambda: attention(qkv, out)


def channel_exact(qkv: Any, gamma: Any, beta: Any, residual: Any) -> Any:
    """GlintIQA's channel attention, unfused: qkv [batch, channels, 3 * positions].

    Softmax of cosines / sqrt(positions), layer norm, residual.
    """
    import torch
    from torch.nn.functional import layer_norm, normalize

    query, key, value = qkv.chunk(3, dim=-1)
    positions = value.shape[-1]
    logits = normalize(query, dim=-1) @ normalize(key, dim=-1).transpose(-1, -2)
    mixed = torch.softmax(logits * positions**-0.5, dim=-1) @ value
    return layer_norm(mixed, (positions,), gamma, beta) + residual


def channel_sdpa(qkv: Any, gamma: Any, beta: Any, residual: Any) -> Any:
    """The same with torch's fused attention, one head of `positions` elements."""
    from torch.nn.functional import layer_norm, normalize, scaled_dot_product_attention

    query, key, value = qkv.chunk(3, dim=-1)
    query, key = normalize(query, dim=-1), normalize(key, dim=-1)
    mixed = scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
    return layer_norm(mixed, (value.shape[-1],), gamma, beta) + residual


def channel_linear(qkv: Any, gamma: Any, beta: Any, residual: Any) -> Any:
    """The same with exp(x) replaced by 1 + x: two small products."""
    from torch.nn.functional import layer_norm, normalize

    query, key, value = qkv.chunk(3, dim=-1)
    channels, positions = value.shape[-2:]
    scale = positions**-0.5
    query, key = normalize(query, dim=-1), normalize(key, dim=-1)
    context = key.transpose(-1, -2) @ value * scale
    total = key.sum(dim=-2, keepdim=True).transpose(-1, -2) * scale
    mixed = (value.sum(dim=-2, keepdim=True) + query @ context) / (channels + query @ total)
    return layer_norm(mixed, (positions,), gamma, beta) + residual


def norm_then_residual(mixed: Any, residual: Any, gamma: Any, beta: Any) -> Any:
    """What follows the channel attention, by torch's two operations."""
    from torch.nn.functional import layer_norm

    return layer_norm(mixed, (mixed.shape[-1],), gamma, beta) + residual


def norm_unfused(x: Any, residual: Any, gamma: Any, beta: Any) -> Any:
    """Residual, then LayerNorm: both results."""
    from torch.nn.functional import layer_norm

    total = x + residual
    return layer_norm(total, (x.shape[-1],), gamma, beta), total
