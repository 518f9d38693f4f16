"""Multiply-adds of each node: what INT8 is to make cheaper."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from export.int8.wiring import Wiring, attribute

if TYPE_CHECKING:
    import onnx


def multiply_adds(wiring: Wiring) -> dict[str, int]:
    """Count the multiply-adds of convolutions, matrix products and attention, by node name.

    Element-wise nodes count nothing; nodes with unknown shapes are left out.
    """
    counts = {name: _count(node, wiring) for name, node in wiring.nodes.items()}
    return {name: count for name, count in counts.items() if count}


def _count(node: onnx.NodeProto, wiring: Wiring) -> int:
    shapes = [wiring.shapes.get(tensor) for tensor in node.input]
    out = wiring.shapes.get(node.output[0])
    if out is None or len(shapes) < 2 or shapes[0] is None or shapes[1] is None:
        return 0
    if node.op_type == "Conv":
        return prod(out) * prod(shapes[1][1:])
    if node.op_type == "ConvTranspose":
        return prod(shapes[0]) * prod(shapes[1][1:])
    if node.op_type == "MatMul":
        return prod(out) * shapes[0][-1]
    if node.op_type == "Gemm":
        return prod(out) * shapes[0][0 if attribute(node, "transA", 0) else 1]
    if node.op_type == "Attention":
        return _attention(node, shapes[0], shapes[1], out)
    return 0


def _attention(
    node: onnx.NodeProto, query: tuple[int, ...], key: tuple[int, ...], out: tuple[int, ...]
) -> int:
    """Both products of attention over [B, N, heads x D] or [B, heads, N, D]."""
    heads = attribute(node, "q_num_heads", query[1] if len(query) == 4 else 1)
    size = prod(query) // (query[0] * heads * query[-2])  # of a head
    return 2 * query[0] * heads * query[-2] * key[-2] * size if out else 0
