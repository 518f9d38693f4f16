"""SmoothQuant: outliers of a linear layer's input move into its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx

from export.int8.edit import replace_nodes, set_constant
from export.int8.quantise import along
from export.int8.wiring import Wiring, attribute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.int8.calibrate import Channels
    from export.int8.placement import Site

    Edit = Callable[[], None]

ALPHA: Final = 0.5  # of the difficulty that stays with the activation
OUTLIER: Final = 5.0  # largest channel over the median one, from where smoothing pays

_HOMOGENEOUS: Final = frozenset({"Relu", "LeakyRelu", "Identity", "Dropout"})


@dataclass(frozen=True)
class Smoothing:
    """A graph with smoother activations.

    Attributes:
        model: Computes what the given one does.
        smoothed: The linear layers whose inputs were scaled.
        skipped: Why others with outliers were not.
    """

    model: onnx.ModelProto
    smoothed: tuple[str, ...]
    skipped: Mapping[str, str]


class _NotAbsorbed(Exception):
    """Nothing before a tensor can take its scales."""


def smooth(
    model: onnx.ModelProto, sites: Iterable[Site], channels: Mapping[str, Channels]
) -> Smoothing:
    """Divide channels with outliers by a factor each, and multiply the weights that read them.

    The factor of channel j is max|x_j|^α / max|w_j|^(1-α), brought to a power of two: so folding
    rounds nothing, the graph's scores keep every bit, and weights that fp16 holds stay so. It is
    folded into the LayerNorm or linear layer before. Source: G. Xiao et al., "SmoothQuant",
    ICML 2023.

    Args:
        model: A graph in float; it is not changed.
        sites: The nodes to be quantised.
        channels: Extremes of the linear layers' inputs.
    """
    smooth_model = onnx.ModelProto()
    smooth_model.CopyFrom(model)
    readers: dict[str, list[Site]] = {}
    for site in sites:
        if site.kind == "linear":
            readers.setdefault(site.activation, []).append(site)
    smoothed: list[str] = []
    skipped: dict[str, str] = {}
    for tensor, linears in readers.items():
        peak = channels[tensor].peak
        if peak.max() <= OUTLIER * np.median(peak):
            continue
        names = [site.node for site in linears]
        try:
            _smooth_tensor(smooth_model, tensor, linears, peak)
            smoothed += names
        except _NotAbsorbed as reason:
            skipped |= dict.fromkeys(names, str(reason))
    replace_nodes(smooth_model, list(smooth_model.graph.node))
    return Smoothing(smooth_model, tuple(smoothed), skipped)


def _smooth_tensor(
    model: onnx.ModelProto, tensor: str, linears: list[Site], peak: NDArray[np.float32]
) -> None:
    wiring = Wiring(model)  # anew: an earlier tensor's factors may sit in the same weights
    others = {node.name for node in wiring.readers[tensor]} - {site.node for site in linears}
    if others:
        raise _NotAbsorbed(f"{min(others)} reads its input in float")
    weights = [_input_major(wiring, site) for site in linears]  # each [C, O]
    weight_peak = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
    factor = _factors(peak, weight_peak)
    edits = _absorb(model, wiring, tensor, factor)
    for site in linears:
        node, values = wiring.nodes[site.node], wiring.values(site.weight)
        edits.append(_edit(model, node, 1, values * along(factor, 1 - site.axis, 2)))
    for edit in edits:
        edit()


def _factors(peak: NDArray[np.float32], weight_peak: NDArray[np.float32]) -> NDArray[np.float32]:
    usable = (peak > 0) & (weight_peak > 0)
    exponent = ALPHA * np.log2(peak, where=usable, out=np.zeros_like(peak))
    exponent -= (1 - ALPHA) * np.log2(weight_peak, where=usable, out=np.zeros_like(peak))
    return np.exp2(np.rint(np.clip(exponent, -12, 12)))


def _input_major(wiring: Wiring, site: Site) -> NDArray[np.float32]:
    return np.moveaxis(wiring.values(site.weight), site.axis, 1)


def _edit(
    model: onnx.ModelProto, node: onnx.NodeProto, place: int, values: NDArray[np.float32]
) -> Edit:
    return lambda: set_constant(model, node, place, values.astype(np.float32))


def _absorb(
    model: onnx.ModelProto, wiring: Wiring, tensor: str, factor: NDArray[np.float32]
) -> list[Edit]:
    """What to change so that a tensor [..., C] comes out divided by the factors [C]."""
    node = wiring.producer.get(tensor)
    if node is None or tensor in wiring.outputs:
        raise _NotAbsorbed("its input is an input or output of the network")
    data = wiring.activations(node)

    def divided(place: int, axis: int = -1) -> Edit:
        values = wiring.values(node.input[place])
        rank = max(values.ndim, 1)
        return _edit(model, node, place, values / along(factor, axis, rank))

    def before(name: str) -> list[Edit]:
        if len(wiring.readers[name]) > 1:
            raise _NotAbsorbed(f"what {node.name} reads is read elsewhere too")
        return _absorb(model, wiring, name, factor)

    constants = [i for i, name in enumerate(node.input) if name in wiring.constants]
    last = all(wiring.shapes[node.input[i]][-1:] in ((), (1,), factor.shape) for i in constants)
    if node.op_type == "LayerNormalization" and constants and last:
        return [divided(place) for place in constants]
    if node.op_type == "Mul" and len(constants) == 1 and last:
        return [divided(constants[0])]
    if node.op_type == "Add" and len(constants) == 1 and last:
        return [divided(constants[0]), *before(data[0])]
    if node.op_type == "MatMul" and constants == [1]:
        return [divided(1)]
    if node.op_type == "Gemm" and 1 in constants and len(data) == 1:
        axis = 0 if attribute(node, "transB", 0) else 1
        return [divided(1, axis), *(divided(2) for place in constants if place == 2)]
    if node.op_type in _HOMOGENEOUS:
        return before(data[0])
    raise _NotAbsorbed(f"{node.op_type} lies between it and the layer before")
