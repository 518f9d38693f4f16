"""Products that give a picture one vector: the same numbers as sums, and plans for Turing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest

from export.engine import Options, build_graph
from export.mixed_precision import emulate, to_low_precision
from export.precision import vector_products
from export.reference import open_session, run_scores
from sdk.errors import BackendError
from tests.export.precision.graphs import frames, read_graph

RANDOM = np.random.default_rng(2)
WIDE, NARROW = RANDOM.normal(0, 0.3, (5, 8)), RANDOM.normal(0, 0.3, (5, 1))
FIRST = RANDOM.normal(0, 1, (8, 3, 1, 1))
HEADS = {
    "Gemm": "h = Gemm (p, wide_t, bias) score_ = Gemm (h, narrow)",
    "Gemm of transposed weights": "h = Gemm <transB = 1> (p, wide, bias) score_ = Gemm (h, narrow)",
    "MatMul": "h = MatMul (p, wide_t) score_ = MatMul (h, narrow)",
    "MatMul, token": "e = Unsqueeze (p, one) h = MatMul (e, wide_t) score_ = MatMul (h, narrow)",
}  # fmt: skip


def network(head: str, batch: int | str = 1) -> onnx.ModelProto:
    return read_graph(
        f"""
        a = Cast <to = 1> (x)
        n = Mul (a, small)
        t = Transpose <perm = [0, 3, 1, 2]> (n)
        c = Conv (t, w)
        p = ReduceMean <keepdims = 0> (c, sides)
        {head}
        score = Reshape (score_, flat)
        """,
        x=f"{batch},4,4,3", score=str(batch),
        small=np.float32(1 / 255), w=FIRST, wide=WIDE,
        wide_t=np.ascontiguousarray(WIDE.T), narrow=NARROW, bias=np.arange(5, dtype=np.float32),
        sides=np.array([2, 3]), one=np.array([1]), flat=np.array([-1]),
    )  # fmt: skip


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("batch", [1, 3, "N"])
def test_a_head_is_sums_of_the_same_numbers(head: str, batch: int | str) -> None:
    model = network(HEADS[head], batch)
    count = 3 if batch == "N" else int(batch)
    dark = np.array([1, 2, 4], np.uint8)[:count, None, None, None]
    shown = [{"x": frame["x"] // dark} for frame in frames(4, (count, 4, 4, 3))]
    low = to_low_precision(model, shown if batch != "N" else frames(4))
    found = operators(low.model)
    assert found["Gemm"] == found["MatMul"] == 0
    assert found["ReduceSum"] == found["Mul"] - 1 == 2
    names = {node.output[0]: node.name for node in low.model.graph.node}
    assert names["h"] == "h"
    assert names["score_"] == "score_"
    for frame in shown:
        [wanted], [score] = ([run(form, frame)] for form in (model, emulate(low.model)))
        np.testing.assert_allclose(score, wanted, rtol=0, atol=5e-3)  # what fp16 before it costs
        assert np.ptp(wanted) > 0.05 or count == 1


def run(model: onnx.ModelProto, frame: Any) -> Any:
    return open_session(model.SerializeToString()).run(["score"], dict(frame))[0]


def test_the_sums_themselves_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shown = network(HEADS["Gemm"]), frames(8)
    sums = run_scores(emulate(to_low_precision(model, shown).model).SerializeToString(), shown)
    monkeypatch.setattr(vector_products, "LARGEST", 0)
    kept = to_low_precision(model, shown).model
    assert operators(kept)["Gemm"] == 2
    products = run_scores(emulate(kept).SerializeToString(), shown)
    np.testing.assert_allclose(sums, products, rtol=0, atol=1e-6)


def test_a_number_for_each_of_some_tokens_behind_a_cast() -> None:
    model = read_graph(
        """
        a = Cast <to = 1> (x)
        n = Mul (a, small)
        t = Transpose <perm = [0, 3, 1, 2]> (n)
        c = Conv (t, w)
        flat = Flatten (c)
        tokens = Reshape (flat, shape)
        each = MatMul (tokens, weights)
        mean = ReduceMean <keepdims = 0> (each)
        score = Reshape (mean, one)
        """,
        small=np.float32(1 / 255), w=FIRST, shape=np.array([1, 16, 8]), one=np.array([1]),
        weights=RANDOM.normal(0, 1, (8, 1)),
    )  # fmt: skip
    shown = frames(4)
    low = to_low_precision(model, shown)
    assert low.kept["each"] == "score head"
    assert "tokens" not in low.kept
    assert operators(low.model)["MatMul"] == 0
    found = run_scores(emulate(low.model).SerializeToString(), shown)
    np.testing.assert_allclose(found, run_scores(model.SerializeToString(), shown), atol=5e-3)


@pytest.mark.parametrize(
    "head",
    [
        "h = Gemm <alpha = 2.0> (p, wide_t) score_ = MatMul (h, narrow)",
        "h_ = Gemm <transA = 1> (pt, wide_t) h = Identity (h_) score_ = MatMul (h, narrow)",
    ],
)
def test_other_forms_stay_products(head: str) -> None:
    turned = "pt = Transpose <perm = [1, 0]> (p) " if "pt" in head else ""
    low = to_low_precision(network(turned + head), frames(4))
    assert operators(low.model)["Gemm"] == 1


def test_bf16_has_no_need_of_it() -> None:
    low = to_low_precision(network(HEADS["Gemm"]), frames(4), "bf16")
    assert operators(low.model)["Gemm"] == 2


def test_turing_takes_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed: the extra rtx")
    options = {"name": "t", "precision": "fp16", "target": "sm_75"}

    def build() -> bytes:
        low = to_low_precision(network(HEADS["Gemm"]), frames(4)).model.SerializeToString()
        return build_graph(low, options=Options(cache=False), **options).plan

    assert build().startswith(b"vtrt")
    monkeypatch.setattr(vector_products, "LARGEST", 0)
    with pytest.raises(BackendError, match="FP32 GEMM is not supported"):
        build()
