"""Who produces and who reads each tensor of a graph, and what is constant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import onnx
from onnx import numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Wiring:
    """An index of a graph; build it anew after changes.

    Args:
        model: A graph whose shapes have been inferred, with unique node names.

    Attributes:
        nodes: Every node by name, in the order of the graph.
        place: The position of each node by name.
        producer: The node that computes a tensor.
        readers: The nodes that read a tensor.
        constants: Initialisers by name.
        shapes: Shapes by tensor, for a batch of one where the batch is free; a tensor with
            another unknown side has no entry.
        inputs: Names of the graph's inputs.
        outputs: Names of the graph's outputs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.nodes = {node.name: node for node in graph.node}
        self.place = {name: index for index, name in enumerate(self.nodes)}
        self.producer = {out: node for node in graph.node for out in node.output if out}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for tensor in dict.fromkeys(node.input):
                self.readers[tensor].append(node)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = {value.name for value in graph.input}
        self.outputs = {value.name for value in graph.output}
        self.shapes: dict[str, tuple[int, ...]] = {
            name: tuple(tensor.dims) for name, tensor in self.constants.items()
        }
        shaped = _one_picture(model)
        for value in (*shaped.value_info, *shaped.input, *shaped.output):
            shape = tuple(int(side.dim_value) for side in value.type.tensor_type.shape.dim)
            if all(shape):
                self.shapes[value.name] = shape

    def values(self, name: str) -> NDArray[Any]:
        """The numbers of an initialiser."""
        return numpy_helper.to_array(self.constants[name])

    def after(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The nodes that read what a node computes."""
        for tensor in node.output:
            yield from self.readers.get(tensor, ())

    def activations(self, node: onnx.NodeProto) -> list[str]:
        """The inputs of a node that depend on the picture."""
        return [tensor for tensor in node.input if tensor and tensor not in self.constants]


def _one_picture(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph, or where its batch is free one with the shapes that a batch of one gives."""
    if not any(value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input):
        return model.graph
    single = onnx.ModelProto()
    single.CopyFrom(model)
    del single.graph.value_info[:]
    for value in (*single.graph.input, *single.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return onnx.shape_inference.infer_shapes(single, data_prop=True).graph


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute, or the default that ONNX gives it."""
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default
