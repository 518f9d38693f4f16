"""Slim, check and clean an ONNX graph, weights untouched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import onnx
import onnxslim  # type: ignore[import-untyped]
from onnx import TensorProto

from sdk.errors import UsageError
from sdk.views import View

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


def finish_graph(
    model: onnx.ModelProto, views: Mapping[str, View], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Simplify a traced graph and make sure that every runtime can take it.

    Args:
        model: The graph.
        views: Its inputs.
        outputs: Its outputs.

    Returns:
        A graph with inferred shapes and without traces of the machine it was made on.

    Raises:
        UsageError: Inputs or outputs are not those named, or uint8 is permuted.
    """
    slim: onnx.ModelProto = onnxslim.slim(model, skip_fusion_patterns=_WEIGHT_FUSIONS)
    slim.ir_version = min(slim.ir_version, MAX_IR_VERSION)
    _forget_origin(slim)
    slim = onnx.shape_inference.infer_shapes(slim, strict_mode=True, data_prop=True)
    onnx.checker.check_model(slim, full_check=True)
    _check_inputs(slim.graph, views)
    _check_outputs(slim.graph, outputs)
    _check_casts_come_first(slim.graph)
    return slim


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Count the nodes of a graph by operator, sorted by name."""
    return dict(sorted(Counter(node.op_type for node in model.graph.node).items()))


def count_parameters(model: onnx.ModelProto) -> int:
    """Count the numbers in a graph's floating-point weights."""
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return sum(_size(tensor) for tensor in model.graph.initializer if tensor.data_type in kinds)


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


def _check_inputs(graph: onnx.GraphProto, views: Mapping[str, View]) -> None:
    found = {value.name: _describe(value) for value in graph.input}
    wanted = {name: (TensorProto.UINT8, view.shape) for name, view in views.items()}
    if found != wanted:
        raise UsageError(
            f"The network's inputs are {_in_words(found)}; its views ask for {_in_words(wanted)}.",
            hint="Does its forward() use every view?",
        )


def _check_outputs(graph: onnx.GraphProto, outputs: Sequence[str]) -> None:
    found = {value.name: _describe(value) for value in graph.output}
    for name, (kind, shape) in found.items():
        scalar = len(shape) == (2 if name == "distortions" else 1)
        if kind != TensorProto.FLOAT or not scalar or shape[0] != 1:
            raise UsageError(
                f"The network's output {name} is {_in_words({name: (kind, shape)})}; it must be "
                f"float32 {'[1, K]' if name == 'distortions' else '[1]'}."
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


def _describe(value: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, tuple(side.dim_value for side in tensor.shape.dim)


def _in_words(values: Mapping[str, tuple[int, tuple[int, ...]]]) -> str:
    return ", ".join(
        f"{name}: {TensorProto.DataType.Name(kind).lower()} {list(shape)}"
        for name, (kind, shape) in values.items()
    )
