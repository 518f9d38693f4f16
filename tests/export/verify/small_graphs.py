"""A small convolutional network as a typed graph, in precisions made by the shortest of means.

Nothing of export's own passes is used, so that what these tests plant is all that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.activations import measure_ranges
from export.frame_set import FrameSet, collect_frames
from export.reference import run_scores
from export.write_bundle import npz_bytes, write_bundle
from sdk.bundle import Bundle
from sdk.manifest import GoldenFile, Manifest, OnnxGraph, ViewInput
from sdk.views import View

VIEWS = {"picture": View.parse("resize:64x64")}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
OVERFLOWS = 6e4
LAYERS = ("conv1", "conv2", "conv3")


def fp32_graph(
    mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD, gain: float = 1.0
) -> onnx.ModelProto:
    """Three convolutions and a head; `gain` is multiplied in at conv2 and divided out at conv3.

    With OVERFLOWS, what conv2 gives does not fit into fp16, though its weights and the score do.
    """
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(0, 1.6 / np.sqrt(9 * fan_in), (16, fan_in, 3, 3))
        for name, fan_in in zip(LAYERS, (3, 16, 16), strict=True)
    }
    weights["conv2"] *= gain
    weights["conv3"] /= gain
    constants = {
        "scale": np.float32(255),
        "mean": np.array(mean).reshape(1, 3, 1, 1),
        "std": np.array(std).reshape(1, 3, 1, 1),
        **{f"{name}_w": value for name, value in weights.items()},
        "head_w": rng.normal(0, 0.6, (16, 1)),
        "head_b": np.ones(1),
        "hundred": np.float32(100),
        "flat": np.array([1], np.int64),
    }
    nodes = [
        _node("Cast", ["picture"], "floats", to=TensorProto.FLOAT),
        _node("Transpose", ["floats"], "planes", perm=[0, 3, 1, 2]),
        _node("Div", ["planes", "scale"], "unit"),
        _node("Sub", ["unit", "mean"], "centred"),
        _node("Div", ["centred", "std"], "normalised"),
        *_layer("conv1", "normalised"),
        *_layer("conv2", "conv1_relu"),
        *_layer("conv3", "conv2_relu"),
        _node("GlobalAveragePool", ["conv3_relu"], "pooled"),
        _node("Flatten", ["pooled"], "features"),
        _node("Gemm", ["features", "head_w", "head_b"], "raw"),
        _node("Sigmoid", ["raw"], "share"),
        _node("Mul", ["share", "hundred"], "points"),
        _node("Reshape", ["points", "flat"], "score"),
    ]
    return _model(nodes, {name: _constant(value) for name, value in constants.items()})


def fp16_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Everything in fp16 from the first cast on, the score cast back."""
    constants = {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float16)
        if tensor.data_type == TensorProto.FLOAT
        else numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
    }
    nodes = []
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if node.op_type == "Cast":
            copy.attribute[0].i = TensorProto.FLOAT16
        if node.output[0] == "score":
            copy.name, copy.output[0] = "make_score_half", "score_half"
        nodes.append(copy)
    nodes.append(_node("Cast", ["score_half"], "score", to=TensorProto.FLOAT))
    return _model(nodes, constants)


def int8_graph(
    model: onnx.ModelProto, frames: FrameSet, wrong: Mapping[str, float] | None = None
) -> onnx.ModelProto:
    """Q/DQ on inputs and weights of the convolutions.

    Args:
        model: The FP32 graph.
        frames: Whose ranges give the scales.
        wrong: Factors on scales, by "conv2" for its input or "conv2_w" for its weights.
    """
    factors = wrong or {}
    ranges = measure_ranges(model, frames.inputs)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if node.op_type == "Conv":
            name, source, weight = node.name, node.input[0], node.input[1]
            scale = ranges[source].absmax / 127 * factors.get(name, 1)
            constants[f"{name}_x_scale"] = np.array(scale, np.float32)
            constants[f"{name}_zero"] = np.array(0, np.int8)
            q, dq, dq_w = f"{source}_q", f"{source}_dq", f"{weight}_dq"
            nodes.append(_node("QuantizeLinear", [source, f"{name}_x_scale", f"{name}_zero"], q))
            nodes.append(_node("DequantizeLinear", [q, f"{name}_x_scale", f"{name}_zero"], dq))
            kernel = constants.pop(weight)
            steps = np.abs(kernel).max(axis=(1, 2, 3)) / 127
            constants[f"{weight}_q"] = np.rint(kernel / steps[:, None, None, None]).astype(np.int8)
            constants[f"{weight}_scale"] = (steps * factors.get(weight, 1)).astype(np.float32)
            constants[f"{weight}_zero"] = np.zeros(len(steps), np.int8)
            inputs = [f"{weight}_q", f"{weight}_scale", f"{weight}_zero"]
            nodes.append(_node("DequantizeLinear", inputs, dq_w, axis=0))
            copy.input[:] = [dq, dq_w]
        nodes.append(copy)
    return _model(nodes, constants)


def small_frames(count: int = 24, seed: int = 0) -> FrameSet:
    return collect_frames(None, VIEWS, count, seed=seed)


def write_small_bundle(path: Path, **graphs: onnx.ModelProto) -> Bundle:
    """A bundle of graphs by precision, "_" for "+"; its golden frames are scored by fp32."""
    members = {f"{name}.onnx": graph.SerializeToString() for name, graph in graphs.items()}
    golden = small_frames(4, seed=2).inputs
    stacked: dict[str, NDArray[np.generic]] = {
        name: np.stack([frame[name][0] for frame in golden]) for name in VIEWS
    }
    stacked["score"] = run_scores(members["fp32.onnx"], golden).astype(np.float32)
    entries = [
        OnnxGraph(file=f"{name}.onnx", opset=20, precision=name.replace("_", "+"))
        for name in graphs
    ]
    manifest = Manifest(
        id="small",
        version="1",
        views=tuple(ViewInput(input=name, spec=view.spec) for name, view in VIEWS.items()),
        onnx=entries[0],
        variants=tuple(entries[1:]),
        golden=GoldenFile(file="golden.npz"),
    )
    return write_bundle(path, manifest, {**members, "golden.npz": npz_bytes(stacked)})


def _layer(name: str, source: str) -> list[onnx.NodeProto]:
    conv = helper.make_node(
        "Conv", [source, f"{name}_w"], [f"{name}_out"], name=name, pads=[1] * 4, strides=[2, 2]
    )
    return [conv, _node("Relu", [f"{name}_out"], f"{name}_relu")]


def _node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"make_{output}", **attributes)


def _constant(value: NDArray[np.generic] | np.generic) -> NDArray[np.generic]:
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _model(
    nodes: list[onnx.NodeProto], constants: Mapping[str, NDArray[np.generic]]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, 64, 64, 3])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model
