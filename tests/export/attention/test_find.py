"""What is replaced and what isn't, on small graphs of one attention each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.attention import AHEAD, LIBRARY, Block, rewrite_attention
from export.reference import run_onnx

from .reference import in_standard_operators, widened

TOKENS, WIDTH, HEADS = 9, 64, 2
HEAD = WIDTH // HEADS


@dataclass
class Sketch:
    """A graph of uint8 tokens to one attention's result, to be changed before it is made."""

    batch: int = 1
    free: bool = False
    kind: int = TensorProto.FLOAT16
    sides: tuple[int, ...] = (0, TOKENS, 3, HEADS, HEAD)
    turned: tuple[int, ...] = (2, 0, 3, 1, 4)
    scores: list[NodeProto] = field(default_factory=list)  # from "scaled" to "scores"
    values: str = "v"
    back: tuple[int, ...] = (0, 2, 1, 3)
    constants: dict[str, NDArray] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()

    def make(self) -> onnx.ModelProto:
        random = np.random.default_rng(0)
        dtype = helper.tensor_dtype_to_np_dtype(self.kind)
        constants = {
            "weight": random.normal(0, 0.3, (WIDTH, 3 * WIDTH)).astype(dtype),
            "row": random.normal(0, 0.3, 3 * WIDTH).astype(dtype),
            "unit": np.array(1 / 64, dtype),
            "root": np.array(HEAD**-0.5, dtype),
            "sides": np.array(self.sides),
            "axis": np.array([0]),
            "together": np.array([0, TOKENS, WIDTH]),
            **self.constants,
        }
        nodes = [
            node("Cast", ["x"], "float", to=self.kind),
            node("Mul", ["float", "unit"], "tokens"),
            node("MatMul", ["tokens", "weight"], "product"),
            node("Add", ["product", "row"], "qkv"),
            node("Reshape", ["qkv", "sides"], "parts"),
            node("Transpose", ["parts"], "turned", perm=self.turned),
            helper.make_node("Split", ["turned"], ["q1", "k1", "v1"], name="split", num_outputs=3),
            *(node("Squeeze", [f"{x}1", "axis"], x) for x in "qkv"),
            node("Transpose", ["k"], "kt", perm=[0, 1, 3, 2]),
            node("MatMul", ["q", "kt"], "products"),
            node("Mul", ["products", "root"], "scaled"),
            *(self.scores or [node("Identity", ["scaled"], "scores")]),
            node("Softmax", ["scores"], "softmax", axis=-1),
            node("MatMul", ["softmax", self.values], "mixed"),
            node("Transpose", ["mixed"], "rows", perm=self.back),
            node("Reshape", ["rows", "together"], "joined"),
            node("Cast", ["joined"], "y", to=TensorProto.FLOAT),
        ]
        shape = ["batch" if self.free else self.batch, TOKENS, WIDTH]
        graph = helper.make_graph(
            nodes,
            "one",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
            + [helper.make_tensor_value_info(name, self.kind, None) for name in self.outputs],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def node(operator: str, inputs: list[str], output: str, **attributes: object) -> NodeProto:
    return helper.make_node(operator, inputs, [output], name=output, **attributes)


def bias(*shape: int) -> NDArray[np.float16]:
    return np.random.default_rng(2).normal(0, 2, shape).astype(np.float16)


def add(values: NDArray, **more: object) -> Sketch:
    scores = [node("Add", ["scaled", "bias"], "scores")]
    return Sketch(scores=scores, constants={"bias": values}, **more)


def difference(model: onnx.ModelProto, rewritten: onnx.ModelProto, batch: int) -> float:
    random = np.random.default_rng(1)
    frame = {"x": random.integers(0, 256, (batch, TOKENS, WIDTH), dtype=np.uint8)}
    [expected] = run_onnx(widened(model).SerializeToString(), [frame])
    [found] = run_onnx(in_standard_operators(rewritten).SerializeToString(), [frame])
    assert np.ptp(expected["y"]) > 1
    return float(np.abs(found["y"] - expected["y"]).max())


EQUAL = {
    "packed": (Sketch(), 1),
    "packed, a batch": (Sketch(batch=3), 3),
    "packed, a free batch": (Sketch(free=True), 5),
    "heads before parts": (
        Sketch(sides=(0, TOKENS, HEADS, 3, HEAD), turned=(3, 0, 2, 1, 4), batch=2), 2
    ),
    "heads last": (Sketch(sides=(0, TOKENS, 3, HEAD, HEADS), turned=(2, 0, 4, 1, 3)), 1),
    "a bias": (add(bias(1, HEADS, TOKENS, TOKENS), batch=2), 2),
    "a bias for all heads": (add(bias(TOKENS, TOKENS), free=True), 3),
    "some keys masked": (
        add(np.where(np.tri(TOKENS), 0, -np.inf).astype(np.float16), batch=2), 2
    ),
    "rows out of the heads": (
        Sketch(back=(2, 0, 1, 3), constants={"together": np.array([1, TOKENS, WIDTH])}), 1
    ),
    "a mask that is nothing": (add(np.zeros((1, 1, TOKENS, TOKENS), np.float16)), 1),
    "softmax in float32": (
        Sketch(scores=[
            node("Cast", ["scaled"], "wide", to=TensorProto.FLOAT),
            node("Identity", ["wide"], "scores32"),
            node("Cast", ["scores32"], "scores", to=TensorProto.FLOAT16),
        ]), 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_replaced_and_equal(name: str) -> None:
    sketch, batch = EQUAL[name]
    model = sketch.make()
    rewritten = rewrite_attention(model, LIBRARY)
    assert rewritten.blocks == (Block("softmax", "", HEAD, "fp16"),)
    assert rewritten.replaced == ("softmax",)
    operators = {node.op_type for node in rewritten.model.graph.node}
    assert operators == {"Cast", "Mul", "MatMul", "Add", "FramescoreAttention"}
    assert difference(model, rewritten.model, batch) < 1e-5


def test_rows_of_a_bias_are_of_even_length() -> None:
    model = rewrite_attention(EQUAL["a bias"][0].make(), LIBRARY).model
    [added] = [t for t in model.graph.initializer if t.name == "softmax/added"]
    assert tuple(added.dims) == (HEADS, TOKENS, TOKENS + 1)
    assert added.data_type == TensorProto.FLOAT16


LEFT = {
    "float32": (Sketch(kind=TensorProto.FLOAT), "computes in float32"),
    "narrow heads": (
        Sketch(sides=(0, TOKENS, 3, 4, 16)), "its heads are 16 wide; there are kernels for 32, 48"
    ),
    "batch inside": (
        Sketch(sides=(TOKENS, -1, 3, HEADS, HEAD), turned=(2, 1, 3, 0, 4), batch=2),
        "tokens do not lie image by image",
    ),
    "a free batch inside": (
        Sketch(sides=(TOKENS, -1, 3, HEADS, HEAD), turned=(2, 1, 3, 0, 4), free=True),
        "tokens do not lie image by image",
    ),
    "heads apart": (Sketch(back=(0, 1, 2, 3)), "heads are not put side by side"),
    "a bias for each image": (add(bias(2, HEADS, TOKENS, TOKENS), batch=2), "from image to image"),
    "a token without keys": (
        add(np.where(np.eye(TOKENS)[:1].T == 1, -np.inf, np.zeros((TOKENS, TOKENS))).astype(
            np.float16)), "leaves a token without any key"
    ),
    "a computed mask": (
        Sketch(scores=[
            node("Cast", ["float"], "other", to=TensorProto.FLOAT16),
            node("ReduceMax", ["other"], "most"),
            node("Add", ["scaled", "most"], "scores"),
        ]), "its mask is computed"
    ),
    "weights returned": (Sketch(outputs=("softmax",)), "returns its weights"),
    "scores read twice": (Sketch(outputs=("scaled",)), "scores are read elsewhere too"),
    "negative scale": (Sketch(constants={"root": np.array(-1, np.float16)}), "its scale is -1"),
    "capped": (Sketch(scores=[node("Tanh", ["scaled"], "scores")]), "Tanh changes its scores"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_left_with_a_reason(name: str) -> None:
    sketch, reason = LEFT[name]
    model = sketch.make()
    rewritten = rewrite_attention(model, LIBRARY)
    [block] = rewritten.blocks
    assert reason in block.reason
    assert rewritten.replaced == ()
    assert rewritten.model is model


def test_the_plugin_in_the_plan_takes_no_bias() -> None:
    [block] = rewrite_attention(EQUAL["a bias"][0].make(), AHEAD).blocks
    assert block.reason == "it adds a bias, which only the plugin library takes"


def test_a_bias_that_loses_digits_stays() -> None:
    sketch = Sketch(
        scores=[
            node("Cast", ["scaled"], "wide", to=TensorProto.FLOAT),
            node("Add", ["wide", "bias"], "added"),
            node("Cast", ["added"], "scores", to=TensorProto.FLOAT16),
        ],
        constants={"bias": np.full((TOKENS, TOKENS), 0.1, np.float32)},
    )
    [block] = rewrite_attention(sketch.make(), LIBRARY).blocks
    assert "loses digits" in block.reason


def test_keys_that_are_queries_take_the_columns_twice() -> None:
    """A product with shared queries and keys: one of its columns is read by both."""
    model = Sketch().make()
    for one in model.graph.node:
        if one.name == "kt":
            one.input[0] = "q"
    rewritten = rewrite_attention(model, LIBRARY)
    assert rewritten.replaced == ("softmax",)
    assert difference(model, rewritten.model, 1) < 1e-5


def test_quantised_weights_are_not_merged() -> None:
    model = EQUAL["heads before parts"][0].make()
    [weight] = [t for t in model.graph.initializer if t.name == "weight"]
    model.graph.initializer.remove(weight)
    values = np.random.default_rng(0).integers(-9, 9, tuple(weight.dims)).astype(np.int8)
    model.graph.initializer.extend(
        [numpy_helper.from_array(values, "weight_int8"),
         numpy_helper.from_array(np.array(0.1, np.float16), "step")]
    )  # fmt: skip
    model.graph.node.insert(0, node("DequantizeLinear", ["weight_int8", "step"], "weight"))
    [block] = rewrite_attention(model, LIBRARY).blocks
    assert block.reason == "the weights of its queries, keys or values are quantised"
