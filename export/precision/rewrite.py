"""Write a graph whose types say the precision of every node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import NodeProto, TensorProto, helper

from export.precision.formats import Format, low_tensor
from export.precision.typed_graph import TypedGraph, TypedNode

if TYPE_CHECKING:
    from collections.abc import Collection


def write_typed(graph: TypedGraph, full: Collection[str]) -> onnx.ModelProto:
    """Give every node its precision, with casts where a tensor crosses the border.

    Tensors and nodes keep their names. A tensor that both precisions read exists twice, the cast
    one named for its format; so do weights.

    Args:
        graph: The graph.
        full: Nodes that are float32; the others take `graph.form`.

    Returns:
        A graph whose inputs and outputs have the types that they had.
    """
    return _Writer(graph, full).write()


class _Writer:
    def __init__(self, graph: TypedGraph, full: Collection[str]) -> None:
        self.graph = graph
        self.form: Format = graph.form
        self.low = {name: node for name, node in graph.nodes.items() if name not in full}
        self.low_tensors = {name for node in self.low.values() for name in node.writes}
        self.weights: dict[str, TensorProto] = {}
        self.written: list[NodeProto] = []
        self.cast: set[str] = set()

    def write(self) -> onnx.ModelProto:
        for node in self.graph.model.graph.node:
            self._write_node(node)
        for name in self.graph.outputs & self.low_tensors:
            self._hand_out(name)
        model = onnx.ModelProto()
        model.CopyFrom(self.graph.model)
        del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
        model.graph.node.extend(self.written)
        model.graph.initializer.extend(self.weights.values())
        return model

    def _write_node(self, proto: NodeProto) -> None:
        node = self.low.get(proto.name)
        new = NodeProto()
        new.CopyFrom(proto)
        for position, name in enumerate(proto.input):
            new.input[position] = self._input(node, name)
        if node is not None:
            _retype(new, node, self.form)
        self.written.append(new)

    def _input(self, node: TypedNode | None, name: str) -> str:
        """The name under which a node of its precision reads a tensor."""
        if name in self.graph.constants:
            return self._weight(name, low=node is not None and name in node.weights)
        if not self.graph.is_float(name):
            return name
        low = node is not None and name in node.reads
        if low == (name in self.low_tensors):
            return name
        return self._cast(name, self.form.kind if low else TensorProto.FLOAT)

    def _weight(self, name: str, *, low: bool) -> str:
        stored = f"{name}_{self.form.name}" if low else name
        if stored not in self.weights:
            tensor = self.graph.constants[name]
            self.weights[stored] = low_tensor(tensor, self.form, stored) if low else tensor
        return stored

    def _cast(self, name: str, kind: int) -> str:
        target = f"{name}_{'fp32' if kind == TensorProto.FLOAT else self.form.name}"
        if target not in self.cast:
            self.cast.add(target)
            self.written.append(
                helper.make_node("Cast", [name], [target], name=f"{target}_cast", to=kind)
            )
        return target

    def _hand_out(self, name: str) -> None:
        """Keep an output's name and type: what computes it in the short format is renamed."""
        inner = f"{name}_{self.form.name}"
        for node in self.written:
            for names in (node.input, node.output):
                for position, found in enumerate(names):
                    if found == name:
                        names[position] = inner
        self.written.append(
            helper.make_node("Cast", [inner], [name], name=f"{name}_cast", to=TensorProto.FLOAT)
        )


def _retype(proto: NodeProto, node: TypedNode, form: Format) -> None:
    """Set the attributes that say a type."""
    if proto.op_type == "Cast" and node.writes:
        _set(proto, "to", form.kind)
    if proto.op_type == "Attention":  # TensorRT refuses the attribute, and takes float32 anyway
        _drop(proto, "softmax_precision")
    if proto.op_type in ("LayerNormalization", "RMSNormalization"):
        _set(proto, "stash_type", TensorProto.FLOAT)
    if proto.op_type == "DequantizeLinear":
        _drop(proto, "output_dtype")  # it is the scale's, unless said


def _drop(proto: NodeProto, name: str) -> None:
    kept = [attribute for attribute in proto.attribute if attribute.name != name]
    del proto.attribute[:]
    proto.attribute.extend(kept)


def _set(proto: NodeProto, name: str, value: int) -> None:
    _drop(proto, name)
    proto.attribute.append(helper.make_attribute(name, value))
