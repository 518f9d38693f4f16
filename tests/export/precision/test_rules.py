from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from export.precision.formats import BF16, FP16, Format
from export.precision.rules import keep_by_rule
from export.precision.typed_graph import TypedGraph
from sdk.errors import UsageError
from tests.export.precision.graphs import read_graph

LAST = np.array([-1], np.int64)
ENTRY = "a = Cast <to = 1> (x) t = Conv (a, w)"  # uint8 [1, 3, 8, 8] to 8 channels
EXIT = "u = Conv (z, v) g = ReduceMean (u, sides) score = Reshape (g, one)"


def kept(middle: str, form: Format = FP16, opset: int = 20, **weights: Any) -> dict[str, str]:
    """Reasons of the nodes between a first and a last convolution, from `t` to `z`."""
    model = read_graph(
        f"{ENTRY} {middle} {EXIT}",
        x="1,3,8,8",
        opset=opset,
        w=np.ones((8, 3, 1, 1), np.float32),
        v=np.ones((1, 8, 1, 1), np.float32),
        sides=np.array([2, 3], np.int64),
        one=np.array([1], np.int64),
        **weights,
    )
    names = {"a", "t", "u", "g", "score"}
    reasons = keep_by_rule(TypedGraph(model, form))
    return {name: reason for name, reason in reasons.items() if name not in names}


def test_the_head_is_what_has_one_vector_per_sample() -> None:
    model = read_graph(
        """
        a = Cast <to = 1> (x)
        t = Conv (a, w)
        squeeze = GlobalAveragePool (t)
        gate = Sigmoid (squeeze)
        z = Mul (t, gate)
        pooled = ReduceMean <keepdims = 0> (z, sides)
        hidden = Gemm (pooled, hidden_w)
        active = Relu (hidden)
        raw = Gemm (active, out_w)
        scaled = Mul (raw, hundred)
        bounded = Clip (scaled, zero, hundred)
        score = Reshape (bounded, one)
        """,
        x="2,3,4,4",
        score="2",
        w=np.ones((8, 3, 1, 1), np.float32),
        hidden_w=np.ones((8, 4), np.float32),
        out_w=np.ones((4, 1), np.float32),
        hundred=np.float32(100),
        zero=np.float32(0),
        sides=np.array([2, 3], np.int64),
        one=np.array([2], np.int64),
    )
    reasons = keep_by_rule(TypedGraph(model, FP16))
    head = ["pooled", "hidden", "active", "raw", "scaled", "bounded", "score"]
    assert reasons == dict.fromkeys(head, "score head")  # and not the gate, which returns to a map


def test_the_head_begins_after_the_last_tokens() -> None:
    model = read_graph(
        """
        a = Cast <to = 1> (x)
        tokens = Gemm (a, w)
        norm = Reshape (tokens, sequence)
        picked = Gather <axis = 1> (norm, first)
        raw = MatMul (picked, out_w)
        score = Reshape (raw, one)
        """,
        x="4,3",
        w=np.ones((3, 8), np.float32),
        sequence=np.array([1, 4, 8], np.int64),
        first=np.int64(0),
        out_w=np.ones((8, 1), np.float32),
        one=np.array([1], np.int64),
    )
    assert set(keep_by_rule(TypedGraph(model, FP16))) == {"picked", "raw", "score"}


def test_pixels_are_normalised_before_they_are_rounded() -> None:
    model = read_graph(
        f"""
        bytes = Cast <to = 1> (x)
        unit = Div (bytes, most)
        channels = Transpose <perm = [0, 3, 1, 2]> (unit)
        centred = Sub (channels, mean)
        a = Div (centred, deviation)
        t = Conv (a, w)
        z = Mul (t, mean2)
        {EXIT}
        """,
        x="1,8,8,3",
        w=np.ones((8, 3, 1, 1), np.float32),
        v=np.ones((1, 8, 1, 1), np.float32),
        most=np.float32(255),
        mean=np.float32(0.485),
        mean2=np.float32(0.485),
        deviation=np.float32(0.229),
        sides=np.array([2, 3], np.int64),
        one=np.array([1], np.int64),
    )
    reasons = keep_by_rule(TypedGraph(model, FP16))
    arithmetic = [name for name, reason in reasons.items() if reason != "score head"]
    assert arithmetic == ["unit", "centred", "a"]  # moves and casts follow where they are cheapest


def test_l2_normalisation_is_kept_as_one_chain() -> None:
    reasons = kept(
        """
        norm = ReduceL2 <keepdims = 1> (t, channel)
        bound = Clip (norm, eps)
        wide = Expand (bound, shape)
        z = Div (t, wide)
        """,
        channel=np.array([1], np.int64),
        eps=np.float32(1e-3),
        shape=np.array([1, 8, 8, 8], np.int64),
    )
    assert reasons == {
        "norm": "ReduceL2 is a statistic",
        "bound": "between statistics",
        "wide": "between statistics",
        "z": "Div by a computed number",
    }


def test_variance_is_kept_from_the_mean_to_the_quotient() -> None:
    reasons = kept(
        """
        mean = ReduceMean (t, sides)
        centred = Sub (t, mean)
        square = Mul (centred, centred)
        variance = ReduceMean (square, sides)
        safe = Add (variance, eps)
        deviation = Sqrt (safe)
        normal = Div (centred, deviation)
        z = Mul (normal, gain)
        """,
        eps=np.float32(1e-3),
        gain=np.ones((8, 1, 1), np.float32),
    )
    chain = ["mean", "centred", "square", "variance", "safe", "deviation", "normal"]
    assert sorted(reasons) == sorted(chain)
    assert reasons["mean"] == reasons["variance"] == "ReduceMean over 64 numbers"


def test_squares_are_kept_where_a_sum_takes_them() -> None:
    body = """
        square = Mul (t, t)
        energy = ReduceSum <keepdims = 1> (square, channel)
        z = Mul (t, energy)
    """
    assert kept(body, channel=np.array([1], np.int64)) == {"square": "Mul makes squares for a sum"}
    assert kept("z = Mul (t, t)") == {}


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ("z = Softmax <axis = 1> (t)", "Softmax is a statistic"),
        ("z = Exp (t)", "Exp is a statistic"),
        ("z = Log (t)", "Log is a statistic"),
        ("z = Sqrt (t)", "Sqrt is a statistic"),
        ("z = Reciprocal (t)", "Reciprocal is a statistic"),
        ("z = InstanceNormalization (t, ones, ones)", "InstanceNormalization is a statistic"),
        ("z = Pow (t, half)", "Pow other than a square or cube"),
        ("z = Pow (t, t)", "Pow other than a square or cube"),
        ("z = Pow (t, three)", ""),
        ("z = Div (t, three)", ""),
        ("z = Relu (t)", ""),
        ("z = Gelu (t)", ""),
        ("z = LayerNormalization <axis = 1> (t, cube)", ""),
        ("m = ReduceMean <keepdims = 1> (t, channel) z = Mul (t, m)", ""),  # over 8 numbers only
        ("m = GlobalAveragePool (t) z = Mul (t, m)", "GlobalAveragePool over 64 numbers"),
        ("m = ReduceMax <keepdims = 1> (t, sides) z = Mul (t, m)", ""),  # exact in any format
        (
            "m = AveragePool <kernel_shape = [8, 8]> (t) z = Mul (t, m)",
            "AveragePool over 64 numbers",
        ),
    ],
)
def test_operators(node: str, reason: str) -> None:
    reasons = kept(
        node,
        half=np.float32(0.5),
        three=np.float32(3),
        ones=np.ones(8, np.float32),
        cube=np.ones((8, 8, 8), np.float32),
        channel=np.array([1], np.int64),
    )
    assert list(reasons.values()) == ([reason] if reason else [])


def test_what_a_quotient_divides_by_is_summed_in_full() -> None:
    reasons = kept(
        "p = Conv (t, v) count = Add (p, many) wide = Expand (count, shape) z = Div (t, wide)",
        many=np.float32(384),
        shape=np.array([1, 8, 8, 8], np.int64),
    )
    assert reasons == {"count": "argument of a statistic", "z": "Div by a computed number"}


def test_a_norm_of_a_tensor_that_is_fp32_takes_it_unrounded() -> None:
    body = """
        e = Exp (t)
        m = Transpose <perm = [0, 1, 3, 2]> (e)
        z = LayerNormalization <axis = 1> (m, cube)
    """
    reasons = kept(body, cube=np.ones((8, 8, 8), np.float32))
    assert reasons["z"] == "normalises a tensor that is fp32"


def test_operators_without_a_short_form_are_rigid() -> None:
    ranks = kept(
        "best = ArgMax <axis = 1, keepdims = 1> (t) f = Cast <to = 1> (best) z = Mul (t, f)"
    )
    assert ranks == {"best": "ArgMax makes other than floats of its input: exact in fp32 only"}
    hard = kept("z = HardSwish (t)", BF16, 22)
    assert hard == {"z": "TensorRT has no HardSwish in bf16"}
    assert kept("z = HardSwish (t)") == {}
    assert kept("z = Gelu (t)", BF16, 20) == {}
    assert kept("z = HardSigmoid (t)", BF16, 20) == {"z": "HardSigmoid has no bf16 form"}


def test_graphs_that_cannot_be_judged_are_refused() -> None:
    model = read_graph(f"{ENTRY} score = Flatten (t)", w=np.ones((8, 3, 1, 1), np.float32))
    model.graph.node[0].name = ""
    with pytest.raises(UsageError, match="without a name"):
        TypedGraph(model, FP16)
    branch = onnx.helper.make_node("If", ["x"], ["y"], name="branch", then_branch=onnx.GraphProto())
    model.graph.node[0].name = "a"
    model.graph.node.append(branch)
    with pytest.raises(UsageError, match="branch"):
        TypedGraph(model, FP16)
