"""Weights stored in half the bytes, without changing one bit of any score."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 64  # numbers; below, the extra node costs more than it saves


def store_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store float32 weights as fp16 with a cast, where fp16 holds them exactly.

    Runtimes fold the casts when they load the graph and then compute in float32 as before.

    Args:
        model: A graph; it is not changed.

    Returns:
        An equal graph, about half as large if its weights were trained or stored in fp16.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    casts = []
    for tensor in half.graph.initializer:
        values = _exact_half(tensor)
        if values is None:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}_fp16"))
        casts.append(
            helper.make_node(
                "Cast", [tensor.name], [name], name=f"{name}_cast", to=TensorProto.FLOAT
            )
        )
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    onnx.checker.check_model(half, full_check=True)
    return half


def _exact_half(tensor: TensorProto) -> NDArray[np.float16] | None:
    if tensor.data_type != TensorProto.FLOAT:
        return None
    values: NDArray[Any] = numpy_helper.to_array(tensor)
    if values.size < SMALLEST:
        return None
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    # Compared as bits: -0.0 and NaN must survive too.
    same = np.array_equal(half.astype(np.float32).view(np.uint32), values.view(np.uint32))
    return half if same else None


def restore_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Undo `store_half`: real float32 weights, and no casts of weights.

    Args:
        model: A graph; it is not changed.

    Returns:
        The graph that `store_half` was given.
    """
    full = onnx.ModelProto()
    full.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in full.graph.initializer}
    nodes = []
    for node in full.graph.node:
        tensor = stored.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is None or not _is_cast_of_half(node, tensor):
            nodes.append(node)
            continue
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
    del full.graph.node[:]
    full.graph.node.extend(nodes)
    return full


def _is_cast_of_half(node: onnx.NodeProto, tensor: TensorProto) -> bool:
    """Whether `store_half` added a node; typed graphs have casts of their own."""
    name = node.output[0]
    return tensor.data_type == TensorProto.FLOAT16 and (tensor.name, node.name) == (
        f"{name}_fp16", f"{name}_cast"
    )  # fmt: skip
