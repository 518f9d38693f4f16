from __future__ import annotations

import numpy as np
import onnx
import onnx.checker
import pytest
from onnx import numpy_helper

from export.drift import TOLERANCES, measure_drift, violations
from export.half_weights import restore_half
from export.mixed_precision import LowPrecision, emulate, find_nonfinite, to_low_precision
from export.precision.formats import FP16
from export.precision.rewrite import write_typed
from export.precision.typed_graph import TypedGraph
from export.reference import Inputs, run_scores
from export.to_onnx import ViewNetwork
from sdk.bundle import Bundle
from sdk.errors import UsageError
from sdk.views import View
from tests.export.precision.graphs import casts, frames, kinds, read_graph
from tests.export.precision.runtimes import openvino_scores, rtx_plan
from tests.export.small_network import OUTPUTS, VIEWS, build

VIEW_SHAPES = {name: View.parse(spec) for name, spec in VIEWS.items()}


def scores(model: onnx.ModelProto, of: list[Inputs]) -> list[float]:
    """Scores with every rounding that the types say."""
    found: list[float] = run_scores(emulate(model).SerializeToString(), of).tolist()
    return found


@pytest.fixture(scope="module")
def packaged() -> tuple[onnx.ModelProto, list[Inputs]]:
    bundle = Bundle.load()
    return restore_half(onnx.load_from_string(bundle.onnx)), list(bundle.golden.frames())


@pytest.fixture(scope="module")
def packaged_fp16(packaged: tuple[onnx.ModelProto, list[Inputs]]) -> LowPrecision:
    return to_low_precision(*packaged)


@pytest.fixture(scope="module", params=["compat", "native-attention"])
def small(request: pytest.FixtureRequest) -> tuple[onnx.ModelProto, list[Inputs]]:
    model = ViewNetwork(build(), VIEW_SHAPES, OUTPUTS).graph(request.param)
    random = np.random.default_rng(0)
    levels = (40, 130, 256)
    return model, [
        {name: random.integers(0, top, view.shape, np.uint8) for name, view in VIEW_SHAPES.items()}
        for top in levels
    ]


def test_the_packaged_model_keeps_its_scores(
    packaged: tuple[onnx.ModelProto, list[Inputs]], packaged_fp16: LowPrecision
) -> None:
    model, golden = packaged
    reference = run_scores(model.SerializeToString(), golden)
    drift = measure_drift(reference, np.array(scores(packaged_fp16.model, golden)))
    assert violations(drift, TOLERANCES["fp16"]) == []
    assert 0 < drift.max_abs < 0.2
    data = packaged_fp16.model.SerializeToString()
    np.testing.assert_allclose(run_scores(data, golden), reference, atol=0.2)
    np.testing.assert_allclose(openvino_scores(data, golden), reference, atol=0.2)


def test_the_packaged_model_is_fp16_where_the_work_is(
    packaged: tuple[onnx.ModelProto, list[Inputs]], packaged_fp16: LowPrecision
) -> None:
    model = packaged[0]
    assert packaged_fp16.share_of_work > 0.999
    assert packaged_fp16.share_of_nodes > 0.75
    assert packaged_fp16.casts == len(casts(packaged_fp16.model)) <= 32
    assert packaged_fp16.model.ByteSize() < 0.55 * model.ByteSize()
    assert packaged_fp16.overflows == ()
    assert not packaged_fp16.wants_bf16
    kept = {node.op_type for node in model.graph.node if node.name in packaged_fp16.kept}
    assert kept >= {"ReduceL2", "Div", "Softmax", "Exp", "ReduceMean", "Sub", "Gemm", "Sigmoid"}
    assert "Conv" not in kept


def test_the_packaged_model_becomes_a_plan_of_those_types(packaged_fp16: LowPrecision) -> None:
    plan, layers = rtx_plan(packaged_fp16.model.SerializeToString())
    assert len(plan) > packaged_fp16.model.ByteSize()
    assert layers["CONVOLUTION", "HALF"] == 69
    assert layers["CONVOLUTION", "FLOAT"] == 0
    assert layers["SOFTMAX", "HALF"] == layers["REDUCE", "HALF"] == 0
    assert layers["MATRIX_MULTIPLY", "FLOAT"] == 0  # the head is written as sums


def test_every_profile_runs_everywhere(small: tuple[onnx.ModelProto, list[Inputs]]) -> None:
    model, shown = small
    reference = run_scores(model.SerializeToString(), shown)
    before = model.SerializeToString()
    low = to_low_precision(model, shown)
    assert model.SerializeToString() == before
    data = low.model.SerializeToString()
    assert data == to_low_precision(model, shown).model.SerializeToString()
    for found in (
        np.array(scores(low.model, shown)), run_scores(data, shown), openvino_scores(data, shown)
    ):  # fmt: skip
        np.testing.assert_allclose(found, reference, atol=0.5)
    plan, layers = rtx_plan(data)
    assert layers["CONVOLUTION", "HALF"] == 2
    assert b"_gemm_mha" in plan  # one kernel of attention, the casts around its softmax included
    found = kinds(low.model)
    assert [found[name] for name in (*VIEWS, *OUTPUTS)] == ["UINT8"] * 2 + ["FLOAT"] * 4
    norms = [node for node in low.model.graph.node if node.op_type == "LayerNormalization"]
    assert [found[node.output[0]] for node in norms] == ["FLOAT16"]
    attention = [node for node in low.model.graph.node if node.op_type == "Attention"]
    assert all(found[name] == "FLOAT16" for node in attention for name in node.input)
    assert bool(attention) == (model.opset_import[0].version == 23)


def test_bf16_is_typed_and_taken(small: tuple[onnx.ModelProto, list[Inputs]]) -> None:
    model, shown = small
    low = to_low_precision(model, shown, "bf16")
    assert low.model.opset_import[0].version >= 22
    _, layers = rtx_plan(low.model.SerializeToString())
    assert layers["CONVOLUTION", "BF16"] == 2
    reference = run_scores(model.SerializeToString(), shown)
    np.testing.assert_allclose(scores(low.model, shown), reference, atol=4)
    assert "FLOAT16" not in kinds(low.model).values()


OVERFLOWING = """
    a = Cast <to = 1> (x)
    first = Conv (a, w)
    large = Conv (first, grow)
    active = Relu (large)
    back = Mul (active, shrink)
    last = Conv (back, w2)
    pooled = ReduceMean <keepdims = 0> (last, sides)
    score = Reshape (pooled, one)
"""


def overflowing(grow: float = 1e5) -> onnx.ModelProto:
    """A convolution whose results are 1e5 times what they should be, taken back later."""
    return read_graph(
        OVERFLOWING,
        x="1,3,8,8",
        w=np.full((16, 3, 1, 1), 0.01),
        grow=np.eye(16)[:, :, None, None] * grow,
        shrink=np.float32(1 / grow),
        w2=np.full((1, 16, 1, 1), 0.1),
        sides=np.array([1, 2, 3], np.int64),
        one=np.array([1], np.int64),
    )


def test_a_planted_overflow_is_found_named_and_kept() -> None:
    model, shown = overflowing(), frames(3, (1, 3, 8, 8))
    low = to_low_precision(model, shown)
    assert [(found.node, found.tensor) for found in low.overflows] == [
        ("large", "large"),
        ("active", "active"),
    ]
    assert low.overflows[0].value == pytest.approx(6.3e5, rel=0.05)
    assert {"large", "active", "back"} <= low.kept.keys()
    assert low.kept["active"].startswith("reads large, which reaches")
    assert not {"first", "last"} & low.kept.keys()
    reference = run_scores(model.SerializeToString(), shown)
    np.testing.assert_allclose(scores(low.model, shown), reference, rtol=2e-3)
    assert find_nonfinite(low.model, shown) is None


def test_without_the_rules_that_overflow_would_ruin_the_score() -> None:
    naive, shown = write_typed(TypedGraph(overflowing(2e4), FP16), ()), frames(3, (1, 3, 8, 8))
    found = find_nonfinite(naive, shown)
    assert found is not None
    assert (found.node, found.operator, found.value) == ("large", "Conv", "inf")
    assert not np.isfinite(scores(naive, shown)).any()


def test_much_work_outside_the_range_asks_for_bf16() -> None:
    shown = frames(3, (1, 3, 8, 8))
    low = to_low_precision(overflowing(), shown)
    assert low.escaped == pytest.approx(16 * 16 / (3 * 16 + 16 * 16 + 16))
    assert low.wants_bf16
    high = to_low_precision(overflowing(), shown, "bf16")
    assert not high.wants_bf16
    assert high.overflows == ()
    assert "large" not in high.kept
    assert not to_low_precision(overflowing(2), shown).wants_bf16


L2_NORMALISED = """
    a = Cast <to = 1> (x)
    query = Conv (a, w)
    norm = ReduceL2 <keepdims = 1> (query, channel)
    safe = Clip (norm, eps)
    unit = Div (query, safe)
    last = Conv (unit, w2)
    pooled = ReduceMean <keepdims = 0> (last, sides)
    score = Reshape (pooled, one)
"""


def test_an_epsilon_that_fp16_flushes_still_guards() -> None:
    """A black frame: 0 / max(0, 1e-12) is 0, and NaN where the epsilon is 0."""
    model = read_graph(
        L2_NORMALISED,
        x="1,3,8,8",
        w=np.full((16, 3, 1, 1), 0.01),
        w2=np.full((1, 16, 1, 1), 0.1),
        eps=np.float32(1e-12),
        channel=np.array([1], np.int64),
        sides=np.array([1, 2, 3], np.int64),
        one=np.array([1], np.int64),
    )
    black: list[Inputs] = [{"x": np.zeros((1, 3, 8, 8), np.uint8)}]
    naive = write_typed(TypedGraph(model, FP16), ())
    found = find_nonfinite(naive, black)
    assert found is not None
    assert (found.node, found.value) == ("unit", "nan")
    low = to_low_precision(model, frames(2, (1, 3, 8, 8)))
    assert scores(low.model, black) == [0]
    assert list(low.kept) == ["norm", "safe", "unit", "pooled", "score"]
    assert low.kept["safe"] == "constant eps is 1e-12, fp16 is exact from 6.1e-05 on"
    assert casts(low.model) == ["x", "query", "unit", "last"]


QUANTISED = """
    a = Cast <to = 1> (x)
    first = Conv (a, w)
    short = QuantizeLinear (first, step, zero)
    wide = DequantizeLinear (short, step, zero)
    weight = DequantizeLinear <axis = 0> (bytes, steps, zeros)
    product = Conv (wide, weight, bias)
    active = Relu (product)
    last = Conv (active, w2)
    pooled = ReduceMean <keepdims = 0> (last, sides)
    score = Reshape (pooled, one)
"""


def quantised(step: float) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    return read_graph(
        QUANTISED,
        x="1,3,8,8",
        w=np.full((16, 3, 1, 1), 0.01),
        step=np.float32(0.0625),
        zero=np.int8(0),
        bytes=random.integers(-127, 128, (16, 16, 1, 1), np.int8),
        steps=np.full(16, step, np.float32),
        zeros=np.zeros(16, np.int8),
        bias=random.random(16),
        w2=np.full((1, 16, 1, 1), 0.1),
        sides=np.array([1, 2, 3], np.int64),
        one=np.array([1], np.int64),
    )


def test_quantised_layers_keep_int8_between_fp16() -> None:
    model, shown = quantised(2.0**-8), frames(3, (1, 3, 8, 8))
    low = to_low_precision(model, shown)
    found = kinds(low.model)
    assert [found[name] for name in ("short", "bytes", "zeros")] == ["INT8"] * 3
    types = {found[name] for name in ("first", "step_fp16", "wide", "steps_fp16", "weight")}
    assert types == {"FLOAT16"}
    assert casts(low.model) == ["x", "last"]
    reference = run_scores(model.SerializeToString(), shown)
    np.testing.assert_allclose(scores(low.model, shown), reference, rtol=2e-3)
    _, layers = rtx_plan(low.model.SerializeToString())
    assert layers["DEQUANTIZE", "HALF"] == 2
    assert layers["QUANTIZE", "INT8"] == 1


def test_scales_that_fp16_would_round_keep_fp32_and_a_cast() -> None:
    model, shown = quantised(3e-6), frames(3, (1, 3, 8, 8))
    low = to_low_precision(model, shown)
    found = kinds(low.model)
    assert (found["steps"], found["weight"], found["product"]) == ("FLOAT", "FLOAT", "FLOAT16")
    assert casts(low.model) == ["x", "weight", "last"]
    assert low.kept["weight"] == "constant steps has a scale of 3e-06 that fp16 loses bits of"
    reference = run_scores(model.SerializeToString(), shown)
    np.testing.assert_allclose(scores(low.model, shown), reference, rtol=2e-3)


def test_a_free_batch_stays_free_and_is_judged_like_one_frame() -> None:
    model, shown = overflowing(), frames(2, (1, 3, 8, 8))
    free = onnx.ModelProto()
    free.CopyFrom(model)
    for value in (*free.graph.input, *free.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    sides = next(tensor for tensor in free.graph.initializer if tensor.name == "one")
    sides.CopyFrom(numpy_helper.from_array(np.array([-1], np.int64), "one"))
    kept = [to_low_precision(graph, shown) for graph in (model, free)]
    assert kept[0].kept == kept[1].kept
    assert kept[0].escaped == kept[1].escaped > 0
    assert kept[1].model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_nodes_can_be_kept_by_name() -> None:
    shown = frames(2, (1, 3, 8, 8))
    low = to_low_precision(overflowing(2), shown, keep=["last"])
    assert low.kept["last"] == "as asked"
    assert kinds(low.model)["last"] == "FLOAT"
    with pytest.raises(UsageError, match="no float node lost"):
        to_low_precision(overflowing(2), shown, keep=["lost", "last"])


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(UsageError, match="No frames"):
        to_low_precision(overflowing(), [])
    with pytest.raises(UsageError, match="fp8"):
        to_low_precision(overflowing(), frames(1, (1, 3, 8, 8)), "fp8")
    broken = overflowing()
    numbers = next(tensor for tensor in broken.graph.initializer if tensor.name == "shrink")
    numbers.CopyFrom(numpy_helper.from_array(np.float32(np.nan), "shrink"))
    with pytest.raises(
        UsageError, match=r"output score is NaN .* first NaN at \w+ \(Mul\), frame 0"
    ):
        to_low_precision(broken, frames(1, (1, 3, 8, 8)))


def test_frames_are_counted() -> None:
    steps: list[tuple[str, int, int]] = []
    to_low_precision(
        overflowing(), frames(2, (1, 3, 8, 8)), progress=lambda *step: steps.append(step)
    )
    assert steps == [("ranges", 1, 2), ("ranges", 2, 2)]


def test_the_graph_is_valid_and_typed_throughout(packaged_fp16: LowPrecision) -> None:
    model = packaged_fp16.model
    onnx.checker.check_model(model, full_check=True)
    known = {value.name for value in (*model.graph.value_info, *model.graph.output)}
    assert {name for node in model.graph.node for name in node.output} <= known
    types = kinds(model)
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            wanted = "FLOAT" if node.name in packaged_fp16.kept else "FLOAT16"
            assert {types[name] for name in (*node.input, *node.output)} == {wanted}
