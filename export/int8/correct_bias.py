"""Biases that make up for what rounding the weights shifts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx

from export.int8.edit import set_constant
from export.int8.quantise import along, bits_of, quantise_weight
from export.int8.wiring import Wiring, attribute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.int8.calibrate import Channels
    from export.int8.placement import Site


def correct_biases(
    model: onnx.ModelProto,
    sites: Iterable[Site],
    channels: Mapping[str, Channels],
    *,
    weight_bits: int = 8,
) -> onnx.ModelProto:
    """Add to each site's bias what its weights will lose by rounding, in the mean.

    Rounding errors of a channel's few weights do not average out, least of all in depthwise
    convolutions; times a mean input that is not 0 (all of them after ReLU) they shift every
    pixel alike. Source: M. Nagel et al., "Data-free quantization through weight equalization
    and bias correction", ICCV 2019, with means measured instead of derived.

    Args:
        model: The graph in float; it is not changed.
        sites: The nodes to be quantised.
        channels: Means of their inputs.
        weight_bits: As they will be quantised.

    Returns:
        The graph with other biases. Products that no bias follows stay as they are.
    """
    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    wiring = Wiring(corrected)
    for site in sites:
        if site.weight and site.activation in channels:
            mean = channels[site.activation].mean
            _correct(corrected, wiring, site, mean, bits_of(site, weight_bits))
    return corrected


def _correct(
    model: onnx.ModelProto, wiring: Wiring, site: Site, mean: NDArray[np.float64], bits: int
) -> None:
    node = wiring.nodes[site.node]
    weight = wiring.values(site.weight)
    rounded, steps = quantise_weight(weight, site.axis, bits)
    lost = weight - rounded * along(steps, site.axis, weight.ndim).astype(np.float64)
    if site.kind == "convolution":
        shift = _convolved(lost.sum(axis=tuple(range(2, lost.ndim))), mean)
    else:
        shift = np.moveaxis(lost, site.axis, 0) @ mean  # [O, C] @ [C]
    _add_to_bias(model, wiring, node, shift)


def _convolved(lost: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve constant channels [C], borders aside, with weights [O, C / groups]: [O]."""
    groups = len(mean) // lost.shape[1]
    by_group = lost.reshape(groups, -1, lost.shape[1])
    shift: NDArray[np.float64] = np.einsum("goc,gc->go", by_group, mean.reshape(groups, -1))
    return shift.ravel()


def _add_to_bias(
    model: onnx.ModelProto, wiring: Wiring, node: onnx.NodeProto, shift: NDArray[np.float64]
) -> None:
    if node.op_type == "MatMul":
        readers = wiring.readers[node.output[0]]
        places = [
            place
            for place, tensor in enumerate(readers[0].input)
            if tensor in wiring.constants and wiring.shapes[tensor] == shift.shape
        ]
        if len(readers) > 1 or readers[0].op_type != "Add" or not places:
            return
        bias = wiring.values(readers[0].input[places[0]])
        set_constant(model, readers[0], places[0], (bias + shift).astype(np.float32))
        return
    if len(node.input) > 2 and node.input[2] and node.input[2] not in wiring.constants:
        return
    has_bias = len(node.input) > 2 and node.input[2]
    old = wiring.values(node.input[2]) if has_bias else np.zeros(())
    weight = attribute(node, "beta", 1.0) if node.op_type == "Gemm" and has_bias else 1.0
    set_constant(model, node, 2, (old + shift / weight).astype(np.float32))
