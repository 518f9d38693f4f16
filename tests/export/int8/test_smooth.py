from __future__ import annotations

import numpy as np
import onnx

from export.drift import measure_drift
from export.frame_set import FrameSet
from export.int8.build import build_int8
from export.int8.calibrate import site_statistics
from export.int8.emulate import emulate_scores
from export.int8.placement import place
from export.int8.quantise import quantise
from export.int8.smooth import Smoothing, smooth
from export.int8.wiring import Wiring

from .networks import Network, transformer


def smoothed(model: onnx.ModelProto, frames: FrameSet) -> Smoothing:
    sites = place(Wiring(model)).sites
    return smooth(model, sites, site_statistics(model, sites, frames.inputs).channels)


def drift(model: onnx.ModelProto, calibration: FrameSet, gate: FrameSet) -> float:
    """Mean drift with everything in INT8, from the largest magnitudes."""
    sites = place(Wiring(model)).sites
    statistics = site_statistics(model, sites, calibration.inputs)
    thresholds = {name: found.absmax for name, found in statistics.histograms.items()}
    scores = emulate_scores(quantise(model, sites, thresholds), gate.inputs)
    return measure_drift(emulate_scores(model, gate.inputs), scores).mean_abs


def test_planted_outliers_are_smoothed_and_drift_less(
    calibration: FrameSet, gate: FrameSet
) -> None:
    model = transformer(outlier=60.0)
    found = smoothed(model, calibration)
    assert {"n_q_product", "n_k_product", "n_v_product", "n_fc1_product"} <= {*found.smoothed}
    assert drift(found.model, calibration, gate) < 0.4 * drift(model, calibration, gate)


def test_scores_keep_every_bit(calibration: FrameSet) -> None:
    model = transformer(outlier=60.0)
    found = smoothed(model, calibration)
    before, after = (emulate_scores(m, calibration.inputs) for m in (model, found.model))
    np.testing.assert_array_equal(before, after)
    assert model == transformer(outlier=60.0)


def test_even_channels_are_left_alone(calibration: FrameSet) -> None:
    assert smoothed(transformer(), calibration).smoothed == ()


def loud_hidden(operator: str) -> onnx.ModelProto:
    """Two linear layers, an activation between them, one channel of which is loud."""
    net = Network()
    tokens = net.tokens(net.conv(net.picture, "stem", (32, 3, 4, 4), strides=[4, 4]), "t", 32)
    first, second = net.random(32, 32).T.copy(), net.random(32, 32).T.copy()
    first[:, 5] *= 100
    second[5] /= 100
    hidden = net.add(operator, net.linear(tokens, "fc1", first), out="hidden")
    return net.score(net.linear(hidden, "fc2", second), 32, axes=(1,))


def test_the_layer_before_a_relu_absorbs_the_scales(calibration: FrameSet, gate: FrameSet) -> None:
    model = loud_hidden("Relu")
    found = smoothed(model, calibration)
    assert "n_fc2_product" in found.smoothed
    assert drift(found.model, calibration, gate) < drift(model, calibration, gate)


def test_what_lies_behind_a_gelu_is_skipped_with_the_reason(calibration: FrameSet) -> None:
    found = smoothed(loud_hidden("Gelu"), calibration)
    assert found.skipped["n_fc2_product"] == "Gelu lies between it and the layer before"


def test_a_float_reader_of_the_same_tensor_forbids_it(calibration: FrameSet) -> None:
    net = Network()
    tokens = net.tokens(net.conv(net.picture, "stem", (32, 3, 4, 4), strides=[4, 4]), "t", 32)
    scale = np.ones(32, np.float32)
    scale[3] = 50
    normed = net.layer_norm(tokens, "norm", scale)
    data = net.add("Add", normed, net.linear(normed, "fc", (32, 32)), out="sum")
    found = smoothed(net.score(data, 32, axes=(1,)), calibration)
    assert found.skipped == {"n_fc_product": "n_sum reads its input in float"}


def test_the_search_takes_it_where_it_helps(calibration: FrameSet, gate: FrameSet) -> None:
    built = build_int8(transformer(outlier=60.0), calibration, gate=gate, calibrators=("minmax",))
    assert "n_fc1_product" in built.smoothed
    assert build_int8(transformer(), calibration, gate=gate).smoothed == ()
