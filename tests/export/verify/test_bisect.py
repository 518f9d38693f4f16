"""What is planted is found: the layer is named, and what is wrong with it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from export.frame_set import FrameSet
from export.verify import bisect_worst, find_first_divergence, verify_bundle
from export.verify.bisect import Finding
from export.verify.layers import Forms, cut, relative_error
from sdk.bundle import Bundle
from sdk.errors import UsageError

from .small_graphs import (
    HALF,
    LAYERS,
    MEAN,
    OVERFLOWS,
    STD,
    fp16_graph,
    fp32_graph,
    int8_graph,
    small_frames,
)


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return fp32_graph()


@pytest.fixture(scope="module")
def calibration() -> FrameSet:
    return small_frames()


def bisect(
    reference: onnx.ModelProto, other: onnx.ModelProto, precision: str, frames: FrameSet
) -> Finding:
    return find_first_divergence(reference, other, precision, frames.inputs[5])


def found(finding: Finding) -> tuple[str, str]:
    assert finding.culprit is not None, finding.words
    return finding.culprit.layer.node, finding.kind


def test_an_overflow_is_found_and_named(frames: FrameSet) -> None:
    fp32 = fp32_graph(gain=OVERFLOWS)
    finding = bisect(fp32, fp16_graph(fp32), "fp16", frames)
    assert found(finding) == ("conv2", "overflow")
    assert "conv2: overflow: reaches 3.05" in finding.words
    assert "fp16 ends at 65504" in finding.words
    assert not np.isfinite(finding.score)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_scale_that_is_too_small_is_found_and_named(
    fp32: onnx.ModelProto, calibration: FrameSet, frames: FrameSet, layer: str
) -> None:
    finding = bisect(fp32, int8_graph(fp32, calibration, {layer: 1 / 8}), "int8", frames)
    assert found(finding) == (layer, "bad scale")
    assert "is clipped: the scale ends at" in finding.words


@pytest.mark.parametrize("layer", ["conv2", "conv3"])
def test_a_scale_that_is_too_large_is_found_and_named(
    fp32: onnx.ModelProto, calibration: FrameSet, frames: FrameSet, layer: str
) -> None:
    finding = bisect(fp32, int8_graph(fp32, calibration, {layer: 8}), "int8", frames)
    assert found(finding) == (layer, "bad scale")
    assert "of its range: the scale ends at" in finding.words


@pytest.mark.parametrize("factor", [8, 1 / 8])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_wrong_scale_of_weights_is_found_and_named(
    fp32: onnx.ModelProto, calibration: FrameSet, frames: FrameSet, layer: str, factor: float
) -> None:
    wrong = int8_graph(fp32, calibration, {f"{layer}_w": factor})
    finding = bisect(fp32, wrong, "int8", frames)
    assert found(finding) == (layer, "bad scale")
    assert "16 of 16 channels come back" in finding.words
    assert f"by the weights' {layer}_w_scale" in finding.words


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_another_normalisation_is_found_and_named(
    fp32: onnx.ModelProto, calibration: FrameSet, frames: FrameSet, precision: str
) -> None:
    other = fp32_graph(mean=MEAN, std=HALF)
    if precision != "fp32":
        other = fp16_graph(other) if precision == "fp16" else int8_graph(other, calibration)
    finding = bisect(fp32, other, precision, frames)
    assert found(finding) == ("make_normalised", "normalisation")
    assert f"{STD[0] / 0.5:.3g}·x" in finding.words


def test_another_mean_is_found_where_it_is_subtracted(
    fp32: onnx.ModelProto, frames: FrameSet
) -> None:
    finding = bisect(fp32, fp32_graph(mean=HALF), "fp32", frames)
    assert found(finding) == ("make_centred", "normalisation")
    assert f"1·x {MEAN[0] - 0.5:+.3g}" in finding.words


def test_reversed_channels_are_found_and_named(fp32: onnx.ModelProto, frames: FrameSet) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(fp32)
    order = onnx.numpy_helper.from_array(np.array([2, 1, 0], np.int64), "bgr")
    other.graph.initializer.append(order)
    gather = onnx.helper.make_node("Gather", ["raw_planes", "bgr"], ["planes"], name="g", axis=1)
    other.graph.node[1].output[0] = "raw_planes"
    other.graph.node.insert(2, gather)
    finding = bisect(fp32, other, "fp32", frames)
    assert found(finding) == ("make_planes", "normalisation")
    assert "reverse order (RGB or BGR)" in finding.words


def test_a_sound_graph_has_no_culprit(fp32: onnx.ModelProto, frames: FrameSet) -> None:
    finding = bisect(fp32, fp16_graph(fp32), "fp16", frames)
    assert (finding.culprit, finding.kind) == (None, "none")
    assert "No layer by itself moves the score by 0.05 points" in finding.words


def test_coarse_weights_are_a_loss_of_precision(fp32: onnx.ModelProto, frames: FrameSet) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(fp32)
    for tensor in other.graph.initializer:
        if tensor.name == "conv2_w":
            coarse = np.round(onnx.numpy_helper.to_array(tensor), 1)
            tensor.CopyFrom(onnx.numpy_helper.from_array(coarse, tensor.name))
    finding = bisect(fp32, other, "fp32", frames)
    assert found(finding) == ("conv2", "precision")
    assert "Conv loses precision" in finding.words


def test_a_change_of_unit_is_no_error(fp32: onnx.ModelProto, frames: FrameSet) -> None:
    finding = bisect(fp32, fp32_graph(gain=4), "fp32", frames)
    assert finding.culprit is None
    assert "conv2_out" not in [layer.tensor for layer in finding.layers]  # four times as much


@pytest.mark.parametrize("layer", ["conv1", "conv3"])  # before it, and where it is undone
def test_faults_are_found_beside_a_change_of_unit(
    fp32: onnx.ModelProto, calibration: FrameSet, frames: FrameSet, layer: str
) -> None:
    rescaled = int8_graph(fp32_graph(gain=4), calibration, {layer: 1 / 8})
    finding = bisect(fp32, rescaled, "int8", frames)
    assert found(finding) == (layer, "bad scale")


def test_own_errors_do_not_carry_on(
    fp32: onnx.ModelProto, calibration: FrameSet, frames: FrameSet
) -> None:
    wrong = int8_graph(fp32, calibration, {"conv1": 1 / 8})
    layers = {layer.node: layer for layer in bisect(fp32, wrong, "int8", frames).layers}
    assert layers["conv1"].own > 0.3
    assert layers["conv2"].own < 0.05 < 0.3 < layers["conv2"].total


def test_a_cut_computes_what_the_graph_does(fp32: onnx.ModelProto, frames: FrameSet) -> None:
    forms = Forms(fp32, fp16_graph(fp32), frames.inputs[0])
    values = forms.values(["conv2_relu", "conv1_relu", "score"])
    part = cut(fp32, ["conv2_relu"], ["conv1_relu"])
    assert [node.name for node in part.graph.node] == ["conv2", "make_conv2_relu"]
    assert [value.name for value in part.graph.input] == ["conv1_relu__given"]
    assert forms.score_with("conv1_relu", values["conv1_relu"]) == values["score"][0]
    assert forms.score_with("conv1_relu", 2 * values["conv1_relu"]) != values["score"][0]


def test_graphs_without_a_common_tensor_are_refused(
    fp32: onnx.ModelProto, frames: FrameSet
) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(fp32)
    for node in other.graph.node:
        for names in (node.input, node.output):
            kept = {"picture", "score", *(tensor.name for tensor in fp32.graph.initializer)}
            names[:] = [name if name in kept else f"other_{name}" for name in names]
    with pytest.raises(UsageError, match="share no tensor"):
        bisect(fp32, other, "fp32", frames)


@pytest.mark.parametrize(
    ("reference", "found_values", "expected"),
    [
        ([3.0, 4.0], [3.0, 4.5], 0.1),
        ([-np.inf, 1.0], [-np.inf, 1.0], 0.0),  # a mask
        ([1.0, 1.0], [1.0, np.inf], np.inf),
        ([1.0, 1.0], [1.0, np.nan], np.inf),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 1e-9], 1.0),
        ([1.0, 1.0, 1.0], [1.0, 1.0], np.inf),
    ],
)
def test_relative_errors(
    reference: list[float], found_values: list[float], expected: float
) -> None:
    error = relative_error(np.array(reference), np.array(found_values))
    assert error == pytest.approx(expected)


def test_the_worst_of_a_report_is_bisected_on_its_worst_frame(
    overflowing_bundle: Bundle, frames: FrameSet
) -> None:
    report = verify_bundle(overflowing_bundle, frames=frames)
    bisection = bisect_worst(overflowing_bundle, report, frames)
    assert bisection is not None
    assert str(bisection.candidate) == "fp16 on typed"
    assert bisection.frame == report.outcomes[-1].worst[0]
    assert found(bisection.finding) == ("conv2", "overflow")


def test_the_reference_alone_has_nothing_to_bisect(small_bundle: Bundle, frames: FrameSet) -> None:
    report = verify_bundle(small_bundle, frames=frames, precisions=["fp32"])
    assert bisect_worst(small_bundle, report, frames) is None
