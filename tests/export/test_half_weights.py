from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.half_weights import SMALLEST, restore_half, store_half
from export.reference import run_onnx

SIZE = 2 * SMALLEST


def adds(weights: NDArray[np.float32]) -> onnx.ModelProto:
    """A graph that adds weights to a row of bytes."""
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["float", "w"], ["y"]),
    ]
    row = [1, len(weights)]
    graph = helper.make_graph(
        nodes,
        "adds",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, row)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, row)],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def stored(weights: NDArray[np.float32]) -> str:
    """The type in which the weights are stored, after a check that the sums are the same bits."""
    model = adds(weights)
    half = store_half(model)
    frame = {"x": np.arange(len(weights), dtype=np.uint8)[None]}
    before, after = (
        run_onnx(graph.SerializeToString(), [frame])[0]["y"] for graph in (model, half)
    )
    assert before.tobytes() == after.tobytes()
    assert model == adds(weights)  # the argument is left alone
    return TensorProto.DataType.Name(half.graph.initializer[0].data_type)


def weights(**changes: float) -> NDArray[np.float32]:
    values = np.linspace(-4, 4, SIZE).astype(np.float16).astype(np.float32)
    for position, value in changes.items():
        values[int(position[1:])] = value
    return values


def test_weights_that_fp16_holds_are_stored_so() -> None:
    assert stored(weights()) == "FLOAT16"
    assert stored(weights(_3=65504.0, _4=2.0**-24, _5=-0.0)) == "FLOAT16"


@pytest.mark.parametrize("value", [1 / 3, 65520.0, 1e30, 2.0**-25, 1 + 2.0**-11])
def test_one_weight_that_fp16_rounds_keeps_the_tensor(value: float) -> None:
    assert stored(weights(_7=value)) == "FLOAT"


def test_infinities_survive_and_nan_is_left_alone() -> None:
    assert stored(weights(_0=np.inf, _1=-np.inf)) == "FLOAT16"
    signalling = weights()
    signalling.view(np.uint32)[0] = 0x7FC00001  # a NaN with a payload that fp16 cannot carry
    half = store_half(adds(signalling))
    assert half.graph.initializer[0].data_type == TensorProto.FLOAT


def test_few_weights_stay() -> None:
    assert stored(weights()[: SMALLEST - 1]) == "FLOAT"


def test_restoring_gives_the_graph_that_was_stored() -> None:
    for values in (weights(), weights(_3=1 / 3), weights()[: SMALLEST - 1]):
        assert restore_half(store_half(adds(values))) == adds(values)
    stored = store_half(adds(weights()))
    before = stored.SerializeToString()
    restore_half(stored)
    assert stored.SerializeToString() == before


def test_casts_of_typed_graphs_stay() -> None:
    """A graph in fp16 may cast a weight of its own; only what `store_half` added goes."""
    typed = adds(weights())
    half = numpy_helper.from_array(weights().astype(np.float16), "own")
    typed.graph.initializer[0].CopyFrom(half)
    typed.graph.node.insert(0, helper.make_node("Cast", ["own"], ["w"], to=TensorProto.FLOAT))
    assert restore_half(typed) == typed
