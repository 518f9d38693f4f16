from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.layer_norm import fuse_layer_norms
from export.reference import open_session

WIDTH = 6


def decomposed(
    *, axis: int = -1, power: float = 2.0, affine: bool = True, shift: bool = True
) -> onnx.ModelProto:
    """Layer normalisation as exporters below opset 17 write it, between two other nodes."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Neg", ["x"], ["source"]),
        helper.make_node("ReduceMean", ["source", "axes"], ["mean"]),
        helper.make_node("Sub", ["source", "mean"], ["centred"]),
        helper.make_node("Pow", ["centred", "two"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["variance"]),
        helper.make_node("Add", ["variance", "epsilon"], ["sum"]),
        helper.make_node("Sqrt", ["sum"], ["root"]),
        helper.make_node("Div", ["centred", "root"], ["normal"], name="block/norm/Div"),
    ]
    last = "normal"
    if affine:
        nodes.append(helper.make_node("Mul", [last, "factor"], ["scaled"], name="block/norm/Mul"))
        last = "scaled"
    if shift:
        nodes.append(helper.make_node("Add", [last, "summand"], ["out"], name="block/norm/Add"))
        last = "out"
    nodes.append(helper.make_node("Abs", [last], ["y"]))
    constants = {
        "axes": np.array([axis], np.int64),
        "two": np.array(power, np.float32),
        "epsilon": np.array(1e-3, np.float32),
        "factor": random.random(WIDTH).astype(np.float32) + 0.5,
        "summand": random.random(WIDTH).astype(np.float32),
    }
    sides = [2, WIDTH, WIDTH]
    graph = helper.make_graph(
        nodes,
        "norm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sides)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(2, WIDTH, WIDTH)).astype(np.float32)
    [found] = open_session(model.SerializeToString(), optimise=False).run(None, {"x": x})
    return found


@pytest.mark.parametrize("axis", [-1, 2])
@pytest.mark.parametrize("shift", [True, False])
def test_a_normalisation_becomes_one_node(axis: int, shift: bool) -> None:
    model = decomposed(axis=axis, shift=shift)
    fused = fuse_layer_norms(model)
    assert [node.op_type for node in fused.graph.node] == ["Neg", "LayerNormalization", "Abs"]
    assert fused.graph.node[1].name == "block/norm/LayerNormalization"
    onnx.checker.check_model(fused, full_check=True)
    np.testing.assert_allclose(run(fused), run(model), rtol=1e-5, atol=1e-6)
    assert model == decomposed(axis=axis, shift=shift)


@pytest.mark.parametrize(
    "model", [decomposed(axis=1), decomposed(power=3.0), decomposed(affine=False)]
)
def test_what_is_no_layer_norm_over_the_last_axis_stays(model: onnx.ModelProto) -> None:
    assert fuse_layer_norms(model) == model


def test_a_statistic_that_is_used_elsewhere_stays() -> None:
    model = decomposed()
    model.graph.output.append(helper.make_tensor_value_info("variance", TensorProto.FLOAT, None))
    count = Counter(node.op_type for node in fuse_layer_norms(model).graph.node)
    assert count["LayerNormalization"] == 0
