from __future__ import annotations

import numpy as np
import onnx

from export.frame_set import FrameSet
from export.int8.emulate import emulate_scores
from export.int8.fold_batch_norm import fold_batch_norms

from .networks import Network


def norms(*, shared: bool) -> onnx.ModelProto:
    """Two convolutions with batch norms; the first is read elsewhere too if shared."""
    net = Network()
    rng = np.random.default_rng(0)
    data = net.picture
    for name, shape, bias in (("one", (16, 3, 3, 3), True), ("two", (16, 16, 3, 3), False)):
        raw = net.conv(data, name, shape, bias=bias, pads=[1] * 4)
        statistics = [
            net.constant(f"{name}_{part}", rng.uniform(0.5, 2, 16).astype(np.float32))
            for part in ("gamma", "beta", "mean", "variance")
        ]
        data = net.add("BatchNormalization", raw, *statistics, out=f"{name}_n", epsilon=1e-3)
    if shared:
        data = net.add("Add", data, "one", out="sum")
    return net.score(data, 16)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_scores_stay(calibration: FrameSet) -> None:
    model = norms(shared=False)
    folded = fold_batch_norms(model)
    assert "BatchNormalization" not in operators(folded)
    before, after = (emulate_scores(m, calibration.inputs[:8]) for m in (model, folded))
    np.testing.assert_allclose(after, before, atol=1e-3)
    assert np.ptp(before) > 0.1
    assert model == norms(shared=False)


def test_a_convolution_that_others_read_keeps_its_norm(calibration: FrameSet) -> None:
    model = norms(shared=True)
    folded = fold_batch_norms(model)
    assert operators(folded).count("BatchNormalization") == 1
    before, after = (emulate_scores(m, calibration.inputs[:4]) for m in (model, folded))
    np.testing.assert_allclose(after, before, atol=1e-3)
