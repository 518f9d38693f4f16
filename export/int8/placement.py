"""Which nodes may compute in INT8, told by the structure of the graph, and why others may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final, Literal

from export.int8.wiring import Wiring, attribute

if TYPE_CHECKING:
    import onnx

NARROW: Final = 16  # rows or columns of a weight matrix, below which no INT8 kernel pays
WEIGHTED: Final = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "Attention"})

POOLED: Final = "works on one position a picture: score head, or gate after pooling"
PATCHES: Final = "patch embedding: every later layer lives on its precision"
HEAD: Final = "last layer before an output"
PRODUCT: Final = "product of two activations, as in attention"
STREAM: Final = "residual stream of a transformer: it carries outliers"
NO_SKIP: Final = "no convolution ends in this sum"

_CARRIERS: Final = frozenset(  # what may lie between a patch embedding and its LayerNorm
    {"Add", "Concat", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Dropout",
     "Identity"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Site:
    """A node that can compute in INT8.

    Attributes:
        node: Its name.
        kind: What it is.
        activation: The tensor to quantise before it: a data input, or the skip input of a sum.
        weight: The initialiser to quantise; empty for sums.
        axis: The axis of the weight's output channels.
        unit: The node that it stands or falls with: for sums their convolution, else itself.
        pairs: Whether it adds up products over input channels: all with weights but depthwise
            convolutions do. There, kernels that add pairs in 16 bits may saturate.
    """

    node: str
    kind: Literal["convolution", "linear", "residual add"]
    activation: str
    weight: str
    axis: int
    unit: str
    pairs: bool = True

    @property
    def channel_axis(self) -> int:
        """The axis of the activation's channels, those that the weights sum over."""
        return 1 if self.kind == "convolution" else -1


@dataclass(frozen=True, slots=True)
class Placement:
    """What INT8 could take over.

    Attributes:
        sites: Nodes that can compute in INT8, in the order of the graph.
        left_out: Why each other node with multiply-adds, or a sum of activations, stays in float.
    """

    sites: tuple[Site, ...]
    left_out: Mapping[str, str]


def place(wiring: Wiring) -> Placement:
    """Choose by structure, never by name: shapes, weights, and what lies before and after.

    Convolutions and the sums they end in, and in transformers only the products with weights.
    The method is that of NVIDIA's explicit quantisation: activations per tensor, weights per
    output channel, a residual sum quantised on the side that is no convolution's result, so that
    convolution, sum and activation become one kernel.
    """
    sites: dict[str, Site] = {}
    left_out: dict[str, str] = {}
    for name, node in wiring.nodes.items():
        found = _judge(node, wiring, sites)
        if isinstance(found, Site):
            sites[name] = found
        elif found:
            left_out[name] = found
    return Placement(tuple(sites.values()), left_out)


def _judge(node: onnx.NodeProto, wiring: Wiring, sites: Mapping[str, Site]) -> Site | str:
    """The site of a node, or why it is none; nothing for nodes that never compute in INT8."""
    if node.op_type == "Add":
        return _residual_add(node, wiring, sites)
    if node.op_type not in WEIGHTED:
        return ""
    if any(tensor not in wiring.shapes for tensor in (*node.input[:2], node.output[0])):
        return "its shapes are not known"
    if node.op_type == "Conv":
        return _convolution(node, wiring)
    if node.op_type in ("MatMul", "Gemm"):
        return _linear(node, wiring)
    return PRODUCT if node.op_type == "Attention" else f"no INT8 rule for {node.op_type}"


def _convolution(node: onnx.NodeProto, wiring: Wiring) -> Site | str:
    if node.input[1] not in wiring.constants:
        return "its weights are computed"
    if _positions(node, wiring, channel_axis=1) <= _pictures(wiring):
        return POOLED
    if _is_patch_embedding(node, wiring):
        return PATCHES
    if not _feeds_weights(node, wiring):
        return HEAD
    data, weight = node.input[:2]
    outputs, inputs = wiring.shapes[weight][:2]
    depthwise = inputs == 1 and attribute(node, "group", 1) == outputs > 1
    return Site(node.name, "convolution", data, weight, 0, node.name, not depthwise)


def _linear(node: onnx.NodeProto, wiring: Wiring) -> Site | str:
    data, weight = node.input[:2]
    if weight not in wiring.constants:
        return "weights on the left" if data in wiring.constants else PRODUCT
    if len(wiring.shapes[weight]) != 2 or attribute(node, "transA", 0):
        return "its weights are no plain matrix"
    if _positions(node, wiring, channel_axis=-1) <= _pictures(wiring):
        return POOLED
    if not _feeds_weights(node, wiring):
        return HEAD
    if min(wiring.shapes[weight]) < NARROW:
        return f"a side of its weights is below {NARROW}"
    axis = 0 if attribute(node, "transB", 0) else 1
    return Site(node.name, "linear", data, weight, axis, node.name)


def _residual_add(node: onnx.NodeProto, wiring: Wiring, sites: Mapping[str, Site]) -> Site | str:
    sides = wiring.activations(node)
    if len({*sides}) != 2 or len({wiring.shapes.get(side, side) for side in sides}) != 1:
        return ""
    main = _convolved_side(sides, wiring, sites)
    if main is None:
        products = {"MatMul", "Gemm"}
        linear = any(_origin(side, wiring) in products for side in sides)
        return STREAM if linear else NO_SKIP
    skip = sides[1] if sides[0] == main else sides[0]
    return Site(node.name, "residual add", skip, "", 0, wiring.producer[main].name)


def _convolved_side(sides: list[str], wiring: Wiring, sites: Mapping[str, Site]) -> str | None:
    """The later result of an INT8 convolution that only this sum reads."""
    results = [
        side
        for side in sides
        if side in wiring.producer
        and wiring.producer[side].name in sites
        and wiring.producer[side].op_type == "Conv"
        and len(wiring.readers[side]) == 1
        and side not in wiring.outputs
    ]
    return max(results, key=lambda side: wiring.place[wiring.producer[side].name], default=None)


def _origin(tensor: str, wiring: Wiring) -> str:
    """The operator that a tensor comes from, a bias or scale passed over."""
    node = wiring.producer.get(tensor)
    while node is not None and node.op_type in ("Add", "Mul"):
        (data, *others) = wiring.activations(node)
        if others:
            break
        node = wiring.producer.get(data)
    return node.op_type if node is not None else ""


def _positions(node: onnx.NodeProto, wiring: Wiring, channel_axis: int) -> int:
    """How many places a layer computes: pixels or tokens, over all pictures."""
    shape = wiring.shapes[node.output[0]]
    return prod(shape) // shape[channel_axis]


def _pictures(wiring: Wiring) -> int:
    return sum(wiring.shapes[name][0] for name in wiring.inputs if name in wiring.shapes)


def _is_patch_embedding(node: onnx.NodeProto, wiring: Wiring) -> bool:
    """A convolution of the picture that cuts it into tiles, or that a LayerNorm follows."""
    if _depends_on_weights(node, wiring):
        return False
    kernel = list(wiring.shapes[node.input[1]][2:])
    strides = list(attribute(node, "strides", [1] * len(kernel)))
    return (kernel == strides and max(kernel) > 1) or _meets_layer_norm(node, wiring)


def _depends_on_weights(node: onnx.NodeProto, wiring: Wiring) -> bool:
    waiting, seen = wiring.activations(node), set[str]()
    while waiting:
        source = wiring.producer.get(waiting.pop())
        if source is None or source.name in seen:
            continue
        if source.op_type in WEIGHTED:
            return True
        seen.add(source.name)
        waiting += wiring.activations(source)
    return False


def _meets_layer_norm(node: onnx.NodeProto, wiring: Wiring) -> bool:
    waiting, seen = [*wiring.after(node)], set[str]()
    while waiting:
        reader = waiting.pop()
        if reader.op_type == "LayerNormalization":
            return True
        if reader.op_type in _CARRIERS and reader.name not in seen:
            seen.add(reader.name)
            waiting += wiring.after(reader)
    return False


def _feeds_weights(node: onnx.NodeProto, wiring: Wiring) -> bool:
    """Whether another layer with weights, or attention, comes later."""
    waiting, seen = [*wiring.after(node)], set[str]()
    while waiting:
        reader = waiting.pop()
        if reader.op_type in WEIGHTED:
            return True
        if reader.name not in seen:
            seen.add(reader.name)
            waiting += wiring.after(reader)
    return False
