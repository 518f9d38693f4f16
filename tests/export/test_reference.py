from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnxruntime import GraphOptimizationLevel

from export.reference import open_session, run_onnx, run_scores


def mean_of_frame() -> bytes:
    """`score` is the mean of a 2x2 picture, `mos` a twenty-fifth of it."""
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "one"], ["score"]),
        helper.make_node("Mul", ["score", "share"], ["mos"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 2, 2, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("score", "mos")],
        [
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("share", TensorProto.FLOAT, [1], [0.04]),
        ],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


FRAMES = [{"x": np.full([1, 2, 2, 3], value, np.uint8)} for value in (10, 75)]


def test_outputs_come_by_name_and_frame() -> None:
    first, second = run_onnx(mean_of_frame(), FRAMES)
    assert first == {"score": pytest.approx([10]), "mos": pytest.approx([0.4])}
    assert second == {"score": pytest.approx([75]), "mos": pytest.approx([3])}
    assert first["score"].dtype == np.float32


def test_scores_come_as_one_array() -> None:
    scores = run_scores(mean_of_frame(), FRAMES)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, [10, 75])
    assert run_scores(mean_of_frame(), []).shape == (0,)


def test_a_session_runs_nodes_as_they_are_on_request() -> None:
    def level(optimise: bool) -> GraphOptimizationLevel:
        session = open_session(mean_of_frame(), optimise=optimise)
        return session.get_session_options().graph_optimization_level

    assert level(optimise=False) == GraphOptimizationLevel.ORT_DISABLE_ALL
    assert level(optimise=True) != GraphOptimizationLevel.ORT_DISABLE_ALL
