"""What TensorRT-RTX's parser refuses, in words that name the node and the reason."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from export.engine import Options, build_graph
from sdk.errors import BackendError, FramescoreError, UsageError

from .small_graphs import model, node

pytestmark = pytest.mark.usefixtures("rtx")

FLOAT, HALF, UINT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
ROW = [1, 8]


def refusal(graph: bytes, kind: type[FramescoreError] = BackendError) -> FramescoreError:
    with pytest.raises(kind) as error:
        build_graph(graph, name="t", precision="fp16", target="sm_86", options=Options(cache=False))
    return error.value


def test_unknown_operator() -> None:
    graph = model([node("Frobnicate", ["x"], "y")], [("x", FLOAT, ROW)], [("y", FLOAT, ROW)])
    error = refusal(graph)
    assert "does not take node 'y' (Frobnicate): no operator is called Frobnicate" in error.message
    assert "takes none from plugins" in error.message
    assert "build with TensorRT" in error.hint


def test_operator_that_the_parser_knows_and_refuses() -> None:
    graph = model([node("Det", ["x"], "y")], [("x", FLOAT, [4, 4])], [("y", FLOAT, [])])
    assert "node 'y' (Det): the operator Det is not supported" in refusal(graph).message


def test_uint8_that_is_not_cast_first() -> None:
    nodes = [
        node("Transpose", ["x"], "planes", perm=[0, 3, 1, 2]),
        node("Cast", ["planes"], "y", to=FLOAT),
    ]
    graph = model(nodes, [("x", UINT8, [1, 8, 8, 3])], [("y", FLOAT, [1, 3, 8, 8])])
    error = refusal(graph)
    assert "node 'planes' (Transpose): first input has type UInt8" in error.message
    assert "begin with a Cast" in error.hint


def test_types_that_only_weak_typing_would_bring_together() -> None:
    nodes = [node("Cast", ["x"], "short", to=HALF), node("Add", ["x", "short"], "y")]
    error = refusal(model(nodes, [("x", FLOAT, ROW)], [("y", FLOAT, ROW)]))
    assert "node 'y' (Add): ElementWiseOperation SUM must have same input types" in error.message
    assert "Float and Half" in error.message
    assert "strongly typed" in error.hint


def test_messages_hold_no_traces_of_the_builders_source() -> None:
    nodes = [node("Cast", ["x"], "short", to=HALF), node("Add", ["x", "short"], "y")]
    message = refusal(model(nodes, [("x", FLOAT, ROW)], [("y", FLOAT, ROW)])).message
    assert not any(word in message for word in (".cpp", "_src", "Error Code", "\n"))


@pytest.mark.parametrize("graph", [b"", b"hello"])
def test_bytes_that_are_no_graph(graph: bytes) -> None:
    assert "TensorRT-RTX" in refusal(graph).message


def test_only_the_batch_may_be_free() -> None:
    shape = [1, "n"]
    graph = model([node("Relu", ["x"], "y")], [("x", FLOAT, shape)], [("y", FLOAT, shape)])
    message = refusal(graph, UsageError).message
    assert message == "Input x has the shape [1, -1]; only its first dimension may be free."


def test_pictures_of_a_frame_multiply_the_batch() -> None:
    """A view of several crops has them in the first dimension."""
    weight = {"w": np.ones((8, 4), np.float16)}
    graph = model(
        [node("MatMul", ["x", "w"], "y")],
        [("x", HALF, ["crops", 8])],
        [("y", HALF, ["crops", 4])],
        weight,
    )
    engine = build_graph(
        graph,
        name="t",
        precision="fp16",
        target="sm_86",
        pictures={"x": 25},
        options=Options(cache=False, batch=(1, 2, 4)),
    )
    assert engine.inputs[0].shapes == ((25, 8), (50, 8), (100, 8))
