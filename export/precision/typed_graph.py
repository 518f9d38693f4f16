"""A graph as mixed precision sees it: which values of each node may change their type."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, numpy_helper

from export.precision.formats import Format, opset_of
from sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

FLOAT: Final = TensorProto.FLOAT
_ANY_TYPE = {"Shape", "Size"}  # read a tensor's form, never its values
_NOT_IN_TENSORRT: Final = {"bf16": {"HardSwish"}}  # TensorRT-RTX 1.7; ONNX allows it


@dataclass(frozen=True)
class TypedNode:
    """One node that computes with float32, and the values whose type goes with the node's.

    Attributes:
        proto: The node.
        reads: Activations that take the node's precision.
        weights: Constants that take the node's precision.
        writes: Outputs that take the node's precision.
        fixed: Activations that the operator takes in float32 only.
        rigid: Why the node has no form of less precision; empty where it has one.
    """

    proto: NodeProto
    reads: tuple[str, ...]
    weights: tuple[str, ...]
    writes: tuple[str, ...]
    fixed: tuple[str, ...]
    rigid: str

    @property
    def name(self) -> str:
        """The node's name."""
        return self.proto.name

    @property
    def op(self) -> str:
        """The node's operator."""
        return self.proto.op_type


class TypedGraph:
    """The float nodes of a graph, in order, with who makes and who reads each tensor.

    Args:
        model: A graph of float32; it is not changed.
        form: The format that nodes may change to.

    Attributes:
        model: The graph with all types inferred.
        sized: The same with a batch of 1 where the batch is free.
        form: The format.
        constants: Initialisers by name.
        kinds: Element types by tensor.
        shapes: Sides by tensor, 0 where unknown.
        nodes: Float nodes by name.

    Raises:
        UsageError: Nodes have no names of their own, or there is control flow.
    """

    def __init__(self, model: onnx.ModelProto, form: Format) -> None:
        self.model = _inferred(model)
        self.sized = _sized(self.model)
        self.form = form
        self.constants = {tensor.name: tensor for tensor in self.model.graph.initializer}
        graph = self.model.graph
        values = (*graph.value_info, *graph.input, *graph.output)
        self.kinds = {value.name: value.type.tensor_type.elem_type for value in values}
        self.kinds.update((name, tensor.data_type) for name, tensor in self.constants.items())
        sized = (*self.sized.graph.value_info, *self.sized.graph.input, *self.sized.graph.output)
        self.shapes = {value.name: _shape(value) for value in sized}
        self.shapes.update((name, tuple(tensor.dims)) for name, tensor in self.constants.items())
        self.outputs = {value.name for value in graph.output}
        self.inputs = {value.name for value in graph.input}
        opset = opset_of(self.model)
        typed = (self._typed(node, opset) for node in graph.node)
        self.nodes = {node.name: node for node in typed if node is not None}

    @cached_property
    def makers(self) -> dict[str, TypedNode]:
        """The float node that computes a tensor."""
        return {name: node for node in self.nodes.values() for name in node.proto.output if name}

    @cached_property
    def readers(self) -> dict[str, list[TypedNode]]:
        """The float nodes that read a tensor."""
        readers: dict[str, list[TypedNode]] = defaultdict(list)
        for node in self.nodes.values():
            for name in dict.fromkeys(node.proto.input):
                readers[name].append(node)
        return readers

    def before(self, node: TypedNode) -> list[TypedNode]:
        """The float nodes whose results a node reads."""
        return [self.makers[name] for name in node.proto.input if name in self.makers]

    def after(self, node: TypedNode) -> list[TypedNode]:
        """The float nodes that read a node's results."""
        return [reader for name in node.proto.output for reader in self.readers.get(name, ())]

    def size(self, tensor: str) -> int:
        """How many numbers a tensor has; sides of unknown length count as 1."""
        size = 1
        for side in self.shapes.get(tensor, ()):
            size *= side or 1
        return size

    def value(self, constant: str) -> NDArray[np.float32]:
        """The numbers of a constant."""
        values: NDArray[np.float32] = numpy_helper.to_array(self.constants[constant])
        return values

    def is_float(self, tensor: str) -> bool:
        """Whether a tensor is float32."""
        return self.kinds.get(tensor) == FLOAT

    def is_vector(self, tensor: str) -> bool:
        """Whether a tensor has one axis for features, beside the first, which counts samples."""
        shape = self.shapes.get(tensor)
        return shape is not None and sum(side != 1 for side in shape[1:]) <= 1

    def _typed(self, node: NodeProto, opset: int) -> TypedNode | None:
        floats = [name for name in (*node.input, *node.output) if self.is_float(name)]
        if not floats or node.op_type in _ANY_TYPE:
            return None
        follow, free, writes = self._following(node, opset)
        rigid = self._rigid(node, writes)
        active = [name for name in follow if name not in self.constants]
        return TypedNode(
            node,
            reads=() if rigid else tuple(dict.fromkeys(active)),
            weights=() if rigid else tuple(dict.fromkeys(set(follow) & self.constants.keys())),
            writes=() if rigid else tuple(writes),
            fixed=tuple(dict.fromkeys([*free, *active] if rigid else free)),
            rigid=rigid,
        )

    def _following(self, node: NodeProto, opset: int) -> tuple[list[str], list[str], list[str]]:
        """Inputs that may take the short format, float inputs that may not, outputs that follow."""
        try:
            schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
        except onnx.defs.SchemaError:
            return [], [name for name in node.input if self._is_activation(name)], []
        follow, fixed, variables = [], [], set()
        for position, name in enumerate(node.input):
            formal = schema.inputs[min(position, len(schema.inputs) - 1)]
            if not self.is_float(name):
                continue
            if self.form.type_name in formal.types:
                follow.append(name)
                variables.add(formal.type_str)
            elif self._is_activation(name):
                fixed.append(name)
        if node.op_type in ("Cast", "DequantizeLinear"):  # typed by attribute and by scale
            variables.add(schema.outputs[0].type_str)
        writes = [
            name
            for position, name in enumerate(node.output)
            if self.is_float(name)
            and schema.outputs[min(position, len(schema.outputs) - 1)].type_str in variables
        ]
        return follow, fixed, writes

    def _is_activation(self, name: str) -> bool:
        return self.is_float(name) and name not in self.constants

    def _rigid(self, node: NodeProto, writes: Sequence[str]) -> str:
        if node.op_type in _NOT_IN_TENSORRT.get(self.form.name, ()):
            return f"TensorRT has no {node.op_type} in {self.form.name}"
        if node.op_type == "QuantizeLinear" or writes:
            return ""
        if any(self.is_float(name) for name in node.output):
            return f"{node.op_type} has no {self.form.name} form"
        return f"{node.op_type} makes other than floats of its input: exact in fp32 only"


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with all types and shapes, and constants that are nodes turned into initialisers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _check_nodes(copy.graph)
    _lift_constants(copy.graph)
    return onnx.shape_inference.infer_shapes(copy, strict_mode=True, data_prop=True)


def _sized(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which free sides of the inputs are 1, so that all sizes are known."""
    if all(all(_shape(value)) for value in model.graph.input):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.input:
        for side in value.type.tensor_type.shape.dim:
            side.dim_value = side.dim_value or 1
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    del copy.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(copy, data_prop=True)


def _check_nodes(graph: onnx.GraphProto) -> None:
    names = [node.name for node in graph.node]
    if len(set(names)) < len(names) or "" in names:
        raise UsageError(
            "The graph has nodes without a name of their own; precision is decided by node.",
            hint="Give every node a unique name.",
        )
    for node in graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise UsageError(
                f"Node {node.name} ({node.op_type}) holds a graph of its own; only graphs without "
                "control flow can be typed.",
                hint="Export the network with static shapes.",
            )


def _lift_constants(graph: onnx.GraphProto) -> None:
    constants = [
        node for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    ]  # fmt: skip
    for node in constants:
        tensor = graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.node.remove(node)


def _shape(value: ValueInfoProto) -> tuple[int, ...]:
    """Sides of a tensor, 0 where unknown."""
    return tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
