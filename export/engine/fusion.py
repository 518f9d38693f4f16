"""Whether attention became one fused kernel, which decides how fast a transformer is.

The parsed network says where attention is; the finished engine says which kernels there are and
which ONNX nodes each stands for. The latter comes from the engine inspector, which needs a GPU, or
from the list of layers that a builder with detailed verbosity logs, which needs none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from export.engine.surface import ILayer, ITensor, TensorRT

OUR_KERNEL: Final = "framescore_attention"
_FUSED: Final = re.compile(r"(?:^|_)f?mha(?:_|$)|flash_attention", re.IGNORECASE)
_NODE: Final = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_LOGGED: Final = re.compile(r"^Name: (?P<name>.*?), LayerType: (?P<type>[^,]*)(?P<rest>.*)$")
_TACTIC: Final = re.compile(r"TacticName: ([^,]*)")


class AttentionBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One attention of a network.

    Attributes:
        node: The ONNX node: the Attention, or the Softmax of a decomposed one.
        kernel: The fused kernel that computes it; empty where several kernels do.
    """

    node: str
    kernel: str = ""


class Fusion(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a network's attention.

    Attributes:
        blocks: Every attention.
        source: Where that is known from: "inspector", "builder log", or empty where it isn't known.
    """

    blocks: tuple[AttentionBlock, ...] = ()
    source: str = ""

    @property
    def unfused(self) -> tuple[str, ...]:
        """The nodes whose attention runs as several kernels; none where it isn't known."""
        return tuple(block.node for block in self.blocks if self.source and not block.kernel)

    def with_ours(self, nodes: Iterable[str]) -> Fusion:
        """Add attention that our plugin computes: one kernel each, whatever the builder does."""
        ours = tuple(AttentionBlock(node=node, kernel=OUR_KERNEL) for node in nodes)
        source = self.source or ("" if self.blocks or not ours else "our plugin")
        return Fusion(blocks=(*ours, *self.blocks), source=source)

    def __str__(self) -> str:
        if not self.blocks:
            return "no attention in this network"
        if not self.source:
            return f"not known without a GPU (attention blocks: {len(self.blocks)})"
        fused = len(self.blocks) - len(self.unfused)
        return f"{fused} of {len(self.blocks)} attention blocks fused ({self.source})"


class EngineLayer(NamedTuple):
    """A layer of a finished engine: its name, its tactic's, and the ONNX nodes it computes."""

    name: str
    tactic: str
    nodes: frozenset[str]

    @property
    def is_fused_attention(self) -> bool:
        """Whether it computes a whole attention.

        A layer may bear the name of the node that it begins with, so names count only where they
        are the builder's own, with an underscore in front.
        """
        return bool(_FUSED.search(self.tactic)) or (
            self.name.startswith("_") and bool(_FUSED.search(self.name))
        )


def match_fusion(attention: Iterable[str], layers: Iterable[EngineLayer], source: str) -> Fusion:
    """Look up which kernel computes each attention.

    Args:
        attention: ONNX nodes, from `find_attention`.
        layers: The engine's layers; none if they are not known.
        source: Where they are from.
    """
    known = list(layers)
    fused = [layer for layer in known if layer.is_fused_attention]
    kernels = {node: layer.name for layer in fused for node in layer.nodes}
    nameless = iter([layer.name for layer in fused if not layer.nodes])  # of some block or other
    return Fusion(
        blocks=tuple(
            AttentionBlock(node=node, kernel=kernels.get(node) or next(nameless, ""))
            for node in attention
        ),
        source=source if known else "",
    )


def read_logged_layers(text: str) -> Iterator[EngineLayer]:
    """Read the list of layers that a builder logs."""
    for line in text.splitlines():
        match = _LOGGED.match(line)
        if match:
            tactic = _TACTIC.search(match["rest"])
            nodes = frozenset(_NODE.findall(match["rest"].rpartition("Metadata:")[2]))
            yield EngineLayer(match["name"], tactic[1] if tactic else "", nodes)


def read_inspected_layers(text: str) -> Iterator[EngineLayer]:
    """Read the engine inspector's JSON; without details it holds names only, and gives none."""
    for layer in json.loads(text).get("Layers", []):
        if isinstance(layer, dict):
            nodes = frozenset(_NODE.findall(layer.get("Metadata", "")))
            yield EngineLayer(layer.get("Name", ""), layer.get("TacticName", ""), nodes)


def find_attention(trt: TensorRT, layers: Iterable[ILayer], *, native: bool) -> list[str]:
    """Find the attention of a parsed network, by ONNX node.

    That is every native Attention, and every Softmax between two products of tensors that both
    depend on the input: attention pooling, whose scores are a product with weights, is none.

    Args:
        trt: TensorRT's module.
        layers: The network's layers.
        native: Whether it knows the native one.
    """
    graph = _Graph(trt, layers)
    found = [graph.node(layer) for layer in graph.softmaxes if graph.is_between_products(layer)]
    if native:
        native_kind = trt.LayerType.ATTENTION_INPUT
        found += [_native_node(layer) for layer in graph.layers if layer.type == native_kind]
    return found


def _native_node(layer: ILayer) -> str:
    """The parser calls what an Attention node NODE becomes NODE_AttentionInput."""
    return layer.name.removesuffix("_AttentionInput")


class _Graph:
    """Who makes and who takes each tensor of a network."""

    def __init__(self, trt: TensorRT, layers: Iterable[ILayer]) -> None:
        kinds = trt.LayerType
        self.layers = list(layers)
        self._product = kinds.MATRIX_MULTIPLY
        self._passing = {
            kinds.CAST, kinds.IDENTITY, kinds.SHUFFLE, kinds.QUANTIZE, kinds.DEQUANTIZE,
            kinds.ELEMENTWISE, kinds.SELECT,
        }  # fmt: skip
        self._maker: dict[str, ILayer] = {}
        self._takers: dict[str, list[ILayer]] = {}
        for layer in self.layers:
            for tensor in _outputs(layer):
                self._maker[tensor.name] = layer
            for tensor in _inputs(layer):
                self._takers.setdefault(tensor.name, []).append(layer)
        self._variable = self._depending_on_inputs()
        self.softmaxes = [layer for layer in self.layers if layer.type == kinds.SOFTMAX]

    def is_between_products(self, softmax: ILayer) -> bool:
        return self._finds_product(softmax, forward=False) and self._finds_product(
            softmax, forward=True
        )

    def node(self, layer: ILayer) -> str:
        names = _NODE.findall(layer.metadata)
        return names[0] if names else layer.name

    def _finds_product(self, start: ILayer, *, forward: bool) -> bool:
        """Search for a product of two variable tensors through layers that change only form."""
        waiting, seen = [start], {start.name}
        while waiting:
            for other in self._neighbours(waiting.pop(), forward=forward):
                if other.type == self._product:
                    if all(tensor.name in self._variable for tensor in _inputs(other)):
                        return True
                elif other.type in self._passing and other.name not in seen:
                    seen.add(other.name)
                    waiting.append(other)
        return False

    def _neighbours(self, layer: ILayer, *, forward: bool) -> list[ILayer]:
        if forward:
            return [taker for x in _outputs(layer) for taker in self._takers.get(x.name, [])]
        return [self._maker[x.name] for x in _inputs(layer) if x.name in self._maker]

    def _depending_on_inputs(self) -> set[str]:
        """Tensors that are not weights, however these are cast or dequantised."""
        variable = {x.name for x in self._all_inputs() if x.name not in self._maker}
        for layer in self.layers:  # in the order of computation
            if any(tensor.name in variable for tensor in _inputs(layer)):
                variable |= {tensor.name for tensor in _outputs(layer)}
        return variable

    def _all_inputs(self) -> Iterator[ITensor]:
        for layer in self.layers:
            yield from _inputs(layer)


def _inputs(layer: ILayer) -> Iterator[ITensor]:
    tensors = (layer.get_input(index) for index in range(layer.num_inputs))
    return (tensor for tensor in tensors if tensor is not None)


def _outputs(layer: ILayer) -> Iterator[ITensor]:
    tensors = (layer.get_output(index) for index in range(layer.num_outputs))
    return (tensor for tensor in tensors if tensor is not None)
