"""A small transformer as ONNX, in every form that engines are built from, and a bundle of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.reference import run_scores
from export.write_bundle import npz_bytes, write_bundle
from sdk.bundle import Bundle
from sdk.manifest import GoldenFile, Manifest, OnnxGraph, ViewInput

SIDE, WIDTH, HEADS = 64, 64, 2
TOKENS = 64  # patches of 8x8
TYPES = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}
NUMPY = {"fp32": np.float32, "fp16": np.float16}

Value = tuple[str, int, Sequence[int | str]]


def transformer(precision: str = "fp32", *, native: bool = False, free: bool = False) -> bytes:
    """One uint8 picture to one score: patches, one attention, mean, product, sigmoid.

    Args:
        precision: Its arithmetic.
        native: Attention as one node of opset 23.
        free: The first dimension is free.
    """
    batch: int | str = "batch" if free else 1
    rows = -1 if free else 1
    short = TYPES[precision]
    heads, tokens = [rows, TOKENS, HEADS, WIDTH // HEADS], [rows, TOKENS, WIDTH]
    nodes = [
        node("Cast", ["picture"], "float", to=short),
        node("Mul", ["float", "scale"], "scaled"),
        node("Transpose", ["scaled"], "planes", perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "patch"], "patches", strides=[8, 8]),  # [B, C, 8, 8]
        node("Reshape", ["patches", "flat"], "columns"),
        node("Transpose", ["columns"], "tokens", perm=[0, 2, 1]),  # [B, N, C]
    ]
    for name in ("query", "key", "value"):
        nodes += [
            node("MatMul", ["tokens", f"{name}_weight"], f"{name}_row"),
            node("Reshape", [f"{name}_row", "heads"], f"{name}_heads"),
            node("Transpose", [f"{name}_heads"], name, perm=[0, 2, 1, 3]),  # [B, heads, N, C']
        ]
    nodes += _attention(native=native)
    nodes += [
        node("Transpose", ["mixed"], "rows", perm=[0, 2, 1, 3]),
        node("Reshape", ["rows", "together"], "mixed_tokens"),
        node("ReduceMean", ["mixed_tokens", "axis"], "mean", keepdims=0),  # [B, C]
        node("MatMul", ["mean", "head"], "raw"),
        node("Cast", ["raw"], "raw32", to=TensorProto.FLOAT),
        node("Sigmoid", ["raw32"], "share"),
        node("Mul", ["share", "hundred"], "scores"),
        node("Reshape", ["scores", "one"], "score"),
    ]
    random = np.random.default_rng(0)
    dtype = NUMPY[precision]

    def weight(*shape: int) -> NDArray[np.float64]:
        return random.normal(0, shape[-2] ** -0.5, shape)

    constants = {
        "patch": random.normal(0, 0.2, (WIDTH, 3, 8, 8)).astype(dtype),
        **{f"{n}_weight": weight(WIDTH, WIDTH).astype(dtype) for n in ("query", "key", "value")},
        "head": weight(WIDTH, 1).astype(dtype),
        "scale": np.array(1 / 255, dtype),
        "hundred": np.array(100, np.float32),
        "root": np.array((WIDTH // HEADS) ** -0.5, dtype),
        "flat": np.array([rows, WIDTH, TOKENS]),
        "heads": np.array(heads),
        "together": np.array(tokens),
        "axis": np.array([1]),
        "one": np.array([-1]),
    }
    if native:
        del constants["root"]  # the node's own scale
    return model(
        nodes,
        [("picture", TensorProto.UINT8, [batch, SIDE, SIDE, 3])],
        [("score", TensorProto.FLOAT, [batch])],
        constants,
        opset=23 if native else 20,
    )


def _attention(*, native: bool) -> list[NodeProto]:
    if native:
        return [node("Attention", ["query", "key", "value"], "mixed", name="attention")]
    return [
        node("Mul", ["query", "root"], "query_scaled"),
        node("Transpose", ["key"], "key_columns", perm=[0, 1, 3, 2]),
        node("MatMul", ["query_scaled", "key_columns"], "logits"),
        node("Softmax", ["logits"], "weights", name="attention", axis=-1),
        node("MatMul", ["weights", "value"], "mixed"),
    ]


def quantised(*, activations: bool) -> bytes:
    """One product with INT8 weights, its other factor quantised or not."""
    nodes = [node("DequantizeLinear", ["weight", "step", "zero"], "factor", name="weight_dq")]
    if activations:
        nodes += [
            node("QuantizeLinear", ["x", "step", "zero"], "x8", name="input_q"),
            node("DequantizeLinear", ["x8", "step", "zero"], "x_dq", name="input_dq"),
        ]
    nodes.append(node("MatMul", ["x_dq" if activations else "x", "factor"], "y"))
    constants = {
        "weight": np.arange(64 * 64).reshape(64, 64).astype(np.int8),
        "step": np.array(0.02, np.float32),
        "zero": np.array(0, np.int8),
    }
    shape: list[int | str] = [8, 64]
    return model(
        nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)], constants
    )


def node(operator: str, inputs: list[str], output: str, **attributes: object) -> NodeProto:
    """A node with one output, called like it unless named."""
    attributes.setdefault("name", output)
    return helper.make_node(operator, inputs, [output], **attributes)


def model(
    nodes: list[NodeProto],
    inputs: list[Value],
    outputs: list[Value],
    constants: dict[str, NDArray] | None = None,
    *,
    opset: int = 20,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return made.SerializeToString()


def write_small_bundle(path: Path, *, free: bool = False) -> Bundle:
    """A bundle with the transformer in FP32 and FP16, the latter in both profiles."""
    forms = {
        "fp32.onnx": OnnxGraph(file="fp32.onnx", opset=20, dynamic_batch=free),
        "fp16.onnx": OnnxGraph(file="fp16.onnx", opset=20, precision="fp16", dynamic_batch=free),
        "native.onnx": OnnxGraph(
            file="native.onnx",
            opset=23,
            precision="fp16",
            profile="native-attention",
            dynamic_batch=free,
        ),
    }
    graphs = {
        file: transformer(form.precision, native=form.opset == 23, free=free)
        for file, form in forms.items()
    }
    for data in graphs.values():
        onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    frames = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    scores = run_scores(graphs["fp32.onnx"], [{"picture": frame[None]} for frame in frames])
    manifest = Manifest(
        id="small",
        version="1",
        views=(ViewInput(input="picture", spec=f"resize:{SIDE}x{SIDE}"),),
        onnx=forms["fp32.onnx"],
        variants=(forms["fp16.onnx"], forms["native.onnx"]),
        golden=GoldenFile(file="golden.npz"),
    )
    golden = npz_bytes({"picture": frames, "score": scores.astype(np.float32)})
    return write_bundle(path, manifest, {**graphs, "golden.npz": golden})
