"""Small graphs from text, each node named after what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper


def read_graph(
    body: str,
    *,
    x: str = "1,4,4,3",
    score: str = "1",
    opset: int = 20,
    outputs: str = "",
    **weights: Any,
) -> onnx.ModelProto:
    """A graph from uint8 `x` to float `score`.

    Args:
        body: Nodes in ONNX's text form, one a line.
        x: Shape of the input.
        score: Shape of the output.
        opset: Operator set.
        outputs: Further outputs, as text.
        weights: Float32 initialisers; arrays of other types keep theirs.
    """
    heading = f'<ir_version: 10, opset_import: ["" : {opset}]>'
    signature = f"tested (uint8[{x}] x) => (float[{score}] score{outputs})"
    model: onnx.ModelProto = onnx.parser.parse_model(f"{heading} {signature} {{ {body} }}")
    for node in model.graph.node:
        node.name = node.output[0]
    for name, values in weights.items():
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def frames(
    count: int = 2, shape: tuple[int, ...] = (1, 4, 4, 3), seed: int = 0
) -> list[dict[str, NDArray[np.uint8]]]:
    """Frames of random pixels."""
    random = np.random.default_rng(seed)
    return [{"x": random.integers(0, 256, shape, np.uint8)} for _ in range(count)]


def kinds(model: onnx.ModelProto) -> Mapping[str, str]:
    """Element types by tensor, as ONNX names them."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.output, *graph.input):
        found[value.name] = value.type.tensor_type.elem_type
    return {name: TensorProto.DataType.Name(kind) for name, kind in found.items()}


def casts(model: onnx.ModelProto) -> list[str]:
    """Tensors that casts read, in order."""
    return [node.input[0] for node in model.graph.node if node.op_type == "Cast"]
