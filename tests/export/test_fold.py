from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.convention import ImageConvention
from export.fold import fold
from export.graph import finish_graph
from export.reference import open_session, run_onnx
from sdk.errors import UsageError
from sdk.views import View

ONE = View.parse("resize:8x12")
CROPS = View.parse("crops:2x2@8")
WEIGHTS = np.array([0.2, 0.3, 0.5], np.float32)
PLAIN = ImageConvention()


def network(
    sides: Sequence[int | str] = ("n", 3, "h", "w"),
    *,
    output: Sequence[int] = (-1, 1),
    opset: int = 20,
    kind: int = TensorProto.FLOAT,
    channels: int = 1,
    name: str = "x",
) -> onnx.ModelProto:
    """Mean of each channel, weighted 0.2, 0.3, 0.5; channels are told apart and order matters."""
    spatial = [axis for axis in (1, 2, 3) if axis != channels]
    axes = numpy_helper.from_array(np.array(spatial, np.int64), "axes")
    mean = (
        helper.make_node("ReduceMean", ["cast", "axes"], ["means"], keepdims=0)
        if opset >= 18
        else helper.make_node("ReduceMean", ["cast"], ["means"], axes=spatial, keepdims=0)
    )
    nodes = [
        helper.make_node("Cast", [name], ["cast"], to=TensorProto.FLOAT),
        mean,
        helper.make_node("MatMul", ["means", "weights"], ["score"]),
        helper.make_node("Reshape", ["score", "sides"], ["quality"]),
        helper.make_node("Relu", ["means"], ["features"]),
    ]
    weights = [
        numpy_helper.from_array(WEIGHTS[:, None], "weights"),
        numpy_helper.from_array(np.array(output, np.int64), "sides"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, kind, sides)],
        [
            helper.make_tensor_value_info("quality", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, None),
        ],
        weights + ([axes] if opset >= 18 else []),
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def picture(view: View, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    tops = np.array([60, 140, 250])
    return (random.random(view.shape) * tops).astype(np.uint8)


def folded(model: onnx.ModelProto, view: View, convention: ImageConvention) -> onnx.ModelProto:
    return finish_graph(fold(model, "image", view, convention), {"image": view}, ["score"])


def score_of(model: onnx.ModelProto, view: View, convention: ImageConvention) -> float:
    graph = folded(model, view, convention)
    [found] = run_onnx(graph.SerializeToString(), [{"image": picture(view)}])
    assert found["score"].shape == (1,)
    return float(found["score"][0])


def expected(view: View, mean: Any = 0, std: Any = 1, order: Sequence[int] = (0, 1, 2)) -> float:
    """The network's number, computed by hand from 0-1 pixels."""
    pixels = picture(view)[..., list(order)] / 255
    return float((((pixels - mean) / std).mean((0, 1, 2)) * WEIGHTS).sum())


IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize(
    ("convention", "value"),
    [
        (PLAIN, 100 * expected(ONE)),
        (ImageConvention(**IMAGENET, low=-3, high=1), 25 * (expected(ONE, *IMAGENET.values()) + 3)),
        (
            ImageConvention(
                mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), low=-3, high=1
            ),
            25 * (expected(ONE, *IMAGENET.values()) + 3),
        ),
        (ImageConvention(bgr=True), 100 * expected(ONE, order=(2, 1, 0))),
        (
            ImageConvention(**IMAGENET, bgr=True, low=-3, high=2),
            20 * (expected(ONE, *IMAGENET.values(), order=(2, 1, 0)) + 3),
        ),
        (ImageConvention(low=1, high=0), 100 * (1 - expected(ONE))),
        (ImageConvention(std=(255.0,) * 3, low=0.0, high=1.0), 100 * expected(ONE)),
        (ImageConvention(mean=(2.0, 0, 0), std=(1.0,) * 3, high=255),
         100 / 255 * (expected(ONE) * 255 - 0.4)),
        (ImageConvention(low=0, high=0.1), 100.0),  # above the range: clipped
        (ImageConvention(low=0.9, high=1), 0.0),  # below
    ],
)  # fmt: skip
def test_score_is_that_of_a_calculation_by_hand(convention: ImageConvention, value: float) -> None:
    assert score_of(network(), ONE, convention) == pytest.approx(value, abs=2e-4)


def test_crops_are_averaged() -> None:
    assert score_of(network(), CROPS, PLAIN) == pytest.approx(100 * expected(CROPS), abs=1e-4)


@pytest.mark.parametrize("opset", [17, 18, 20])
@pytest.mark.parametrize("output", [(-1,), (-1, 1), (-1, 1, 1, 1)])
@pytest.mark.parametrize("view", [ONE, CROPS])
def test_shapes_of_scores_and_opsets(opset: int, output: tuple[int, ...], view: View) -> None:
    found = score_of(network(output=output, opset=opset), view, PLAIN)
    assert found == pytest.approx(100 * expected(view), abs=1e-4)


def test_a_network_may_average_by_itself() -> None:
    model = network()
    mean = helper.make_node("ReduceMean", ["quality"], ["whole"], keepdims=0)
    model.graph.node.append(mean)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("whole", TensorProto.FLOAT, None))
    assert score_of(model, CROPS, PLAIN) == pytest.approx(100 * expected(CROPS), abs=1e-4)


def test_channels_last_and_names_of_our_own() -> None:
    model = network(("n", "h", "w", 3), channels=3, name="image")
    assert score_of(model, ONE, PLAIN) == pytest.approx(100 * expected(ONE), abs=1e-4)
    graph = folded(model, ONE, PLAIN).graph
    assert not any(node.op_type == "Transpose" for node in graph.node)


def test_a_graph_of_bytes_normalises_itself() -> None:
    model = network(kind=TensorProto.UINT8)
    convention = ImageConvention(low=0, high=255)
    assert score_of(model, ONE, convention) == pytest.approx(100 * expected(ONE), abs=1e-4)


def test_bytes_are_cast_first_then_scaled_once() -> None:
    convention = ImageConvention(**IMAGENET, bgr=True, low=-3, high=1)
    kinds = [node.op_type for node in folded(network(), ONE, convention).graph.node]
    assert kinds[:5] == ["Cast", "Transpose", "Gather", "Mul", "Add"]
    assert kinds[-4:] == ["Reshape", "Mul", "Add", "Clip"]
    assert kinds.count("Mul") == 2  # one for pixels, one for the score


def test_the_other_outputs_go_with_what_only_they_need() -> None:
    kinds = {node.op_type for node in folded(network(), ONE, PLAIN).graph.node}
    assert "Relu" not in kinds


def test_fold_leaves_its_argument_alone() -> None:
    model = network()
    fold(model, "image", ONE, PLAIN)
    assert model == network()


def test_any_number_of_frames_on_request() -> None:
    graph = fold(network(), "image", ONE, PLAIN, dynamic_batch=True)
    graph = finish_graph(graph, {"image": ONE}, ["score"], dynamic_batch=True)
    pictures = np.concatenate([picture(ONE, seed) for seed in range(3)])
    session = open_session(graph.SerializeToString())
    [together] = session.run(None, {"image": pictures})
    alone = [session.run(None, {"image": one[None]})[0].item() for one in pictures]
    assert together.shape == (3,)
    assert len(set(alone)) == 3
    np.testing.assert_allclose(together, alone, atol=1e-4)
    with pytest.raises(UsageError, match="already counts the 4 crops of one frame"):
        fold(network(), "image", CROPS, PLAIN, dynamic_batch=True)
    with pytest.raises(UsageError, match="needs a free first dimension"):
        fold(network((1, 3, 8, 12)), "image", ONE, PLAIN, dynamic_batch=True)


@pytest.mark.parametrize(
    ("model", "view", "message", "hint"),
    [
        (network((1, 3, 32, 48)), ONE, r"x is \[1, 3, 32, 48\]; the view .* \[1, 3, 8, 12\]",
         "--view resize:32x48"),
        (network((1, 3, 8, 8)), CROPS, r"gives \[4, 3, 8, 8\]", "free first dimension, or with 4"),
        (network(("n", 1, 8, 12)), ONE, r"\[n, 1, 8, 12\]", "3 channels"),
        (network((3, 8, 12)), ONE, r"has shape \[3, 8, 12\]; a picture has four dimensions", ""),
        (network(kind=TensorProto.FLOAT16), ONE, "x is float16; float32 is expected", "in FP32"),
        (network(output=(-1, 1, 3, 1)), ONE, r"not fit its input of \[1, 3, 8, 12\]", "--view"),
    ],
)  # fmt: skip
def test_inputs_that_no_view_fits(
    model: onnx.ModelProto, view: View, message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        fold(model, "image", view, PLAIN)
    assert hint in caught.value.hint


def test_the_output_is_chosen_by_shape_name_or_index() -> None:
    model = network()
    model.graph.node.append(helper.make_node("Neg", ["quality"], ["error"]))
    model.graph.output.append(helper.make_tensor_value_info("error", TensorProto.FLOAT, None))
    with pytest.raises(UsageError, match="Several outputs could be the score: quality, e") as many:
        fold(model, "image", ONE, PLAIN)
    assert many.value.hint == "Choose one, for example --score quality"
    for name in ("error", "2"):
        found = score_of(model, ONE, ImageConvention(low=-1, high=0, output=name))
        assert found == pytest.approx(100 - 100 * expected(ONE), abs=1e-4)
    with pytest.raises(UsageError, match=r"For 1 picture the model returns features \[1, 3\]"):
        fold(model, "image", ONE, ImageConvention(output="features"))
    with pytest.raises(UsageError, match="no output '7'; the model has quality, features, error"):
        fold(model, "image", ONE, ImageConvention(output="7"))


def test_graph_and_numpy_read_pixels_alike() -> None:
    convention = ImageConvention(**IMAGENET, bgr=True, low=-3, high=1)
    session = open_session(network().SerializeToString())
    pixels = convention.pixels(picture(ONE), channels_first=True)
    raw, _ = session.run(None, {"x": pixels})
    by_hand = convention.score(raw)
    assert by_hand[0] == pytest.approx(score_of(network(), ONE, convention), abs=1e-4)
    assert 0 < by_hand[0] < 100


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"std": (0.0, 1, 1)}, "deviation more than 0"),
        ({"mean": (-0.5, 0, 0)}, "must be 0 or more"),
        ({"mean": (float("nan"), 0, 0)}, "mean nan,0,0"),
        ({"low": 1.0, "high": 1.0}, "from 1 to 1; the ends must differ"),
        ({"mean": (0.5,) * 3, "std": (58.0,) * 3}, "of pixels from 0 to 1, deviation 58,58,58"),
    ],
)
def test_conventions_that_cannot_be_meant(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ImageConvention(**fields)
