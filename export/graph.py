"""Slim, check and clean an ONNX graph, weights untouched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import onnx
import onnxslim  # type: ignore[import-untyped]
from onnx import TensorProto

from export.global_pool import say_global_pool
from export.layer_norm import fuse_layer_norms
from export.node_names import name_nodes, source_lines
from export.shapes import shape_of
from sdk.errors import UsageError
from sdk.manifest import LABELS
from sdk.views import View

OPSETS: Final = {  # by profile
    "compat": 20,  # the newest that TensorRT 10.3 reads; attention in elementary operators
    "native-attention": 23,  # the first with the operator Attention
}
ROWS: Final = (*LABELS, "features")  # outputs of several numbers a frame
BATCH: Final = "batch"  # name of a free first dimension
MAX_IR_VERSION = 10  # ONNX Runtime 1.18, OpenVINO 2024 and TensorRT 10.3 read no later one
# Each multiplies weights into others, which then no longer are what was trained (and fit fp16);
# the Gemm ones also wrap a transformer's products into reshapes. Runtimes do better by themselves.
_WEIGHT_FUSIONS = [
    "FusionConvBN",
    "FusionConvTransposeBN",
    "FusionConvMul",
    "FusionConvTransposeMul",
    "FusionGemm",
    "FusionGemmMul",
    "FusionGemmAdd",
]
RANDOM_OPERATORS: Final = {
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
}  # fmt: skip


def finish_graph(
    model: onnx.ModelProto,
    views: Mapping[str, View],
    outputs: Sequence[str],
    *,
    dynamic_batch: bool = False,
) -> onnx.ModelProto:
    """Simplify a graph and make sure that every runtime can take it.

    Args:
        model: The graph.
        views: Its inputs.
        outputs: Its outputs.
        dynamic_batch: The first dimension of inputs and outputs is free.

    Returns:
        A graph with inferred shapes, unique node names and no traces of the machine it was made on.

    Raises:
        UsageError: Inputs or outputs are not those named, uint8 is permuted, shapes or scores
            depend on more than the pixels, or an operator is no standard one.
    """
    named = name_nodes(model)
    lines = source_lines(named)
    _refuse_foreign_operators(named, lines)
    refuse_chance(named)
    slim = simplify(named)
    slim.ir_version = min(slim.ir_version, MAX_IR_VERSION)
    _forget_origin(slim)
    if dynamic_batch:
        _free_first_dimension(slim.graph)
        _measure_casts(slim.graph)
    slim = onnx.shape_inference.infer_shapes(name_nodes(slim), strict_mode=True, data_prop=True)
    slim = name_nodes(say_global_pool(fuse_layer_norms(slim)))
    onnx.checker.check_model(slim, full_check=True)
    _refuse_open_shapes(slim.graph, lines, dynamic_batch=dynamic_batch)
    _check_inputs(slim.graph, views, dynamic_batch=dynamic_batch)
    _check_outputs(slim.graph, outputs, dynamic_batch=dynamic_batch)
    _check_casts_come_first(slim.graph)
    return slim


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and drop what nothing depends on; no weight changes."""
    slim: onnx.ModelProto = onnxslim.slim(model, skip_fusion_patterns=_WEIGHT_FUSIONS)
    return slim


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Count the nodes of a graph by operator, sorted by name."""
    return dict(sorted(Counter(node.op_type for node in model.graph.node).items()))


def count_parameters(model: onnx.ModelProto) -> int:
    """Count the numbers in a graph's floating-point weights."""
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return sum(_size(tensor) for tensor in model.graph.initializer if tensor.data_type in kinds)


def refuse_chance(model: onnx.ModelProto) -> None:
    """Refuse graphs that draw random numbers.

    Raises:
        UsageError: Names the operator, and the source line if the graph was traced.
    """
    lines = source_lines(model)
    for node in model.graph.node:
        if node.op_type in RANDOM_OPERATORS:
            raise UsageError(
                f"The model draws random numbers ({node.op_type}){_at(node, lines)}: equal frames "
                "would get different scores.",
                hint="Replace them with constants, or draw them only in training mode.",
            )


def _size(tensor: TensorProto) -> int:
    size = 1
    for side in tensor.dims:
        size *= side
    return size


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop stack traces and documentation: they hold paths and make equal exports differ."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]


def _free_first_dimension(graph: onnx.GraphProto) -> None:
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH


def _measure_casts(graph: onnx.GraphProto) -> None:
    """Ask the cast of an input for its sides, not the input: TensorRT takes uint8 to cast it only.

    The casts go first, so that they are computed before whoever asks.
    """
    inputs = {value.name for value in graph.input}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in inputs]
    cast_of = {node.input[0]: node.output[0] for node in casts}
    rest = [node for node in graph.node if node not in casts]
    for node in rest:
        if node.op_type == "Shape" and node.input[0] in cast_of:
            node.input[0] = cast_of[node.input[0]]
    nodes = [*casts, *rest]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _refuse_foreign_operators(model: onnx.ModelProto, lines: Mapping[str, str]) -> None:
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise UsageError(
                f"The model uses {node.domain}::{node.op_type}{_at(node, lines)}, which is no "
                "standard ONNX operator: other runtimes don't know it.",
                hint="Export it without operators of one runtime, for example before optimisation.",
            )


def _refuse_open_shapes(
    graph: onnx.GraphProto, lines: Mapping[str, str], *, dynamic_batch: bool
) -> None:
    """Refuse shapes that depend on pixels: no engine can be planned for them."""
    shapes = {value.name: shape_of(value) for value in (*graph.value_info, *graph.output)}
    for node in graph.node:
        sides = [side for name in node.output for side in shapes.get(name, ())]
        if any(isinstance(side, str) and not (dynamic_batch and side) for side in sides):
            raise UsageError(
                f"The shape of what {node.op_type} returns{_at(node, lines)} is not known before "
                "it runs; engines need fixed shapes.",
                hint="Where pixels decide how much is computed (nonzero, unique, a boolean index), "
                "multiply by a mask instead.",
            )


def _at(node: onnx.NodeProto, lines: Mapping[str, str]) -> str:
    found = [lines[name] for name in node.output if name in lines]
    return f" in {found[0]}" if found else f" at node {node.name!r}"


def _check_inputs(
    graph: onnx.GraphProto, views: Mapping[str, View], *, dynamic_batch: bool
) -> None:
    found = {value.name: _describe(value) for value in graph.input}
    wanted = {
        name: (TensorProto.UINT8, (BATCH, *view.shape[1:]) if dynamic_batch else view.shape)
        for name, view in views.items()
    }
    if found != wanted:
        raise UsageError(
            f"The network's inputs are {_in_words(found)}; its views ask for {_in_words(wanted)}.",
            hint="Does its forward() use every view?",
        )


def _check_outputs(graph: onnx.GraphProto, outputs: Sequence[str], *, dynamic_batch: bool) -> None:
    found = {value.name: _describe(value) for value in graph.output}
    first: int | str = BATCH if dynamic_batch else 1
    for name, (kind, shape) in found.items():
        fits = len(shape) == (2 if name in ROWS else 1)
        if kind != TensorProto.FLOAT or not fits or shape[0] != first:
            raise UsageError(
                f"The network's output {name} is {_in_words({name: (kind, shape)})}; it must be "
                f"float32 {f'[{first}, K]' if name in ROWS else f'[{first}]'}."
            )
    if list(found) != list(outputs):
        raise UsageError(f"The network's outputs are {list(found)}, not {list(outputs)}.")


def _check_casts_come_first(graph: onnx.GraphProto) -> None:
    """TensorRT takes uint8 only to cast it: whatever else touches it breaks the engine build."""
    inputs = {value.name for value in graph.input}
    for node in graph.node:
        if node.op_type != "Cast" and inputs & set(node.input):
            raise UsageError(
                f"The network applies {node.op_type} to its uint8 input; TensorRT only casts it.",
                hint="Start forward() with x.float(), then permute and normalise.",
            )


_Described = tuple[int, tuple[int | str, ...]]


def _describe(value: onnx.ValueInfoProto) -> _Described:
    return value.type.tensor_type.elem_type, shape_of(value)


def _in_words(values: Mapping[str, _Described]) -> str:
    return ", ".join(
        f"{name}: {TensorProto.DataType.Name(kind).lower()} [{', '.join(map(str, shape))}]"
        for name, (kind, shape) in values.items()
    )
