"""What stays in float32 because of its numbers: constants, and activations on real frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from export.precision.formats import Format, round_to
from export.precision.typed_graph import TypedGraph, TypedNode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.activations import ActivationRange

HEADROOM: Final = 4.0  # frames in service may reach this many times what calibration frames did
FEW: Final = 64  # numbers; so few are factors, bounds and epsilons, more are weights


@dataclass(frozen=True)
class Overflow:
    """A tensor that the short format cannot hold on the frames.

    Attributes:
        node: The node that computes it.
        tensor: The tensor.
        value: Its largest magnitude.
    """

    node: str
    tensor: str
    value: float


def keep_by_constants(graph: TypedGraph) -> dict[str, str]:
    """Find the nodes whose constants the short format cannot hold.

    Returns:
        Reasons by node.
    """
    kept = {}
    for node in graph.nodes.values():
        scale = _scale(node)
        for name in node.weights:
            values = graph.value(name)
            fault = (
                _scale_fault(values, graph.form)
                if name == scale
                else constant_fault(values, graph.form)
            )
            if fault:
                kept[node.name] = f"constant {name} {fault}"
                break
    return kept


def constant_fault(values: NDArray[np.float32], form: Format) -> str:
    """Say why a format cannot hold a constant; empty if it can.

    A few numbers must all be of full precision: an epsilon that becomes 0 divides by 0. Weights
    may flush single numbers to zero, but not lose more in all than rounding normally takes.
    """
    finite = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    if not finite.size:
        return ""
    absmax, absmin = np.abs(finite).max(), np.abs(finite).min()
    if absmax > form.largest:
        return f"reaches {absmax:.3g}, {form.name} ends at {form.largest:.5g}"
    if finite.size < FEW:
        small = absmin < form.smallest
        return f"is {absmin:.3g}, {form.name} is exact from {form.smallest:.2g} on" if small else ""
    error = np.linalg.norm(round_to(finite.astype(np.float32), form) - finite)
    lost = error / np.linalg.norm(finite)
    return f"loses {lost:.1%} by rounding to {form.name}" if lost > 2.0 ** (1 - form.bits) else ""


def keep_by_range(
    graph: TypedGraph, ranges: Mapping[str, ActivationRange]
) -> tuple[dict[str, str], tuple[Overflow, ...]]:
    """Find the nodes whose results leave the short format on the frames.

    A tensor that leaves it is float32 for its maker and for all who read it.

    Args:
        graph: The graph.
        ranges: What `export.activations.measure_ranges` found.

    Returns:
        Reasons by node, and the tensors that would be infinite without them.
    """
    kept: dict[str, str] = {}
    overflows = []
    for node in graph.nodes.values():
        for name in node.proto.output:
            absmax = ranges[name].absmax if name in ranges else 0.0
            if absmax > graph.form.largest:
                overflows.append(Overflow(node.name, name, absmax))
            fault = _range_fault(absmax, graph.form)
            if fault:
                kept.setdefault(node.name, f"{name} {fault}")
                for reader in graph.readers.get(name, ()):
                    kept.setdefault(reader.name, f"reads {name}, which {fault}")
    return kept, tuple(overflows)


def _range_fault(absmax: float, form: Format) -> str:
    if absmax * HEADROOM > form.largest:
        return f"reaches {absmax:.3g}, {form.name} ends at {form.largest:.5g}"
    if 0 < absmax < form.smallest * HEADROOM:
        return f"stays below {absmax:.2g}, {form.name} is exact from {form.smallest:.2g} on"
    return ""


def _scale(node: TypedNode) -> str:
    """The constant that is the scale of a quantising node; empty for other nodes."""
    quantises = node.op in ("QuantizeLinear", "DequantizeLinear")
    return node.proto.input[1] if quantises else ""


def _scale_fault(scales: NDArray[np.float32], form: Format) -> str:
    """Scales multiply int8 of up to 127: an error in one shifts all numbers of its channel."""
    error = np.abs(round_to(scales, form) - scales.astype(np.float64))
    wrong = error > np.abs(scales) * 2.0**-form.bits
    if not wrong.any():
        return ""
    return f"has a scale of {scales[wrong].flat[0]:.3g} that {form.name} loses bits of"
