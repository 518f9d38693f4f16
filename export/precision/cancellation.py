"""What stays in float32 because it is a small difference of large numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from export.activations import iterate_activations
from export.precision.formats import Format, round_to
from export.precision.rules import MOVES
from export.precision.typed_graph import TypedGraph, TypedNode

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from export.activations import ActivationRange
    from export.reference import Inputs

LOST: Final = 1 / 32  # of a difference, by rounding what it is the difference of
ENOUGH: Final = 4  # frames; how far a layer's mean is from its deviation hardly depends on them

_CENTRING = {"LayerNormalization": -1, "InstanceNormalization": 2, "GroupNormalization": 2}


def keep_by_cancellation(
    graph: TypedGraph, ranges: Mapping[str, ActivationRange]
) -> dict[str, str]:
    """Find sums whose terms cancel, so that little but the terms' rounding would be left.

    Args:
        graph: The graph.
        ranges: What `export.activations.measure_ranges` found.

    Returns:
        Reasons by node: the sums, and what computes their terms.
    """
    kept = {}
    for node in graph.nodes.values():
        if node.op not in ("Add", "Sub") or not node.reads:
            continue
        terms = max(_absmax(graph, ranges, name) for name in node.proto.input)
        left = ranges[node.proto.output[0]].absmax if node.proto.output[0] in ranges else 0.0
        if terms * 2.0**-graph.form.bits > LOST * left > 0:
            reason = f"terms of {terms:.3g} cancel to {left:.3g}"
            kept.update(dict.fromkeys([node.name, *_sources(graph, node)], reason))
    return kept


def keep_by_deviation(
    graph: TypedGraph, model: onnx.ModelProto, frames: Sequence[Inputs]
) -> dict[str, str]:
    """Find norms whose input is large beside its deviation, which they scale up to 1.

    Args:
        graph: The graph.
        model: The graph as it runs.
        frames: Frames; the first `ENOUGH` are looked at.

    Returns:
        Reasons by node: the norms, and what computes their input.
    """
    norms = [node for node in graph.nodes.values() if node.op in _CENTRING and node.reads]
    read = {node.proto.input[0] for node in norms if node.proto.input[0] in graph.makers}
    lost = dict.fromkeys(read, 0.0)
    for values in iterate_activations(model, frames[:ENOUGH], sorted(read)) if read else ():
        for node in norms:
            name = node.proto.input[0]
            if name in values:
                axis = next((a.i for a in node.proto.attribute if a.name == "axis"), None)
                first = _CENTRING[node.op] if axis is None else axis
                lost[name] = max(lost[name], _lost(values[name], first, graph.form))
    kept = {}
    for node in norms:
        share = lost.get(node.proto.input[0], 0.0)
        if share > LOST:
            reason = f"{graph.form.name} loses {share:.0%} of what {node.name} normalises"
            kept.update(dict.fromkeys([node.name, *_sources(graph, node)], reason))
    return kept


def _lost(value: NDArray[np.float32], first: int, form: Format) -> float:
    """Rounding of a tensor as a share of its deviation over the axes from `first` on."""
    axes = tuple(range(first % value.ndim, value.ndim))
    exact = value.astype(np.float64)
    deviation = np.linalg.norm(exact - exact.mean(axes, keepdims=True))
    rounded = np.clip(round_to(value, form), -form.largest, form.largest)
    return float(np.linalg.norm(rounded - exact) / deviation) if deviation > 0 else 0.0


def _absmax(graph: TypedGraph, ranges: Mapping[str, ActivationRange], name: str) -> float:
    if name in graph.constants:
        values = np.abs(graph.value(name))
        return float(values[np.isfinite(values)].max(initial=0))
    return ranges[name].absmax if name in ranges else 0.0


def _sources(graph: TypedGraph, node: TypedNode) -> Iterator[str]:
    """The nodes that compute what a node reads, and the moves on the way."""
    for source in graph.before(node):
        yield source.name
        if source.op in MOVES:
            yield from _sources(graph, source)
