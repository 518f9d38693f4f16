"""From an ONNX graph to a strongly typed TensorRT network, and what is wrong where that fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

from export.engine.api import Toolkit
from export.engine.log import clean
from export.engine.plan import TensorInfo
from export.engine.surface import (
    IAttentionInputLayer,
    IBuilder,
    ILayer,
    INetwork,
    IOptimizationProfile,
    IParser,
    ITensor,
    TensorRT,
)
from sdk.errors import BackendError, UsageError

_HINTS: Final = {
    r"type UInt8 but must": "TensorRT only casts uint8: let the graph begin with a Cast of it.",
    r"same input types": "Engines are strongly typed and cast nothing by themselves: the graph "
    "must cast one of the two. framescore export writes such graphs.",
}
_TYPES: Final = {"float": "float32", "half": "float16", "bf16": "bfloat16"}  # as numpy says


def parse_graph(toolkit: Toolkit, builder: IBuilder, logger: object, graph: bytes) -> INetwork:
    """Parse a graph; every type is what the graph says.

    Args:
        toolkit: The TensorRT.
        builder: Its builder.
        logger: Its logger.
        graph: The ONNX file.

    Raises:
        BackendError: TensorRT does not take it; the message names the node and the reason.
    """
    trt = toolkit.module
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        raise _refusal(toolkit, parser)
    if not network.num_outputs:  # what the parser makes of bytes that are no ONNX
        raise BackendError(f"{toolkit.name} finds no network in the graph: it is no ONNX file.")
    if toolkit.features.native_attention:
        _let_attention_decompose(trt, network)
    return network


def layers_of(network: INetwork) -> Iterator[ILayer]:
    """Yield a network's layers in their order."""
    for index in range(network.num_layers):
        yield network.get_layer(index)


def quantised_activations(trt: TensorRT, network: INetwork) -> list[str]:
    """Name the layers that quantise something that isn't a weight."""
    weights: set[str] = set()
    found = []
    for layer in layers_of(network):
        inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
        constant = all(tensor is None or tensor.name in weights for tensor in inputs)
        if constant:
            outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
            weights |= {tensor.name for tensor in outputs if tensor is not None}
        elif layer.type == trt.LayerType.QUANTIZE:
            found.append(layer.name)
    return found


def fill_profile(
    network: INetwork,
    profile: IOptimizationProfile,
    batch: tuple[int, int, int],
    pictures: Mapping[str, int],
) -> bool:
    """Say which shapes the inputs may have.

    Args:
        network: The network.
        profile: Gets the shapes of inputs whose first dimension is free.
        batch: Smallest, usual and largest number of frames.
        pictures: Pictures in one frame, by input; 1 where not named.

    Returns:
        Whether any input is free.

    Raises:
        UsageError: The network has a fixed batch, and another one is asked for, or another
            dimension than the first is free.
    """
    free = [tensor for tensor in _inputs(network) if -1 in tuple(tensor.shape)]
    if not free and batch != (1, 1, 1):
        raise UsageError(
            f"The network takes one frame at a time; --batch asks for up to {batch[2]}.",
            hint="Export it again with a free batch: framescore export … --dynamic-batch",
        )
    for tensor in free:
        if -1 in tuple(tensor.shape)[1:]:
            raise UsageError(
                f"Input {tensor.name} has the shape {list(tensor.shape)}; only its first dimension "
                "may be free."
            )
        profile.set_shape(tensor.name, *_shapes(tensor, batch, pictures))
    return bool(free)


def describe_tensors(
    network: INetwork, batch: tuple[int, int, int], pictures: Mapping[str, int]
) -> tuple[TensorInfo, ...]:
    """Return the inputs, then the outputs; see `fill_profile` for the arguments."""
    inputs = list(_inputs(network))
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    return tuple(
        TensorInfo(
            name=tensor.name,
            mode=mode,
            type=_TYPES.get(tensor.dtype.name.lower(), tensor.dtype.name.lower()),
            shape=tuple(tensor.shape),
            shapes=_shapes(tensor, batch, pictures) if -1 in tuple(tensor.shape) else (),
        )
        for mode, tensors in (("input", inputs), ("output", outputs))
        for tensor in tensors
    )


def _inputs(network: INetwork) -> Iterator[ITensor]:
    for index in range(network.num_inputs):
        yield network.get_input(index)


def _shapes(
    tensor: ITensor, batch: tuple[int, int, int], pictures: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    rest = tuple(tensor.shape)[1:]
    each = pictures.get(tensor.name, 1)
    smallest, usual, largest = ((frames * each, *rest) for frames in batch)
    return smallest, usual, largest


def _let_attention_decompose(trt: TensorRT, network: INetwork) -> None:
    """Let native attention fall apart where no kernel computes it whole, in FP32 for example.

    Without that the build fails; with it the report on fusion says that it fell apart.
    """
    for layer in layers_of(network):
        if layer.type == trt.LayerType.ATTENTION_INPUT:
            layer.__class__ = trt.IAttentionInputLayer  # how TensorRT's bindings are cast down
            cast("IAttentionInputLayer", layer).attention.decomposable = True


def _refusal(toolkit: Toolkit, parser: IParser) -> BackendError:
    """Put the first of the parser's errors in words; the others mostly follow from it."""
    if not parser.num_errors:
        return BackendError(f"{toolkit.name} cannot read the graph, and does not say why.")
    error = parser.get_error(0)
    reason = clean(re.sub(r"^Invalid Node - .*\n", "", error.desc()))
    node, operator = error.node_name(), error.node_operator()
    where = f"node {node!r} ({operator})" if operator else "the graph"
    hint = next((text for key, text in _HINTS.items() if re.search(key, reason)), "")
    if "Plugin not found" in reason:
        reason, hint = _unknown_operator(toolkit, operator)
    elif reason == "false" or not reason:  # a check that states no more than that it failed
        reason = f"the operator {operator} is not supported"
        hint = "Replace it in the network by operators that are."
    # A node's name stands in the reason where the builder's own check has failed.
    reason = reason.removeprefix(f"{node}: ")
    return BackendError(f"{toolkit.name} does not take {where}: {reason}.", hint=hint)


def _unknown_operator(toolkit: Toolkit, operator: str) -> tuple[str, str]:
    if toolkit.features.plugins:
        return f"no operator or plugin is called {operator}", "Name its library with --plugin."
    return (
        f"no operator is called {operator}, and this backend takes none from plugins",
        "Replace it in the network, or build with TensorRT, which takes plugins.",
    )
