"""Layer normalisation in one node, where an exporter took it apart.

TensorRT accumulates the statistics of one `LayerNormalization` node in FP32; taken apart, their
squares overflow in FP16.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper
from onnx.numpy_helper import to_array


def fuse_layer_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each (x - mean) / sqrt(variance + epsilon) over the last axis by one node.

    A factor and a summand of that axis's size that follow go into the node.

    Args:
        model: A graph of opset 17 or later with inferred shapes; it is not changed.

    Returns:
        An equal graph.
    """
    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    graph = _Graph(fused.graph)
    replaced = {}
    dropped: set[int] = set()
    for node in fused.graph.node:
        if node.op_type == "Div" and (found := graph.match(node)) is not None:
            last = found.nodes[-1]
            replaced[id(last)] = graph.fuse(found)
            dropped.update(id(member) for member in found.nodes[:-1])
    if replaced:
        nodes = [replaced.get(id(n), n) for n in fused.graph.node if id(n) not in dropped]
        del fused.graph.node[:]
        fused.graph.node.extend(nodes)
    return fused


@dataclass(frozen=True)
class _Match:
    """The nodes of one normalisation, and what they compute with."""

    nodes: tuple[onnx.NodeProto, ...]  # in any order, but the one that gives the result last
    source: str
    width: int
    epsilon: float
    factor: str
    summand: str


class _Graph:
    """Who makes and who uses each tensor."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.nodes = list(graph.node)  # keeps the objects, whose identity is compared
        self.makers = {name: node for node in graph.node for name in node.output}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.users: Mapping[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
        for value in graph.output:
            self.users[value.name].append(onnx.NodeProto())  # keeps it from vanishing
        known = (*graph.value_info, *graph.input, *graph.output)
        self.ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in known}

    def match(self, divide: onnx.NodeProto) -> _Match | None:
        """Recognise a normalisation by its division."""
        centre, root = (self.makers.get(name) for name in divide.input)
        if not self.chain(centre, "Sub") or not self.chain(root, "Sqrt"):
            return None
        assert centre is not None
        assert root is not None
        add = self.makers.get(root.input[0])
        if add is None or add.op_type != "Add":
            return None
        epsilon = self.number(add.input[1])
        variance = self.makers.get(add.input[0])
        square = self.makers.get(variance.input[0]) if variance is not None else None
        mean = self.makers.get(centre.input[1])
        if epsilon is None or variance is None or square is None or mean is None:
            return None
        source = centre.input[0]
        rank = self.ranks.get(source, 0)
        whole = (
            self.averages(variance, rank)
            and self.averages(mean, rank)
            and mean.input[0] == source
            and self.squares(square, centre.output[0])
            and {id(node) for node in self.users[centre.output[0]]} == {id(square), id(divide)}
            and all(len(self.users[n.output[0]]) == 1 for n in (mean, square, variance, add, root))
        )
        if not whole:
            return None
        inner = (mean, centre, square, variance, add, root)
        return self.with_weights(inner, divide, source, epsilon)

    def with_weights(
        self, inner: tuple[onnx.NodeProto, ...], divide: onnx.NodeProto, source: str, epsilon: float
    ) -> _Match | None:
        """Take in the factor and the summand that follow."""
        multiply, factor = self.weighted(divide, "Mul")
        if multiply is None:
            return None  # its width would have to be guessed
        width = self.constants[factor].dims[0]
        add, summand = self.weighted(multiply, "Add")
        if add is None or self.constants[summand].dims[0] != width:
            return _Match((*inner, divide, multiply), source, width, epsilon, factor, "")
        return _Match((*inner, divide, multiply, add), source, width, epsilon, factor, summand)

    def weighted(self, node: onnx.NodeProto, kind: str) -> tuple[onnx.NodeProto | None, str]:
        """The one user of a node, if it combines the result with a row of weights."""
        users = self.users[node.output[0]]
        if len(users) != 1 or users[0].op_type != kind:
            return None, ""
        rows = [name for name in users[0].input if len(self.dims(name)) == 1]
        return (users[0], rows[0]) if rows else (None, "")

    def fuse(self, found: _Match) -> onnx.NodeProto:
        """Make the node that takes their place."""
        last = found.nodes[-1]
        inputs = [found.source, found.factor, *([found.summand] if found.summand else [])]
        name = last.name.rpartition("/")[0]
        return helper.make_node(
            "LayerNormalization",
            inputs,
            list(last.output),
            name=f"{name}/LayerNormalization" if name else f"{last.name}_LayerNormalization",
            axis=-1,
            epsilon=found.epsilon,
        )

    def chain(self, node: onnx.NodeProto | None, kind: str) -> bool:
        return node is not None and node.op_type == kind

    def averages(self, node: onnx.NodeProto, rank: int) -> bool:
        """Whether a node is the mean over the last axis, which it keeps."""
        if node.op_type != "ReduceMean":
            return False
        settings: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        axes = settings.get("axes")
        if axes is None and len(node.input) > 1 and node.input[1] in self.constants:
            axes = to_array(self.constants[node.input[1]]).tolist()
        return settings.get("keepdims", 1) == 1 and list(axes or ()) in ([-1], [rank - 1])

    def squares(self, node: onnx.NodeProto, of: str) -> bool:
        if node.op_type == "Mul":
            return list(node.input) == [of, of]
        return node.op_type == "Pow" and node.input[0] == of and self.number(node.input[1]) == 2

    def number(self, name: str) -> float | None:
        """The value of a constant of one number."""
        if name not in self.constants:
            return None
        value = to_array(self.constants[name])
        return float(value.reshape(-1)[0]) if value.size == 1 else None

    def dims(self, name: str) -> list[int]:
        return list(self.constants[name].dims) if name in self.constants else []
