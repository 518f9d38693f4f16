"""From an ordinary graph, image to number, to one that takes bytes and returns a score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.convention import ImageConvention
from export.graph import BATCH, simplify
from export.shapes import shape_of
from sdk.errors import UsageError
from sdk.views import View

_CHANNELS: Final = 3
_KINDS: Final = {TensorProto.FLOAT, TensorProto.UINT8}
_INPUT: Final = "pixels"  # prefix of the names of the nodes that come first
_OUTPUT: Final = "score"  # and last
_AXES_ARE_INPUTS: Final = 18  # the opset from which ReduceMean takes its axes as an input


def fold(
    model: onnx.ModelProto,
    name: str,
    view: View,
    convention: ImageConvention,
    *,
    dynamic_batch: bool = False,
) -> onnx.ModelProto:
    """Write normalisation, layout and the scale of the score into a graph.

    In front come Cast, Transpose (for [N, 3, H, W]), Gather (for BGR) and one scale and shift; at
    the end the mean over the pictures of a frame, one scale and shift, and a Clip.

    Args:
        model: A graph with one float image input, [N, 3, H, W] or [N, H, W, 3], whose free sides
            are given the view's sizes. A uint8 input is taken to be normalised inside already.
        name: What the input is called from now on.
        view: What it takes.
        convention: How the network reads pixels, and what its number means.
        dynamic_batch: Leave the first dimension free: any number of frames at once.

    Returns:
        A graph from uint8 [N, H, W, 3] to `score`, float32 [1], from 0 to 100.

    Raises:
        UsageError: Input or output are of another kind; the message says what they are.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    source = image_input(graph)
    channels_first = fit_input(source, view, dynamic_batch=dynamic_batch)
    output = _choose_output(folded, view.shape[0], convention, dynamic_batch=dynamic_batch)
    _rename(graph, source.name, f"{_INPUT}/input")
    _rename(graph, output, f"{_OUTPUT}/output")
    for taken in (name, _OUTPUT):
        _rename(graph, taken, f"{taken}/inner")
    _put_pixels_first(graph, source, name, view, convention, channels_first=channels_first)
    _put_score_last(folded, view.shape[0], convention, dynamic_batch=dynamic_batch)
    del graph.value_info[:]
    return folded


def image_input(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    """Return the one image input of a graph.

    Raises:
        UsageError: It has several inputs, or takes other numbers than float32 and uint8.
    """
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise UsageError(
            f"The model has {len(inputs)} inputs ({', '.join(value.name for value in inputs)}); "
            "one picture is expected.",
            hint="Networks that take several views take them as uint8 and are declared by VIEWS in "
            "their module (docs/export.md).",
        )
    image: onnx.ValueInfoProto = inputs[0]
    kind = image.type.tensor_type.elem_type
    if kind not in _KINDS:
        raise UsageError(
            f"The model's input {image.name} is {TensorProto.DataType.Name(kind).lower()}; "
            "float32 is expected.",
            hint="Export it in FP32: framescore converts to other precisions itself.",
        )
    return image


def fit_input(source: onnx.ValueInfoProto, view: View, *, dynamic_batch: bool = False) -> bool:
    """Give an image input the sizes of a view.

    Args:
        source: The input; its free sides are filled in.
        view: What it will take.
        dynamic_batch: Leave the first dimension free.

    Returns:
        Whether the layout is [N, 3, H, W] rather than [N, H, W, 3].

    Raises:
        UsageError: The input's rank, channels or sizes are others.
    """
    sides = shape_of(source)
    if len(sides) != 4:
        raise UsageError(
            f"The model's input {source.name} has shape {_words(sides)}; a picture has four "
            "dimensions, [N, 3, H, W] or [N, H, W, 3]."
        )
    channels_first = sides[1] == _CHANNELS or (isinstance(sides[1], str) and sides[3] != _CHANNELS)
    count, height, width, _ = view.shape
    wanted = (count, _CHANNELS, height, width) if channels_first else view.shape
    if any(
        isinstance(side, int) and side != want for side, want in zip(sides, wanted, strict=True)
    ):
        _refuse_sizes(source.name, sides, wanted, view)
    for side, want in zip(source.type.tensor_type.shape.dim, wanted, strict=True):
        side.dim_value = want
    if dynamic_batch:
        _refuse_free_crops(view)
        if isinstance(sides[0], int):
            raise UsageError(
                f"The model's input {source.name} has the fixed shape {_words(sides)}; a dynamic "
                "batch needs a free first dimension.",
                hint="Export the ONNX file with one, or leave --dynamic-batch away.",
            )
        source.type.tensor_type.shape.dim[0].dim_param = BATCH
    return channels_first


def _refuse_sizes(name: str, sides: Sequence[int | str], wanted: Sequence[int], view: View) -> None:
    channels = sides[1] if sides[1] in (1, _CHANNELS) else sides[3]
    message = f"The model's input {name} is {_words(sides)}; the view {view.spec} gives "
    message += f"{_words(wanted)}."
    if channels != _CHANNELS:
        raise UsageError(message, hint="Views are colour pictures with 3 channels.")
    spatial = [
        s for s in (sides[2:] if sides[1] == _CHANNELS else sides[1:3]) if isinstance(s, int)
    ]
    if len(spatial) == 2 and tuple(spatial) != view.shape[1:3]:
        raise UsageError(message, hint=f"Choose --view resize:{spatial[0]}x{spatial[1]}")
    raise UsageError(
        message,
        hint=f"Export the ONNX file with a free first dimension, or with {wanted[0]}.",
    )


def _refuse_free_crops(view: View) -> None:
    if view.shape[0] != 1:
        raise UsageError(
            f"A dynamic batch is not possible with {view.spec}: its first dimension already counts "
            f"the {view.shape[0]} crops of one frame.",
            hint="Leave --dynamic-batch away; the crops of a frame run as one batch anyway.",
        )


def _choose_output(
    model: onnx.ModelProto, pictures: int, convention: ImageConvention, *, dynamic_batch: bool
) -> str:
    """Find the output that holds the score, after the shapes that the view decides."""
    shapes = _output_shapes(model)
    if dynamic_batch:
        shapes = {name: (1, *sides[1:]) for name, sides in shapes.items()}
    unknown = [name for name, sides in shapes.items() if not all(isinstance(s, int) for s in sides)]
    if unknown and convention.output is None and len(unknown) == len(shapes):
        raise UsageError(
            f"The shape of the model's output {unknown[0]} depends on what the picture shows.",
            hint="A score is one number for each picture; reduce it inside the model.",
        )
    known = {
        name: [s if isinstance(s, int) else 0 for s in sides] for name, sides in shapes.items()
    }
    return convention.choose(known, 1 if dynamic_batch else pictures)


def _output_shapes(model: onnx.ModelProto) -> dict[str, tuple[int | str, ...]]:
    """Infer the shapes of the outputs anew; those that were written down are of other inputs."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        shapes = _inferred(bare)
        known = all(isinstance(side, int) for sides in shapes.values() for side in sides)
        return shapes if known else _inferred(simplify(bare))
    except Exception as error:  # onnx and onnxslim raise whatever the operator's check raises
        raise UsageError(
            f"The model does not fit its input of {_words(shape_of(image_input(bare.graph)))}: "
            f"{_first_line(error)}.",
            hint="Was it exported for another size? Choose another --view.",
        ) from error


def _inferred(model: onnx.ModelProto) -> dict[str, tuple[int | str, ...]]:
    found = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    return {value.name: shape_of(value) for value in found.graph.output}


def _put_pixels_first(
    graph: onnx.GraphProto,
    source: onnx.ValueInfoProto,
    name: str,
    view: View,
    convention: ImageConvention,
    *,
    channels_first: bool,
) -> None:
    """Let uint8 [N, H, W, 3] in, and compute what the network took before."""
    raw = source.type.tensor_type.elem_type == TensorProto.UINT8
    batch = shape_of(source)[0]
    steps = list(_pixel_steps(convention, channels_first=channels_first, raw=raw))
    previous, nodes = name, []
    for index, (kind, constant, attributes) in enumerate(steps):
        result = f"{_INPUT}/input" if index == len(steps) - 1 else f"{_INPUT}/{kind}/output"
        nodes.append(_node(graph, f"{_INPUT}/{kind}", kind, previous, result, constant, attributes))
        previous = result
    _put_nodes(graph, [*nodes, *graph.node])
    source.CopyFrom(
        helper.make_tensor_value_info(name, TensorProto.UINT8, (batch, *view.shape[1:]))
    )


_Step = tuple[str, Any, dict[str, Any]]  # operator, constant second input or None, attributes


def _pixel_steps(
    convention: ImageConvention, *, channels_first: bool, raw: bool
) -> Iterator[_Step]:
    """Yield what happens to bytes, in order."""
    yield "Cast", None, {"to": TensorProto.FLOAT}
    if channels_first:
        yield "Transpose", None, {"perm": [0, 3, 1, 2]}
    if raw:
        return
    axis = 1 if channels_first else 3
    if convention.bgr:
        yield "Gather", np.array([2, 1, 0], np.int64), {"axis": axis}
    sides = [1, 1, 1, 1]
    sides[axis] = _CHANNELS
    scale, shift = (_short(x).reshape(sides if x.std() else (1,))
                    for x in (convention.scale, convention.shift))  # fmt: skip
    if (scale != 1).any():
        yield "Mul", scale, {}
    if (shift != 0).any():
        yield "Add", shift, {}


def _short(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Round to float32; one number where all are equal."""
    return (values if values.std() else values[:1]).astype(np.float32)


def _put_score_last(
    model: onnx.ModelProto, pictures: int, convention: ImageConvention, *, dynamic_batch: bool
) -> None:
    """Turn an output into `score` and drop the others."""
    graph = model.graph
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    steps = list(_score_steps(convention, pictures, opset))
    previous = f"{_OUTPUT}/output"
    for index, (kind, constant, attributes) in enumerate(steps):
        result = _OUTPUT if index == len(steps) - 1 else f"{_OUTPUT}/{kind}/output"
        node = _node(graph, f"{_OUTPUT}/{kind}", kind, previous, result, constant, attributes)
        graph.node.append(node)
        previous = result
    first = BATCH if dynamic_batch else 1
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, [first]))


def _score_steps(convention: ImageConvention, pictures: int, opset: int) -> Iterator[_Step]:
    """Yield what happens to the network's number, in order."""
    yield "Reshape", np.array([-1], np.int64), {}
    if pictures > 1 and opset < _AXES_ARE_INPUTS:
        yield "ReduceMean", None, {"axes": [0], "keepdims": 1}
    elif pictures > 1:
        yield "ReduceMean", np.array([0], np.int64), {"keepdims": 1}
    if convention.gain != 1:
        yield "Mul", np.array(convention.gain, np.float32), {}
    if convention.offset:
        yield "Add", np.array(convention.offset, np.float32), {}
    yield "Clip", (np.float32(0), np.float32(100)), {}


def _node(
    graph: onnx.GraphProto,
    name: str,
    kind: str,
    source: str,
    result: str,
    constant: Any,
    attributes: dict[str, Any],
) -> onnx.NodeProto:
    """Make a node, and initialisers for its constants."""
    constants = constant if isinstance(constant, tuple) else () if constant is None else (constant,)
    inputs = [source]
    for number, value in enumerate(constants):
        inputs.append(f"{name}/constant_{number}")
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), inputs[-1]))
    return helper.make_node(kind, inputs, [result], name=name, **attributes)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a tensor wherever it is computed and used, so that its old name is free."""
    for tensor in graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, old, new)


def _put_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    del graph.node[:]
    graph.node.extend(nodes)


def _words(sides: Sequence[int | str]) -> str:
    return f"[{', '.join(str(side) or '?' for side in sides)}]"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
