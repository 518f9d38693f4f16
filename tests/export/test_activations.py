from __future__ import annotations

from itertools import chain
from math import isnan

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.activations import (
    ActivationRange,
    iterate_activations,
    measure_ranges,
    tensor_chunks,
)
from export.reference import run_scores
from export.to_onnx import ViewNetwork
from sdk.errors import UsageError
from sdk.views import View
from tests.export.small_network import OUTPUTS, VIEWS, build

FRAMES = [{"x": np.array([[0, 4, 9]], np.uint8)}, {"x": np.array([[1, 1, 2]], np.uint8)}]


def ladder(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """uint8 [1, 3] `x` becomes float `a`; the nodes make `score` of it."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["a"], name="first", to=TensorProto.FLOAT), *nodes],
        "ladder",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 3])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor("two", TensorProto.FLOAT, [], [-2])],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def doubled_twice() -> onnx.ModelProto:
    return ladder(
        helper.make_node("Mul", ["a", "two"], ["b"], name="double"),
        helper.make_node("Mul", ["b", "two"], ["score"], name="again"),
    )


def test_every_float_tensor_is_shown_frame_by_frame() -> None:
    first, second = iterate_activations(doubled_twice(), FRAMES)
    assert list(first) == ["a", "b", "score"]
    np.testing.assert_array_equal(first["b"], [[0, -8, -18]])
    np.testing.assert_array_equal(second["score"], [[4, 4, 8]])


def test_ranges_are_over_all_frames() -> None:
    ranges = measure_ranges(doubled_twice(), FRAMES)
    assert ranges["a"] == ActivationRange(0, 9, 9, True)
    assert ranges["b"] == ActivationRange(-18, 0, 18, True)
    assert measure_ranges(doubled_twice(), FRAMES, ["score"]) == {
        "score": ActivationRange(0, 36, 36, True)
    }


def test_nan_and_infinities_are_named_and_do_not_spoil_the_extremes() -> None:
    logarithms = ladder(
        helper.make_node("Log", ["a"], ["b"], name="log"),  # -inf for 0
        helper.make_node("Sub", ["b", "b"], ["score"], name="nan"),  # NaN for -inf
    )
    ranges = measure_ranges(logarithms, FRAMES)
    assert [name for name, found in ranges.items() if not found.finite] == ["b", "score"]
    assert ranges["b"].minimum == 0
    assert ranges["b"].absmax == pytest.approx(np.log(9))
    never = measure_ranges(logarithms, [{"x": np.zeros((1, 3), np.uint8)}, *FRAMES[:0]])
    assert isnan(never["b"].absmax)
    later = measure_ranges(logarithms, [{"x": np.zeros((1, 3), np.uint8)}, FRAMES[1]])
    assert later["b"].maximum == pytest.approx(np.log(2))


def test_integer_tensors_and_weights_are_not_activations() -> None:
    with pytest.raises(UsageError, match="no float tensor nothing, two"):
        list(iterate_activations(doubled_twice(), FRAMES, ["a", "two", "nothing"]))


def test_chunks_hold_every_tensor_once_within_the_limit() -> None:
    model = doubled_twice()
    row = 3 * 4
    assert tensor_chunks(model) == [["a", "b", "score"]]
    assert tensor_chunks(model, limit=2 * row) == [["a", "b"], ["score"]]
    assert tensor_chunks(model, limit=1) == [["a"], ["b"], ["score"]]


def test_progress_counts_frames_of_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.activations.tensor_chunks", lambda *_: [["a"], ["b"]])
    steps: list[tuple[str, int, int]] = []
    measure_ranges(doubled_twice(), FRAMES, progress=lambda *step: steps.append(step))
    assert steps == [("ranges", step, 4) for step in (1, 2, 3, 4)]


def test_a_real_network_shows_all_its_tensors_and_keeps_its_scores() -> None:
    views = {name: View.parse(spec) for name, spec in VIEWS.items()}
    model = ViewNetwork(build(), views, OUTPUTS).graph()
    random = np.random.default_rng(0)
    frames = [
        {name: random.integers(0, 256, view.shape, np.uint8) for name, view in views.items()}
        for _ in range(3)
    ]
    before = model.SerializeToString()
    activations = list(iterate_activations(model, frames))
    computed = set(chain.from_iterable(node.output for node in model.graph.node))
    assert computed == activations[0].keys()  # nothing was folded, fused or dropped
    scores = [values["score"].item() for values in activations]
    np.testing.assert_allclose(scores, run_scores(before, frames), atol=1e-3)
    assert model.SerializeToString() == before
