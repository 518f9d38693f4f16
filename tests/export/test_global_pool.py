from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.global_pool import say_global_pool
from export.reference import open_session


def pool(window: list[int], **attributes: object) -> onnx.ModelProto:
    node = helper.make_node(
        "AveragePool", ["x"], ["y"], name="head/AveragePool", kernel_shape=window, **attributes
    )
    graph = helper.make_graph(
        [node],
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_clipped_window_is_the_whole_picture() -> None:
    said = say_global_pool(pool([64, 64], ceil_mode=1, strides=[64, 64]))
    [node] = said.graph.node
    assert (node.op_type, node.name) == ("GlobalAveragePool", "head/GlobalAveragePool")
    x = np.random.default_rng(0).random((1, 2, 3, 5)).astype(np.float32)
    [found] = open_session(said.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, x.mean((2, 3), keepdims=True), rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        pool([3, 5]),
        pool([2, 2]),
        pool([64, 2], ceil_mode=1),
        pool([4, 6], ceil_mode=1, pads=[1, 1, 1, 1], count_include_pad=1),
    ],
)
def test_other_windows_stay(model: onnx.ModelProto) -> None:
    assert say_global_pool(model) == model
