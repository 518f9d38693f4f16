"""The same attention in Triton, after its tutorial 06: packed QKV in, no transposes. A rival."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

BLOCK_ROWS, BLOCK_KEYS, WARPS, STAGES = 64, 64, 4, 2
_LOG2_E = 1.4426950408889634


@triton.jit
def _attention(
    qkv,  # [batch, tokens, 3, heads, dim]
    out,  # [batch, tokens, heads, dim]
    scale_log2,
    tokens,
    heads: tl.constexpr,
    dim: tl.constexpr,
    block_rows: tl.constexpr,
    block_keys: tl.constexpr,
):
    tile, head, image = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    stride: tl.constexpr = 3 * heads * dim
    rows = tile * block_rows + tl.arange(0, block_rows)
    columns = tl.arange(0, dim)
    start = qkv + image * tokens * stride + head * dim
    query = tl.load(
        start + rows[:, None] * stride + columns[None, :], mask=rows[:, None] < tokens, other=0.0
    )
    highest = tl.full([block_rows], -1.0e30, tl.float32)
    total = tl.zeros([block_rows], tl.float32)
    mixed = tl.zeros([block_rows, dim], tl.float32)
    for first in range(0, tokens, block_keys):
        keys = first + tl.arange(0, block_keys)
        inside = keys < tokens
        at = start + keys[:, None] * stride + columns[None, :]
        key = tl.load(at + heads * dim, mask=inside[:, None], other=0.0)
        value = tl.load(at + 2 * heads * dim, mask=inside[:, None], other=0.0)
        scores = tl.dot(query, tl.trans(key)) * scale_log2
        scores = tl.where(inside[None, :], scores, -1.0e30)
        raised = tl.maximum(highest, tl.max(scores, 1))
        weights = tl.exp2(scores - raised[:, None])
        shrink = tl.exp2(highest - raised)
        total = total * shrink + tl.sum(weights, 1)
        mixed = mixed * shrink[:, None] + tl.dot(weights.to(value.dtype), value)
        highest = raised
    mixed = mixed / total[:, None]
    to = out + (image * tokens + rows[:, None]) * heads * dim + head * dim + columns[None, :]
    tl.store(to, mixed.to(out.dtype.element_ty), mask=rows[:, None] < tokens)


def attention(qkv: Any, out: Any) -> None:
    """Launch it.

    Args:
        qkv: [batch, tokens, 3, heads, dim], contiguous; dim a power of two.
        out: [batch, tokens, heads, dim], contiguous.
    """
    batch, tokens, _, heads, dim = qkv.shape
    grid = (triton.cdiv(tokens, BLOCK_ROWS), heads, batch)
    _attention[grid](
        qkv, out, dim**-0.5 * _LOG2_E, tokens, heads, dim, BLOCK_ROWS, BLOCK_KEYS,
        num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
