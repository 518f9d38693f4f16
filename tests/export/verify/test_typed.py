"""Rounding that CPU runtimes skip is there when a graph runs as its types say."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.reference import open_session
from export.verify.typed import TypedBackend
from sdk.errors import BackendError


def square_then_shrink(kind: int) -> onnx.ModelProto:
    """x² · 1e-4 with everything between the casts in a low precision."""
    nodes = [
        helper.make_node("Cast", ["x"], ["low"], name="first", to=kind),
        helper.make_node("Cast", ["k"], ["k_low"], name="weight", to=kind),
        helper.make_node("Mul", ["low", "low"], ["square"], name="square"),
        helper.make_node("Mul", ["square", "k_low"], ["small"], name="shrink"),
        helper.make_node("Cast", ["small"], ["score"], name="last", to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array([1e-4], np.float32), "k")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def as_typed(model: onnx.ModelProto, x: float) -> float:
    backend = TypedBackend(model.SerializeToString(), "fp16")
    return float(backend.infer({"x": np.array([x], np.float32)})["score"][0])  # type: ignore[dict-item]


def test_an_overflow_that_the_runtime_hides_is_seen() -> None:
    model = square_then_shrink(TensorProto.FLOAT16)
    session = open_session(model.SerializeToString())
    hidden = session.run(["score"], {"x": np.array([300], np.float32)})[0].item()
    assert hidden == pytest.approx(9, rel=1e-3)  # the runtime stays in FP32
    assert as_typed(model, 300) == np.inf


@pytest.mark.parametrize("x", [300.0, 3.007, -0.2501])
def test_each_result_is_rounded_to_bf16(x: float) -> None:
    def bf16(value: float) -> np.float32:
        """Round to nearest, ties to even, on the bits."""
        bits = int(np.float32(value).view(np.uint32))
        return np.uint32((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)

    low = bf16(x)
    expected = bf16(float(bf16(float(low * low)) * bf16(1e-4)))
    assert as_typed(square_then_shrink(TensorProto.BFLOAT16), x) == expected


def test_a_graph_that_cannot_be_loaded_is_a_backend_error() -> None:
    model = square_then_shrink(TensorProto.FLOAT16)
    model.graph.node[2].op_type = "Unheard"
    with pytest.raises(BackendError, match="ONNX Runtime cannot load it"):
        TypedBackend(model.SerializeToString(), "fp16")
