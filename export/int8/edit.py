"""Give nodes of a graph other constants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from onnx import numpy_helper

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray


def set_constant(
    model: onnx.ModelProto, node: onnx.NodeProto, place: int, values: NDArray[Any]
) -> None:
    """Let one input of a node of this graph be a constant of its own; other readers keep theirs."""
    taken = {tensor.name for tensor in model.graph.initializer}
    taken |= {name for other in model.graph.node for name in other.output}
    name = f"{node.name}_input{place}"
    while name in taken:
        name += "_"
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    node.input.extend([""] * (place + 1 - len(node.input)))
    node.input[place] = name


def replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Let the graph have these nodes, and of the constants those that they read."""
    graph = model.graph
    kept = list(nodes)
    read = {tensor for node in kept for tensor in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)
