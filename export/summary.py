"""What a graph costs: parameters, multiply-adds, operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import onnx
from onnx import helper

from export.graph import count_operators, count_parameters, simplify
from export.shapes import shape_of

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The size of a graph.

    Attributes:
        parameters: Numbers in its floating-point weights.
        macs: Multiply-adds of convolutions and matrix products for one frame; what else there is
            costs far less.
        operators: Number of nodes by operator.
    """

    parameters: int
    macs: int
    operators: Mapping[str, int]

    @property
    def gmacs(self) -> float:
        """Multiply-adds in thousand millions."""
        return self.macs / 1e9


def summarise(model: onnx.ModelProto) -> Summary:
    """Measure a graph.

    Args:
        model: A graph with inferred shapes; a free first dimension counts as 1.
    """
    graph = _for_one_frame(model).graph
    shapes = _shapes(graph)
    macs = sum(count_macs(node, shapes) for node in graph.node)
    return Summary(count_parameters(model), macs, count_operators(model))


def _for_one_frame(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its free first dimension set to 1, and shapes that follow from it."""
    if all(isinstance(side, int) for value in model.graph.input for side in shape_of(value)):
        return model
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return onnx.shape_inference.infer_shapes(simplify(fixed), data_prop=True)


def count_macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Count the multiply-adds of one node.

    Args:
        node: Any node.
        shapes: The shapes of its tensors by name.
    """
    count = _COUNTS.get(node.op_type)
    if count is None:
        return 0
    settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    inputs = [shapes[name] for name in node.input[:3] if name in shapes]
    return count(inputs, shapes[node.output[0]], settings)


def _conv(inputs: Sequence[Shape], output: Shape, _settings: Mapping[str, Any]) -> int:
    weights = inputs[1]  # [out, in / groups, *kernel]
    return math.prod(output) * math.prod(weights[1:])


def _conv_transpose(inputs: Sequence[Shape], _output: Shape, _settings: Mapping[str, Any]) -> int:
    picture, weights = inputs[:2]  # [N, in, ...], [in, out / groups, *kernel]
    return math.prod(picture) * math.prod(weights[1:])


def _gemm(inputs: Sequence[Shape], output: Shape, settings: Mapping[str, Any]) -> int:
    inner = inputs[0][0 if settings.get("transA") else 1]
    return math.prod(output) * inner


def _matmul(inputs: Sequence[Shape], output: Shape, _settings: Mapping[str, Any]) -> int:
    return math.prod(output) * inputs[0][-1]


def _attention(inputs: Sequence[Shape], _output: Shape, settings: Mapping[str, Any]) -> int:
    """Count queries by keys, and weights by values."""
    query, key, value = inputs
    if len(query) == 4:  # [B, heads, N, width]
        batch, heads, rows, width = query
        columns, out_width = key[2], value[3]
    else:  # [B, N, heads * width]
        heads = settings["q_num_heads"]
        batch, rows, width = query[0], query[1], query[2] // heads
        columns, out_width = key[1], value[2] // settings["kv_num_heads"]
    return int(batch * heads * rows * columns * (width + out_width))


_Count = Callable[[Sequence[Shape], Shape, Mapping[str, Any]], int]
_COUNTS: Final[Mapping[str, _Count]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Attention": _attention,
}


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {value.name: tuple(s if isinstance(s, int) else 1 for s in shape_of(value))
             for value in values}  # fmt: skip
    return {**found, **{tensor.name: tuple(tensor.dims) for tensor in graph.initializer}}
