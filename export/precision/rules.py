"""What stays in float32 whatever the frames say: the parts of a quality network that need it.

Sources: TensorRT's advice on mixed precision (norms and reductions), and the numerics of quality
networks: a score is the mean of many small differences, so statistics and the head carry it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from export.precision.typed_graph import TypedGraph, TypedNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PRODUCTS: Final = {"Conv", "ConvTranspose", "MatMul", "Gemm", "Attention", "Einsum"}
"""Operators that short formats make fast: what the precision is reduced for."""

LARGE_REDUCTION: Final = 64  # numbers; a sum of so many in 11 bits loses the last three

MOVES: Final = {
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape",
    "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators that move values and change none."""

_NORMS = {"LayerNormalization", "RMSNormalization", "GroupNormalization"}
_STATISTICS = {
    "CumSum", "Exp", "InstanceNormalization", "LRN", "Log", "LogSoftmax", "LpNormalization",
    "MeanVarianceNormalization", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare", "Softmax", "Sqrt",
}  # fmt: skip
_CURVES = {"Div", "Exp", "Log", "Pow", "Reciprocal", "Sqrt"}
_SUMS = {"ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool"}
_AFFINE = {"Add", "Sub", "Mul", "Div", "Clip", "Cast", "Min", "Max"} | MOVES


def keep_by_rule(graph: TypedGraph) -> dict[str, str]:
    """Find the nodes that stay in float32 for what they are.

    Args:
        graph: The graph.

    Returns:
        Reasons by node.
    """
    kept: dict[str, str] = {node.name: node.rigid for node in graph.nodes.values() if node.rigid}
    for name in _head(graph):
        kept.setdefault(name, "score head")
    for name in _normalisation(graph):
        kept.setdefault(name, "normalisation of the input")
    statistics = {
        node.name: reason for node in graph.nodes.values() if (reason := _statistic(graph, node))
    }
    for name, reason in statistics.items():
        kept.setdefault(name, reason)
    for name in _between(graph, statistics):
        kept.setdefault(name, "between statistics")
    for name in _arguments(graph, statistics):
        kept.setdefault(name, "argument of a statistic")
    for name in _norms_of(graph, kept):
        kept.setdefault(name, "normalises a tensor that is fp32")
    return kept


def _head(graph: TypedGraph) -> set[str]:
    """Nodes from which on there is one vector per sample: pooling, regression, affine, Clip."""
    head: set[str] = set()
    for node in reversed(graph.nodes.values()):
        floats = [name for name in node.proto.output if graph.is_float(name)]
        ends = all(reader.name in head for reader in graph.after(node))
        if floats and ends and all(graph.is_vector(name) for name in floats):
            head.add(node.name)
    return head


def _normalisation(graph: TypedGraph) -> list[str]:
    """Arithmetic with constants between the uint8 input and the first layer.

    In fp16 x / 255 - mean would round grey levels before the first layer sees them.
    """
    inside: set[str] = set()
    arithmetic = []
    for node in graph.nodes.values():
        sources = [name for name in node.proto.input if name and name not in graph.constants]
        if node.op in _AFFINE and sources and set(sources) <= inside | graph.inputs:
            inside.update(node.proto.output)
            if node.op not in MOVES and node.op != "Cast":
                arithmetic.append(node.name)
    return arithmetic


def _statistic(graph: TypedGraph, node: TypedNode) -> str:
    """Why a node is a statistic; empty if it is none."""
    if node.op in _STATISTICS or (node.op == "GroupNormalization" and not _stashes(node)):
        return f"{node.op} is a statistic"
    if node.op in _SUMS and (count := _reduced(graph, node)) >= LARGE_REDUCTION:
        return f"{node.op} over {count} numbers"
    if node.op == "Div" and node.proto.input[1] not in graph.constants:
        return "Div by a computed number"
    if node.op == "Pow" and not _is_small_power(graph, node):
        return "Pow other than a square or cube"
    if _is_square(node) and any(reader.op.startswith("Reduce") for reader in graph.after(node)):
        return f"{node.op} makes squares for a sum"
    return ""


def _stashes(node: TypedNode) -> bool:
    """Whether the operator says that its statistics are float32."""
    return any(attribute.name == "stash_type" for attribute in node.proto.attribute)


def _is_square(node: TypedNode) -> bool:
    inputs = list(node.proto.input)
    return node.op == "Pow" or (node.op == "Mul" and inputs[0] == inputs[1])


def _is_small_power(graph: TypedGraph, node: TypedNode) -> bool:
    exponent = node.proto.input[1]
    return exponent in graph.constants and set(graph.value(exponent).flat) <= {1, 2, 3}


def _reduced(graph: TypedGraph, node: TypedNode) -> int:
    """How many numbers go into one."""
    if node.op == "AveragePool":
        sides = next(a.ints for a in node.proto.attribute if a.name == "kernel_shape")
        count = 1
        for side in sides:
            count *= side
        return count
    return graph.size(node.proto.input[0]) // max(1, graph.size(node.proto.output[0]))


def _between(graph: TypedGraph, statistics: Iterable[str]) -> set[str]:
    """Elementwise nodes on a path from one statistic to another: x - mean, max(norm, eps)."""
    seeds = [graph.nodes[name] for name in statistics]
    return _reach(seeds, graph.after) & _reach(seeds, graph.before)


def _arguments(graph: TypedGraph, statistics: Iterable[str]) -> list[str]:
    """Sums and bounds whose result a division or a root takes: variance + eps, count + weights.

    Rounded to 11 bits the small term of such a sum is lost; a cast before costs as much as after.
    """
    arguments = []
    for name in statistics:
        node = graph.nodes[name]
        position = 1 if node.op == "Div" else 0
        source = graph.makers.get(node.proto.input[position])
        while source is not None and source.op in MOVES:
            source = graph.makers.get(source.proto.input[0])
        if node.op in _CURVES and source is not None and source.op in _AFFINE:
            arguments.append(source.name)
    return arguments


def _reach(seeds: Iterable[TypedNode], step: Callable[[TypedNode], list[TypedNode]]) -> set[str]:
    """Elementwise nodes that are reached without a product or a norm on the way."""
    found: set[str] = set()
    queue = list(seeds)
    while queue:
        for node in step(queue.pop()):
            if node.name not in found and node.op not in PRODUCTS | _NORMS:
                found.add(node.name)
                queue.append(node)
    return found


def _norms_of(graph: TypedGraph, kept: dict[str, str]) -> list[str]:
    """Norms whose input comes in float32 anyway: rounding it first is what they would amplify."""
    norms = []
    for node in graph.nodes.values():
        source = graph.makers.get(node.proto.input[0]) if node.op in _NORMS else None
        while source is not None and source.op in MOVES and source.name not in kept:
            source = graph.makers.get(source.proto.input[0])
        if source is not None and source.name in kept:
            norms.append(node.name)
    return norms
