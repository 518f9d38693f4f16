"""Batch norms that follow convolutions become part of their weights."""

from __future__ import annotations

import numpy as np
import onnx

from export.int8.edit import replace_nodes, set_constant
from export.int8.quantise import along
from export.int8.wiring import Wiring, attribute


def fold_batch_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold each batch norm whose input is a convolution that nothing else reads.

    Between a convolution in INT8 and its activation a batch norm would stay in float, and no
    runtime would fuse the three.

    Args:
        model: A graph in float; it is not changed.

    Returns:
        An equal graph, up to rounding, with inferred shapes.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    wiring = Wiring(folded)
    gone = set()
    for node in folded.graph.node:
        if node.op_type == "BatchNormalization" and _is_foldable(node, wiring):
            convolution = wiring.producer[node.input[0]]
            _fold(folded, convolution, node, wiring)
            convolution.output[0] = node.output[0]
            gone.add(node.name)
    if not gone:
        return folded
    replace_nodes(folded, [node for node in folded.graph.node if node.name not in gone])
    return onnx.shape_inference.infer_shapes(folded, strict_mode=True)


def _is_foldable(norm: onnx.NodeProto, wiring: Wiring) -> bool:
    source = wiring.producer.get(norm.input[0])
    return (
        source is not None
        and source.op_type == "Conv"
        and all(tensor in wiring.constants for tensor in (*source.input[1:], *norm.input[1:]))
        and len(wiring.readers[norm.input[0]]) == 1
        and norm.input[0] not in wiring.outputs
        and not attribute(norm, "training_mode", 0)
    )


def _fold(
    model: onnx.ModelProto, convolution: onnx.NodeProto, norm: onnx.NodeProto, wiring: Wiring
) -> None:
    scale, bias, mean, variance = (wiring.values(name).astype(float) for name in norm.input[1:5])
    factor = scale / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))  # [O]
    weight = wiring.values(convolution.input[1])
    old = wiring.values(convolution.input[2]) if len(convolution.input) > 2 else 0.0
    folded = (weight * along(factor, 0, weight.ndim)).astype(np.float32)
    set_constant(model, convolution, 1, folded)
    set_constant(model, convolution, 2, ((old - mean) * factor + bias).astype(np.float32))
