from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import onnx
import pytest

from export.frame_set import FrameSet
from export.int8.build import build_int8
from export.int8.emulate import emulate_scores
from export.reference import open_session

from .networks import residual_cnn, transformer

NETWORKS = {"cnn": residual_cnn, "transformer": transformer}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Callable[[], onnx.ModelProto]:
    return NETWORKS[request.param]


def test_emulation_gives_what_the_nodes_give_one_by_one(
    network: Callable[[], onnx.ModelProto], calibration: FrameSet, gate: FrameSet
) -> None:
    low = build_int8(network(), calibration, gate=gate).model
    session = open_session(low.SerializeToString(), optimise=False)
    expected = [session.run(["score"], dict(frame))[0].item() for frame in gate.inputs]
    # Sums in another order may turn a value that lies between two steps the other way.
    np.testing.assert_allclose(emulate_scores(low, gate.inputs), expected, atol=0.1)


def test_seven_bit_weights_score_alike_on_every_processor(
    network: Callable[[], onnx.ModelProto], calibration: FrameSet, gate: FrameSet
) -> None:
    openvino = importlib.import_module("openvino")
    low = build_int8(network(), calibration, gate=gate).model
    expected = emulate_scores(low, gate.inputs)
    data = low.SerializeToString()
    core = openvino.Core()
    request = core.compile_model(core.read_model(data), "CPU").create_infer_request()
    session = open_session(data)
    for frame, score in zip(gate.inputs, expected, strict=True):
        assert request.infer(dict(frame))["score"].item() == pytest.approx(score, abs=0.5)
        assert session.run(["score"], dict(frame))[0].item() == pytest.approx(score, abs=0.5)
