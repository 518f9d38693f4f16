"""What is wrong with a layer, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import numpy_helper

from export.verify.layers import Forms, LayerError, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIPPED: Final = 0.01
"""Share of values beyond the range of their scale from which on it counts as too small."""

UNUSED: Final = 0.25
"""Share of the range that values reach, below which the scale counts as too large: two of eight
bits are wasted."""

GAIN: Final = 1.25
"""Factor by which a channel must come back larger or smaller for its weights' scale to be wrong:
several times what rounding does."""

ALIKE: Final = 0.9
"""Correlation from which on such a factor, and not noise, is what makes a channel differ."""

_TINY: Final = 1e-30
_TOP: Final = 127.5  # steps; what is beyond is clipped
_ELEMENTWISE: Final = {"Add", "Cast", "Div", "Gather", "Mul", "Sub", "Transpose"}


def describe(forms: Forms, layer: LayerError) -> tuple[str, str]:
    """Say what an error looks like.

    Args:
        forms: The two forms of the graph.
        layer: The layer that makes the error.

    Returns:
        One of "overflow", "bad scale", "normalisation", "precision", and a sentence.
    """
    for explain in (_overflow, _bad_scale, _normalisation):
        words = explain(forms, layer)
        if words:
            return explain.__name__.strip("_").replace("_", " "), f"{layer.node}: {words}"
    return "precision", (
        f"{layer.node}: {layer.operator} loses precision: its result is {layer.own:.2%} off, "
        f"with values from {layer.low:.4g} to {layer.high:.4g}."
    )


def _overflow(forms: Forms, layer: LayerError) -> str:
    form, absmax = forms.format_of(layer.tensor), max(abs(layer.low), abs(layer.high))
    if form is not None and absmax > form.largest:
        return f"overflow: reaches {absmax:.5g}, {form.name} ends at {form.largest:.5g}."
    if np.isinf(layer.own):
        return f"overflow: not finite within the layer, whose result reaches {absmax:.5g} in fp32."
    return ""


def _bad_scale(forms: Forms, layer: LayerError) -> str:
    """Look at every quantiser of the layer: those of its input, and of its weights."""
    part = cut(forms.other, [layer.tensor], forms.shared)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in part.graph.initializer}
    for node in part.graph.node:
        words = ""
        if node.op_type == "QuantizeLinear":
            words = _activation_scale(forms, node, constants[node.input[1]])
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            words = _weight_scale(forms, layer, node.input[1])
        if words:
            return f"bad scale: {words}"
    return ""


def _activation_scale(forms: Forms, node: onnx.NodeProto, scale: NDArray[Any]) -> str:
    source = node.input[0].removesuffix("__given")
    known = forms.values([source]) if source in forms.shared else forms.own([source])
    values = np.abs(known[source])
    top = float(scale.max()) * _TOP
    clipped, reach = float((values > top).mean()), float(values.max()) / top
    if clipped > CLIPPED:
        return (
            f"{clipped:.1%} of {source} is clipped: the scale ends at {top:.4g}, values reach "
            f"{values.max():.4g}."
        )
    if reach < UNUSED:
        return (
            f"{source} uses {reach:.0%} of its range: the scale ends at {top:.4g}, values reach "
            f"{values.max():.4g}."
        )
    return ""


def _weight_scale(forms: Forms, layer: LayerError, scale: str) -> str:
    """Judge weights by what the layer makes of the reference's values.

    The weights themselves may differ for a reason: a batch norm folded in, or smoothing.
    """
    wanted, found = forms.values([layer.tensor])[layer.tensor], forms.own([layer.tensor])
    axis = 1 if layer.operator == "Conv" else -1
    if wanted.ndim < 2 or found[layer.tensor].shape != wanted.shape:
        return ""
    gain, likeness = _gains(wanted, found[layer.tensor], axis)
    off = np.abs(np.log(gain)) * (likeness > ALIKE)
    if off.max() <= np.log(GAIN):
        return ""
    return (
        f"{(off > np.log(GAIN)).sum()} of {len(gain)} channels come back up to "
        f"{gain[off.argmax()]:.3g} times as large as they should, by the weights' {scale}."
    )


def _gains(
    wanted: NDArray[Any], found: NDArray[Any], axis: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a factor to each channel, apart from its mean; with the correlation: [C], [C]."""
    x, y = (_channels(values, axis) for values in (wanted, found))
    xx, xy, yy = (np.maximum(a, _TINY) for a in ((x * x).sum(1), (x * y).sum(1), (y * y).sum(1)))
    return xy / xx, xy / np.sqrt(xx * yy)


def _channels(values: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Values by channel, less their mean: [C, the rest]."""
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float64)
    centred: NDArray[np.float64] = rows - rows.mean(axis=1, keepdims=True)
    return centred


def _normalisation(forms: Forms, layer: LayerError) -> str:
    """Before the first layer with weights, a difference can only be in how pixels are read."""
    before = {node.op_type for node in cut(forms.reference, [layer.tensor], ()).graph.node}
    if not before <= _ELEMENTWISE:
        return ""
    wanted, found = forms.values([layer.tensor])[layer.tensor], forms.own([layer.tensor])
    here = found[layer.tensor]
    axis = next((i for i in (1, -1) if wanted.ndim == 4 and wanted.shape[i] == 3), None)
    if axis is None or here.shape != wanted.shape:
        return "normalisation differs: pixels are scaled otherwise."
    one, other = (np.moveaxis(x, axis, 0).reshape(3, -1).astype(np.float64) for x in (wanted, here))
    straight, swapped = _fit(one, other), _fit(one[::-1], other)
    if straight is None and swapped is not None:
        return "normalisation differs: the channels come in reverse order (RGB or BGR)."
    if straight is None:
        return "normalisation differs: pixels are scaled otherwise."
    fits = ", ".join(f"{gain:.3g}·x {shift:+.3g}" for gain, shift in straight)
    return (
        "normalisation differs: what is x in the reference is, channel by channel, "
        f"{fits} here; mean or std are others."
    )


def _fit(one: NDArray[Any], other: NDArray[Any]) -> list[tuple[float, float]] | None:
    """Gain and shift of each channel [3, P], or None if a line does not explain the difference."""
    lines = []
    for x, y in zip(one, other, strict=True):
        gain, shift = np.polyfit(x, y, 1) if np.ptp(x) else (1.0, float((y - x).mean()))
        if np.abs(y - gain * x - shift).max() > 0.01 * max(float(np.ptp(y)), 1e-6):
            return None
        lines.append((float(gain), float(shift)))
    return lines
