from __future__ import annotations

import numpy as np
import onnx
import pytest

from export.activations import iterate_activations
from export.frame_set import FrameSet
from export.int8.calibrate import site_statistics
from export.int8.correct_bias import correct_biases
from export.int8.placement import place
from export.int8.quantise import quantise
from export.int8.wiring import Wiring

from .networks import Network


def lopsided() -> onnx.ModelProto:
    """A depthwise convolution and a linear layer whose weights all round downwards."""
    net = Network()
    data = net.add("Relu", net.conv(net.picture, "stem", (16, 3, 3, 3)), out="stem_r")
    depthwise = np.full((16, 1, 3, 3), 0.4 / 127, np.float32)
    depthwise[:, :, 1, 1] = 1.0
    data = net.conv(data, "depthwise", depthwise, group=16, bias=False)
    matrix = np.full((16, 32), 0.4 / 127, np.float32)
    matrix[0] = 1.0
    return net.score(net.linear(net.tokens(data, "tokens", 16), "fc", matrix), 32, axes=(1,))


@pytest.mark.parametrize(("node", "tensor"), [("n_depthwise", "depthwise"), ("n_fc_product", "fc")])
def test_the_mean_comes_back(node: str, tensor: str, calibration: FrameSet) -> None:
    model = lopsided()
    sites = place(Wiring(model)).sites
    statistics = site_statistics(model, sites, calibration.inputs)
    weights = [site for site in sites if site.node == node]
    thresholds = {name: found.absmax for name, found in statistics.histograms.items()}

    def mean_shift(graph: onnx.ModelProto) -> float:
        frames = calibration.inputs
        pairs = zip(
            iterate_activations(model, frames, [tensor]),
            iterate_activations(quantise(graph, weights, thresholds), frames, [tensor]),
            strict=True,
        )
        return float(abs(np.mean([(low[tensor] - full[tensor]).mean() for full, low in pairs])))

    corrected = correct_biases(model, weights, statistics.channels)
    assert mean_shift(corrected) < 0.1 * mean_shift(model)
    assert model == lopsided()
