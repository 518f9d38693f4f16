"""Multiply-adds against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.half_weights import store_half
from export.summary import count_macs, summarise


def node(kind: str, inputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), ["y"], **attributes)


@pytest.mark.parametrize(
    ("made", "shapes", "macs"),
    [
        # 112 x 112 x 32 outputs, each of 3 channels of 3 x 3
        (node("Conv", "xw"), {"x": (1, 3, 224, 224), "w": (32, 3, 3, 3), "y": (1, 32, 112, 112)},
         112 * 112 * 32 * 27),
        # depthwise: one channel each
        (node("Conv", "xw", group=32),
         {"x": (1, 32, 56, 56), "w": (32, 1, 3, 3), "y": (1, 32, 56, 56)}, 56 * 56 * 32 * 9),
        # 16 inputs of 7 x 7 spread into 8 channels of 2 x 2
        (node("ConvTranspose", "xw"),
         {"x": (1, 16, 7, 7), "w": (16, 8, 2, 2), "y": (1, 8, 14, 14)}, 16 * 49 * 8 * 4),
        (node("Gemm", "xw"), {"x": (1, 384), "w": (384, 10), "y": (1, 10)}, 3840),
        (node("Gemm", "xw", transA=1, transB=1),
         {"x": (5, 2), "w": (3, 5), "y": (2, 3)}, 30),
        (node("MatMul", "xw"), {"x": (1, 197, 384), "w": (384, 1152), "y": (1, 197, 1152)},
         197 * 384 * 1152),
        # queries by keys: 6 heads of 197 x 197 x 64; weights by values: as much again
        (node("Attention", "qkv"),
         {"q": (1, 6, 197, 64), "k": (1, 6, 197, 64), "v": (1, 6, 197, 64), "y": (1, 6, 197, 64)},
         2 * 6 * 197 * 197 * 64),
        # packed heads; 10 queries see 40 keys
        (node("Attention", "qkv", q_num_heads=4, kv_num_heads=4),
         {"q": (2, 10, 128), "k": (2, 40, 128), "v": (2, 40, 64), "y": (2, 10, 64)},
         2 * 4 * 10 * 40 * (32 + 16)),
        (node("Relu", "x"), {"x": (1, 8), "y": (1, 8)}, 0),
    ],
)  # fmt: skip
def test_one_node(made: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]], macs: int) -> None:
    assert count_macs(made, shapes) == macs


def product(first: int | str = 1) -> onnx.ModelProto:
    """[1, 100] by [100, 64] and [64, 8]."""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [first, 100])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [first, 8])],
        [
            numpy_helper.from_array(np.ones((100, 64), np.float32), "a"),
            numpy_helper.from_array(np.ones((64, 8), np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("first", [1, "batch"])
def test_a_graph(first: int | str) -> None:
    summary = summarise(product(first))
    assert summary.parameters == 6400 + 512
    assert summary.macs == 6400 + 512
    assert summary.gmacs == pytest.approx(6.912e-6)
    assert summary.operators == {"MatMul": 2, "Relu": 1}


def test_how_weights_are_stored_does_not_matter() -> None:
    stored = onnx.shape_inference.infer_shapes(store_half(product()))
    assert summarise(stored).macs == summarise(product()).macs
    assert summarise(stored).parameters == summarise(product()).parameters
