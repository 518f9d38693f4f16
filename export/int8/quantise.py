"""Explicit quantisation: QuantizeLinear and DequantizeLinear before the chosen nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.int8.edit import replace_nodes
from export.int8.wiring import Wiring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.int8.placement import Site

MOST: Final = 127  # thresholds are mapped to it; -128 is left to values just beyond them


def quantise(
    model: onnx.ModelProto,
    sites: Iterable[Site],
    thresholds: Mapping[str, float],
    *,
    weight_bits: int = 8,
) -> onnx.ModelProto:
    """Put Q/DQ pairs before nodes and store their weights as int8.

    Symmetric throughout, zero points 0: activations per tensor, weights per output channel,
    biases in float. A tensor that several of the nodes read is quantised once; what else reads
    it sees it in float.

    Args:
        model: A graph in float; it is not changed.
        sites: The nodes; sums count only beside their convolution.
        thresholds: The magnitude that becomes 127, by activation.
        weight_bits: 8, or 7; see `bits_of`.

    Returns:
        A graph with inferred shapes that passes the checker.
    """
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    writer = _Writer(quantised, thresholds, weight_bits)
    chosen = list(sites)
    units = {site.node for site in chosen}
    for site in chosen:
        if site.unit in units:
            writer.quantise(site)
    writer.finish()
    return quantised


def scale_for(threshold: NDArray[Any] | float, most: int = MOST) -> NDArray[np.float32]:
    """The step that brings thresholds to `most`, rounded up to what fp16 holds exactly.

    So a graph in FP32 and one in FP16 share their steps to the last bit, and nothing is clipped
    for it. A threshold of 0 (an activation or channel that is never anything else) gets the
    smallest step.
    """
    wanted = np.asarray(threshold, np.float64) / most
    with np.errstate(over="ignore"):
        half = wanted.astype(np.float16)
    up = np.where(half.astype(np.float64) < wanted, np.nextafter(half, np.float16(np.inf)), half)
    smallest = np.finfo(np.float16).smallest_subnormal
    return np.clip(up, smallest, np.finfo(np.float16).max).astype(np.float32)


def quantise_weight(
    weight: NDArray[np.float32], axis: int, bits: int = 8
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a weight to int8 with a step for each output channel.

    Args:
        weight: Any shape.
        axis: Of the output channels.
        bits: 8 or 7, sign included.

    Returns:
        int8 of the same shape, and the steps [channels].
    """
    most = 2 ** (bits - 1) - 1
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = scale_for(np.abs(weight).max(axis=others), most)
    steps = np.rint(weight / along(scale, axis, weight.ndim))
    return np.clip(steps, -most, most).astype(np.int8), scale


def bits_of(site: Site, weight_bits: int) -> int:
    """The bits that a site's weights have when so many are asked for.

    Seven bits are for x86 processors without VNNI: their 8-bit product adds pairs in 16 bits,
    where 2 x 255 x 127 saturates and 2 x 255 x 63 does not. Depthwise convolutions add no pairs.
    """
    return weight_bits if site.pairs else 8


def along(values: NDArray[Any], axis: int, rank: int) -> NDArray[Any]:
    """Give a vector the shape that lies along one axis of a tensor."""
    return values.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


class _Writer:
    """Edits one graph in place."""

    def __init__(
        self, model: onnx.ModelProto, thresholds: Mapping[str, float], weight_bits: int
    ) -> None:
        self._model = model
        self._wiring = Wiring(model)
        self._thresholds = thresholds
        self._weight_bits = weight_bits
        self._dequantised: dict[tuple[str, int], str] = {}
        self._before: dict[str, list[onnx.NodeProto]] = {}  # new nodes by the one they precede
        graph = model.graph
        self._taken = {tensor.name for tensor in graph.initializer} | {*self._wiring.nodes}
        self._taken |= {name for node in graph.node for name in (*node.input, *node.output)}

    def quantise(self, site: Site) -> None:
        node = self._wiring.nodes[site.node]
        self._feed(node, site.activation, self._activation(site))
        if site.weight:
            self._feed(node, site.weight, self._weight(site))

    def _feed(self, node: onnx.NodeProto, old: str, new: str) -> None:
        node.input[list(node.input).index(old)] = new

    def _activation(self, site: Site) -> str:
        name = site.activation
        if (name, -1) not in self._dequantised:
            step = scale_for(self._thresholds[name])
            low, out = self._fresh(f"{name}_int8"), self._fresh(f"{name}_dequantised")
            parameters = self._parameters(name, step)
            self._insert(site.node, "QuantizeLinear", [name, *parameters], low)
            self._insert(site.node, "DequantizeLinear", [low, *parameters], out)
            self._dequantised[name, -1] = out
        return self._dequantised[name, -1]

    def _weight(self, site: Site) -> str:
        name, axis = site.weight, site.axis
        if (name, axis) not in self._dequantised:
            bits = bits_of(site, self._weight_bits)
            values, steps = quantise_weight(self._wiring.values(name), axis, bits)
            low, out = self._fresh(f"{name}_int8"), self._fresh(f"{name}_dequantised")
            self._constant(low, values)
            parameters = self._parameters(low, steps)
            self._insert(site.node, "DequantizeLinear", [low, *parameters], out, axis=axis)
            self._dequantised[name, axis] = out
        return self._dequantised[name, axis]

    def _parameters(self, name: str, step: NDArray[np.float32]) -> tuple[str, str]:
        scale, zero = self._fresh(f"{name}_scale"), self._fresh(f"{name}_zero")
        self._constant(scale, step)
        self._constant(zero, np.zeros(step.shape, np.int8))
        return scale, zero

    def _fresh(self, name: str) -> str:
        """A name that nothing in the graph has, as near to the wanted one as can be."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _constant(self, name: str, values: NDArray[Any]) -> None:
        self._model.graph.initializer.append(numpy_helper.from_array(values, name))

    def _insert(
        self, before: str, operator: str, inputs: list[str], out: str, **attributes: Any
    ) -> None:
        name = self._fresh(f"{out}_node")
        node = helper.make_node(operator, inputs, [out], name=name, **attributes)
        self._before.setdefault(before, []).append(node)

    def finish(self) -> None:
        """Write the new nodes before their first readers and drop weights that nobody reads."""
        nodes = self._model.graph.node
        replace_nodes(
            self._model,
            [new for node in nodes for new in (*self._before.get(node.name, ()), node)],
        )
        inferred = onnx.shape_inference.infer_shapes(self._model, strict_mode=True)
        onnx.checker.check_model(inferred, full_check=True)
        self._model.CopyFrom(inferred)
