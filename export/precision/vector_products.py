"""FP32 products that give a picture one vector, written as Mul and ReduceSum.

A score's head stays FP32, and TensorRT-RTX multiplies no FP32 matrices on Turing (sm_75), so that
one small product would keep a whole network off those GPUs. For one row the sum costs what the
product does: both read each weight once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from export.int8.wiring import attribute

if TYPE_CHECKING:
    import onnx

    from export.precision.typed_graph import TypedGraph

LARGEST: Final = 1 << 22
"""Summands above which it stays a product: runtimes that do not fuse keep them all."""


def write_as_sums(model: onnx.ModelProto, graph: TypedGraph, full: Collection[str]) -> None:
    """Rewrite float32 products of one vector and constant weights.

    The last node of each keeps the product's name and its result's.

    Args:
        model: The typed graph; it is changed.
        graph: What it was written from.
        full: Nodes that are float32.
    """
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        # As it was before casts: the graph knows the shapes of its own tensors only.
        fits = node.name in full and _fits(graph.nodes[node.name].proto, graph)
        nodes += _as_sum(node, transposed=attribute(node, "transB", 0) == 1) if fits else [node]
    if len(nodes) == len(model.graph.node):
        return
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array([axis], np.int64), _axis(axis)) for axis in (-1, -2)
    )


def _fits(node: NodeProto, graph: TypedGraph) -> bool:
    if node.op_type not in ("Gemm", "MatMul") or node.input[1] not in graph.constants:
        return False
    shapes = [graph.shapes.get(name, ()) for name in node.input[:2]]
    if len(shapes[0]) < 2 or len(shapes[1]) != 2 or attribute(node, "transA", 0):
        return False
    if any(attribute(node, name, 1.0) != 1.0 for name in ("alpha", "beta")):
        return False
    products = graph.size(node.output[0]) * shapes[0][-1]
    return graph.is_vector(node.output[0]) and products <= LARGEST


def _as_sum(node: NodeProto, *, transposed: bool) -> list[NodeProto]:
    """Nodes for x [B, ..., K] and weights [K, N], or [N, K] if transposed."""
    column, product = f"{node.name}_column", f"{node.name}_products"
    bias = node.input[2] if len(node.input) > 2 else ""
    result = f"{node.name}_sum" if bias else node.output[0]
    along, across = (_axis(-1), _axis(-2)) if transposed else (_axis(-2), _axis(-1))
    name = f"{node.name}_sum" if bias else node.name
    make = helper.make_node
    nodes = [
        make("Unsqueeze", [node.input[0], across], [column], name=column),
        make("Mul", [column, node.input[1]], [product], name=product),
        make("ReduceSum", [product, along], [result], name=name, keepdims=0),
    ]
    if bias:
        nodes.append(make("Add", [result, bias], [node.output[0]], name=node.name))
    return nodes


def _axis(axis: int) -> str:
    return f"vector_product_axis{axis}"
