"""Where each number of a tensor comes from, through nodes that only move numbers.

Such nodes are run on the numbers' own indices. So it is shown, not guessed from a pattern of nodes,
that the heads of an attention lie in a packed product as the kernel reads them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Indices: TypeAlias = NDArray[np.int64]

_MOVES: Final = {
    "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
}  # fmt: skip
_SHAPE_ARITHMETIC: Final = _MOVES | {  # what shapes, and masks of nothing but shapes, are made by
    "Add", "And", "Cast", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Mul", "Not",
    "Sub", "Where",
}  # fmt: skip
_SIZES: Final = _SHAPE_ARITHMETIC | {"Shape"}
_FLOATS: Final = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}


class CannotReplaceError(Exception):
    """Why an attention stays as it is, in words that follow its name."""


class Origin(NamedTuple):
    """Where a tensor's numbers come from.

    Attributes:
        source: The tensor that a node computed which does more than to move numbers.
        indices: For each number its place in the flattened source.
        factor: What it was multiplied by on the way.
    """

    source: str
    indices: Indices
    factor: float


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a tensor: its element type and sides, an unknown one as 0."""

    kind: int
    shape: tuple[int, ...]


class Graph:
    """Who makes and who reads each tensor of a graph.

    Args:
        model: A typed graph; it is not changed.
        batch: What a free batch is taken to be.
    """

    def __init__(self, model: onnx.ModelProto, batch: int) -> None:
        self.proto = model.graph
        self.makers = {name: node for node in self.proto.node for name in node.output if name}
        self.constants = {tensor.name: tensor for tensor in self.proto.initializer}
        self.outputs = {value.name for value in self.proto.output}
        self._readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self.proto.node:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)
        self._known: dict[str, NDArray[Any] | None] = {}
        self._values: dict[str, Value] = {}
        self._settle_shapes(_sized(model, batch))

    def readers(self, tensor: str) -> list[NodeProto]:
        """The nodes that read a tensor."""
        return self._readers.get(tensor, [])

    def kind(self, tensor: str) -> int:
        """The element type of a tensor; 0 where it isn't known."""
        return self._values[tensor].kind if tensor in self._values else 0

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The sides of a tensor; empty where they aren't known."""
        shape = self._values[tensor].shape if tensor in self._values else ()
        return () if 0 in shape else shape

    def origin(self, tensor: str) -> Origin:
        """Follow a tensor back to what computed its numbers.

        Raises:
            CannotReplaceError: Its shape isn't known.
        """
        node = self.makers.get(tensor)
        if node is not None and self.moves(node):
            before = self.origin(node.input[0])
            return before._replace(indices=self.move(node, before.indices, tensor))
        if node is not None and self._keeps_numbers(node):
            return self.origin(node.input[0])
        scaled = None if node is None else self.scaled(node)
        if scaled is not None:
            name, factor = scaled
            before = self.origin(name)
            return before._replace(factor=before.factor * factor)
        shape = self.shape(tensor)
        if not shape:
            raise CannotReplaceError("its shapes are not known")
        return Origin(tensor, np.arange(int(np.prod(shape))).reshape(shape), 1.0)

    def moves(self, node: NodeProto) -> bool:
        """Whether a node only moves the numbers of its first input, to places that are known."""
        return node.op_type in _MOVES and self._parameters(node) is not None

    def move(self, node: NodeProto, numbers: Indices, output: str) -> Indices:
        """Do to numbers what a node does."""
        moved: Indices = _run(node, [numbers, *(self._parameters(node) or [])])[
            list(node.output).index(output)
        ]
        return moved

    def scaled(self, node: NodeProto) -> tuple[str, float] | None:
        """What a node multiplies by one constant, and that constant; None if it does not."""
        if node.op_type not in ("Mul", "Div"):
            return None
        first, second = node.input
        factor = self.number(second)
        if factor is not None:
            return first, factor if node.op_type == "Mul" else 1 / factor
        factor = self.number(first)
        return (second, factor) if factor is not None and node.op_type == "Mul" else None

    def number(self, tensor: str) -> float | None:
        """The value of a constant that is one number, and isn't 0."""
        if tensor not in self.constants or np.prod(self.constants[tensor].dims, dtype=int) != 1:
            return None
        return float(read(self.constants[tensor]).reshape(-1)[0]) or None

    def known(self, tensor: str) -> NDArray[Any] | None:
        """The numbers of a tensor that depend on constants and shapes only; None of others."""
        if tensor not in self._known:
            self._known[tensor] = self._work_out(tensor)
        return self._known[tensor]

    def _settle_shapes(self, sized: onnx.ModelProto) -> None:
        """Infer shapes, work out what is computed of them, and infer those that depend on it."""
        settled = 0
        while True:
            inferred = onnx.shape_inference.infer_shapes(sized, data_prop=True)
            self._values, self._known = _values(inferred), {}
            numbers = {
                node.output[0]: self.known(node.output[0])
                for node in self.proto.node
                if node.op_type in _SIZES and self.kind(node.output[0]) == TensorProto.INT64
            }
            found = {name: value for name, value in numbers.items() if value is not None}
            if len(found) == settled:
                return
            settled = len(found)
            _make_constant(sized.graph, found)

    def _work_out(self, tensor: str) -> NDArray[Any] | None:
        if tensor in self.constants:
            return read(self.constants[tensor])
        node = self.makers.get(tensor)
        if node is None:
            return None
        if node.op_type == "Shape":
            shape = self.shape(node.input[0])
            return _run(node, [np.empty(shape, np.int8)])[0] if shape else None
        if node.op_type not in _SHAPE_ARITHMETIC:
            return None
        inputs = [self.known(name) for name in node.input if name]
        if any(value is None for value in inputs):
            return None
        return _run(node, inputs)[list(node.output).index(tensor)]

    def _parameters(self, node: NodeProto) -> list[NDArray[Any]] | None:
        """The inputs behind the first: shapes, axes, places; None where they are computed."""
        found = [self.known(name) for name in node.input[1:] if name]
        known = [value for value in found if value is not None]
        return known if len(known) == len(found) and "" not in node.input else None

    def _keeps_numbers(self, node: NodeProto) -> bool:
        """Whether a node is a cast from one float type to another."""
        kinds = {self.kind(node.input[0]), self.kind(node.output[0])} if node.input else set()
        return node.op_type == "Cast" and kinds <= _FLOATS


def read(tensor: TensorProto) -> NDArray[Any]:
    """Return the numbers of a constant, floats of 16 bits as float32."""
    if tensor.data_type == TensorProto.BFLOAT16:
        bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tuple(tensor.dims))
    values = numpy_helper.to_array(tensor)
    return values.astype(np.float32) if tensor.data_type == TensorProto.FLOAT16 else values


def write(numbers: NDArray[np.float32], kind: int, name: str) -> TensorProto:
    """Store numbers that a float type holds exactly as a constant of it."""
    if kind == TensorProto.BFLOAT16:
        bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32) >> 16
        raw = bits.astype("<u2").tobytes()
        return TensorProto(name=name, data_type=kind, dims=numbers.shape, raw_data=raw)
    return numpy_helper.from_array(numbers.astype(helper.tensor_dtype_to_np_dtype(kind)), name)


def _run(node: NodeProto, inputs: list[Any]) -> list[NDArray[Any]]:
    """Run one node of standard operators on arrays of whole numbers."""
    names = [f"x{index}" for index in range(len(inputs))]
    plain = NodeProto()
    plain.CopyFrom(node)
    del plain.input[:]
    plain.input.extend(names)
    untyped = [helper.make_tensor_value_info(n, TensorProto.INT64, None) for n in names]
    results = [helper.make_tensor_value_info(n, TensorProto.INT64, None) for n in node.output]
    graph = helper.make_graph([plain], "one", untyped, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    found = ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))
    return list(found)


_OPSET: Final = 20  # moving nodes are the same from here to 23


def has_free_batch(model: onnx.ModelProto) -> bool:
    """Whether a graph's inputs have a free dimension."""
    return any(0 in _shape(value) for value in model.graph.input)


def _sized(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy in which free sides of the inputs have a size."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if has_free_batch(model):
        del copy.graph.value_info[:]
        for value in copy.graph.input:
            for side in value.type.tensor_type.shape.dim:
                side.dim_value = side.dim_value or batch
        for value in copy.graph.output:
            value.type.tensor_type.ClearField("shape")
    return copy


def _make_constant(graph: onnx.GraphProto, numbers: dict[str, NDArray[Any]]) -> None:
    """Put numbers in place of the nodes that compute them."""
    kept = [node for node in graph.node if not numbers.keys() & set(node.output)]
    stored = {tensor.name for tensor in graph.initializer}
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.int64), name)
        for name, value in numbers.items()
        if name not in stored
    )


def _values(model: onnx.ModelProto) -> dict[str, Value]:
    graph = model.graph
    values = {
        value.name: Value(value.type.tensor_type.elem_type, _shape(value))
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    for tensor in graph.initializer:
        values[tensor.name] = Value(tensor.data_type, tuple(tensor.dims))
    return values


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
