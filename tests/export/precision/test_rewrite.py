from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.precision.formats import BF16, FP16, Format
from export.precision.rewrite import write_typed
from export.precision.rounding import emulate
from export.precision.typed_graph import TypedGraph
from export.reference import run_onnx
from tests.export.precision.graphs import casts, frames, kinds, read_graph

BODY = """
    a = Cast <to = 1> (x)
    b = Mul (a, third)
    e = Exp (b)
    c = Add (b, e)
    d = Mul (c, third)
    score = ReduceMax <keepdims = 0> (d)
"""
THIRD = np.float32(1 / 300)


def graph(form: Format = FP16, opset: int = 20) -> TypedGraph:
    return TypedGraph(read_graph(BODY, score="", opset=opset, third=THIRD), form)


def write(full: set[str], form: Format = FP16, opset: int = 20) -> onnx.ModelProto:
    model = write_typed(graph(form, opset), full)
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def test_casts_stand_where_a_tensor_crosses_the_border() -> None:
    model = write({"e", "score"})
    assert casts(model) == ["x", "b", "e", "d"]
    found = kinds(model)
    short = {name for name, kind in found.items() if kind == "FLOAT16"}
    assert short == {"a", "b", "c", "d", "e_fp16", "third_fp16"}
    assert found["score"] == found["e"] == found["b_fp32"] == "FLOAT"


def test_a_tensor_with_two_readers_is_cast_once() -> None:
    model = write({"e", "c", "d", "score"})
    assert casts(model) == ["x", "b"]
    assert [list(node.input) for node in model.graph.node if node.name in "ec"] == [
        ["b_fp32"],
        ["b_fp32", "e"],
    ]


def test_weights_that_both_precisions_read_exist_twice() -> None:
    model = write({"e", "c", "d", "score"})
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert stored.keys() == {"third", "third_fp16"}
    assert stored["third"] == THIRD
    assert stored["third_fp16"] == np.float16(THIRD)  # rounded to nearest
    assert stored["third_fp16"].dtype == np.float16


def test_weights_that_nobody_reads_are_left_out() -> None:
    model = write({"e", "score"})
    assert [tensor.name for tensor in model.graph.initializer] == ["third_fp16"]


def test_outputs_keep_their_name_and_type() -> None:
    model = write(set())
    assert kinds(model)["score"] == "FLOAT"
    assert casts(model) == ["x", "score_fp16"]


def test_an_output_that_others_read_too() -> None:
    model = read_graph(BODY, score="", third=THIRD, outputs=", float[1,4,4,3] b")
    typed = write_typed(TypedGraph(model, FP16), {"e", "score"})
    onnx.checker.check_model(typed, full_check=True)
    assert kinds(typed)["b"] == "FLOAT"
    first, second = run_onnx(emulate(typed).SerializeToString(), frames())
    assert first["b"].max() == pytest.approx(frames()[0]["x"].max() / 300, rel=1e-3)
    assert second["score"] > 0


def test_names_of_nodes_stay() -> None:
    names = [node.name for node in write({"e", "score"}).graph.node]
    assert [name for name in names if not name.endswith("_cast")] == [*"abecd", "score"]
    assert len(set(names)) == len(names)


def test_bf16_is_written_alike() -> None:
    model = write({"e", "score"}, BF16, 22)
    assert kinds(model)["b"] == "BFLOAT16"
    assert casts(model) == ["x", "b", "e", "d"]
    short = next(tensor for tensor in model.graph.initializer if tensor.name == "third_bf16")
    assert short.raw_data == bytes([0x5A, 0x3B])  # 0x3B5A740E, rounded down


def test_the_scores_are_those_of_rounded_values() -> None:
    (exact,) = run_onnx(graph().model.SerializeToString(), frames(1))
    (short,) = run_onnx(emulate(write({"e", "score"})).SerializeToString(), frames(1))
    assert short["score"] != exact["score"]
    assert short["score"] == pytest.approx(exact["score"], rel=2e-3)


def test_norms_say_that_their_statistics_are_fp32_and_attention_says_nothing() -> None:
    model = read_graph(
        """
        a = Cast <to = 1> (x)
        n = LayerNormalization <axis = -1> (a, gain)
        y = Attention <q_num_heads = 1, kv_num_heads = 1, softmax_precision = 1> (n, n, n)
        score = ReduceMax <keepdims = 0> (y)
        """,
        x="1,4,3",
        score="",
        opset=23,
        gain=np.ones(3, np.float32),
    )
    typed = write_typed(TypedGraph(model, FP16), ())
    onnx.checker.check_model(typed, full_check=True)
    attributes = {
        node.name: {attribute.name for attribute in node.attribute} for node in typed.graph.node
    }
    assert "stash_type" in attributes["n"]
    assert attributes["y"] == {"q_num_heads", "kv_num_heads"}  # TensorRT refuses the third


def test_inputs_that_are_always_float_stay_so() -> None:
    model = read_graph(
        """
        a = Cast <to = 1> (x)
        r = Resize <mode = "linear"> (a, , factors)
        score = ReduceMax <keepdims = 0> (r)
        """,
        x="1,1,2,2",
        score="",
        factors=np.array([1, 1, 2, 2], np.float32),
    )
    typed = write_typed(TypedGraph(model, FP16), ())
    onnx.checker.check_model(typed, full_check=True)
    found = kinds(typed)
    assert (found["r"], found["factors"]) == ("FLOAT16", "FLOAT")
