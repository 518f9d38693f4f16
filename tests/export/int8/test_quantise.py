from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from export.activations import iterate_activations
from export.drift import measure_drift
from export.frame_set import FrameSet
from export.int8.calibrate import site_statistics
from export.int8.emulate import emulate_scores
from export.int8.placement import Placement, place
from export.int8.quantise import quantise, quantise_weight, scale_for
from export.int8.wiring import Wiring

from .networks import Network, residual_cnn, transformer

Thresholds = dict[str, float]


def calibrated(model: onnx.ModelProto, frames: FrameSet) -> tuple[Placement, Thresholds]:
    placement = place(Wiring(model))
    statistics = site_statistics(model, placement.sites, frames.inputs)
    return placement, {name: found.absmax for name, found in statistics.histograms.items()}


def tensors(model: onnx.ModelProto, frames: FrameSet, *names: str) -> Mapping[str, NDArray[Any]]:
    return next(iter(iterate_activations(model, frames.inputs[:1], names)))


def int8(values: NDArray[Any], step: float) -> NDArray[np.int64]:
    return np.clip(np.rint(values / step), -128, 127).astype(np.int64)


def exact_weights(shape: tuple[int, ...], step: float) -> NDArray[np.float32]:
    """Weights that int8 with this power of two holds, each channel up to 127 of it."""
    values = np.random.default_rng(3).integers(-126, 127, shape)
    values.reshape(len(values), -1)[:, 0] = 127
    return (values * step).astype(np.float32)


def quantised(model: onnx.ModelProto, thresholds: Thresholds, **options: Any) -> onnx.ModelProto:
    return quantise(model, place(Wiring(model)).sites, thresholds, **options)


def test_a_convolution_is_what_integers_give(gate: FrameSet) -> None:
    net = Network()
    weight = exact_weights((16, 3, 3, 3), 2.0**-9)
    net.conv(net.picture, "conv", weight, strides=[2, 2])
    model = quantised(net.score("conv", 16), {"picture": 127 * 2.0**-8})
    found = tensors(model, gate, "picture", "conv")
    pixels = int8(found["picture"], 2.0**-8)[0]  # [3, H, W]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), (1, 2))[:, ::2, ::2]
    sums = np.einsum("chwij,ocij->ohw", windows, int8(weight, 2.0**-9))
    np.testing.assert_array_equal(found["conv"][0], sums * 2.0**-17)


def test_a_product_is_what_integers_give(gate: FrameSet) -> None:
    net = Network()
    weight = exact_weights((48, 16), 2.0**-8).T  # [C, O]
    net.linear(net.tokens(net.conv(net.picture, "stem", (16, 3, 1, 1)), "tokens", 16), "fc", weight)
    model = quantised(net.score("fc", 48, axes=(1,)), {"picture": 1.0, "tokens": 127 * 2.0**-6})
    found = tensors(model, gate, "tokens", "fc_product")
    sums = int8(found["tokens"], 2.0**-6)[0] @ int8(weight, 2.0**-8)
    np.testing.assert_array_equal(found["fc_product"][0], sums * 2.0**-14)


def test_steps_are_numbers_of_fp16_that_clip_nothing() -> None:
    thresholds = np.exp(np.random.default_rng(0).uniform(-12, 8, 1000))
    steps = scale_for(thresholds)
    np.testing.assert_array_equal(steps, steps.astype(np.float16).astype(np.float32))
    assert (steps.astype(np.float64) * 127 >= thresholds).all()
    normal = thresholds / 127 > 2.0**-14
    assert (steps[normal] * 127 <= thresholds[normal] * (1 + 2.0**-10)).all()
    assert scale_for(0.0) > 0


def test_weights_of_one_loud_channel_leave_the_others_alone() -> None:
    weight = np.random.default_rng(0).standard_normal((8, 4, 3, 3)).astype(np.float32)
    weight[2] *= 200

    def error(axis_of: NDArray[np.float32]) -> float:
        values, steps = quantise_weight(axis_of, 0)
        rounded = values * steps.reshape(-1, *[1] * (axis_of.ndim - 1))
        quiet = np.delete(np.abs(rounded - axis_of).reshape(weight.shape), 2, axis=0)
        return float(quiet.mean())

    assert error(weight) < 0.02 * error(weight.reshape(1, -1))


@pytest.mark.parametrize(("bits", "most"), [(8, 127), (7, 63)])
def test_weights_are_stored_as_int8_within_their_bits(
    bits: int, most: int, calibration: FrameSet
) -> None:
    model = transformer()
    placement, thresholds = calibrated(model, calibration)
    low = quantise(model, placement.sites, thresholds, weight_bits=bits)
    weights = [
        np.array(onnx.numpy_helper.to_array(tensor))
        for tensor in low.graph.initializer
        if tensor.data_type == TensorProto.INT8 and tensor.dims
    ]
    matrices = [values for values in weights if values.ndim == 2]
    assert len(matrices) == 6
    assert all(np.abs(values).max() == most for values in matrices)
    assert not any(values.any() for values in weights if values.ndim == 1)  # zero points
    names = {tensor.name for tensor in low.graph.initializer}
    assert not names & {site.weight for site in placement.sites}


def test_depthwise_weights_keep_eight_bits() -> None:
    net = Network()
    net.conv(net.conv(net.picture, "stem", (16, 3, 3, 3)), "depthwise", (16, 1, 3, 3), group=16)
    low = quantised(net.score("depthwise", 16), {"picture": 1.0, "stem": 1.0}, weight_bits=7)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in low.graph.initializer}
    assert np.abs(stored["stem_w_int8"]).max() == 63
    assert np.abs(stored["depthwise_w_int8"]).max() == 127


def test_the_argument_is_left_alone(calibration: FrameSet) -> None:
    model = residual_cnn()
    placement, thresholds = calibrated(model, calibration)
    quantise(model, placement.sites, thresholds)
    assert model == residual_cnn()


def test_one_pair_serves_all_and_others_read_float(calibration: FrameSet) -> None:
    model = residual_cnn()
    placement, thresholds = calibrated(model, calibration)
    low = Wiring(quantise(model, placement.sites, thresholds))
    readers = [node.name for node in low.readers["stem_r"]]
    assert readers == ["stem_r_int8_node"]
    assert {node.name for node in low.readers["stem_r_dequantised"]} == {"n_a0", "n_sum0"}
    without = [site for site in placement.sites if site.unit != "n_b0"]
    low = Wiring(quantise(model, without, thresholds))
    assert {node.name for node in low.readers["stem_r"]} == {"stem_r_int8_node", "n_sum0"}
    sums = [site for site in placement.sites if site.kind == "residual add"]
    assert quantise(model, sums, thresholds).graph.node == model.graph.node


def test_nothing_changes_without_sites(calibration: FrameSet) -> None:
    model = residual_cnn()
    same = quantise(model, [], {})
    np.testing.assert_array_equal(
        emulate_scores(model, calibration.inputs[:4]), emulate_scores(same, calibration.inputs[:4])
    )


def test_a_wrong_step_is_seen_in_the_drift(calibration: FrameSet, gate: FrameSet) -> None:
    model = residual_cnn()
    placement, thresholds = calibrated(model, calibration)
    reference = emulate_scores(model, gate.inputs)

    def drift(changed: Thresholds) -> float:
        low = quantise(model, placement.sites, {**thresholds, **changed})
        return measure_drift(reference, emulate_scores(low, gate.inputs)).mean_abs

    assert drift({}) < 0.5
    assert drift({"a1_r": thresholds["a1_r"] / 30}) > 10 * drift({})
