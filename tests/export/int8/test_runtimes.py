"""INT8 graphs on the runtimes that take them. A plan that builds says nothing of how it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from export.drift import TOLERANCES, violations
from export.frame_set import FrameSet, collect_frames
from export.half_weights import restore_half
from export.int8.build import build_int8
from export.int8.emulate import emulate_scores
from sdk.bundle import Bundle

from .networks import residual_cnn, transformer


def plan_layers(data: bytes) -> list[Any]:
    """Build a plan for sm_86 on the CPU; the layers of the network that it was built from."""
    rtx = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed")
    builder = rtx.Builder(rtx.Logger(rtx.Logger.ERROR))
    flags = 1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = rtx.OnnxParser(network, rtx.Logger(rtx.Logger.ERROR))
    assert parser.parse(data), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(rtx.ComputeCapability.SM86, 0)
    assert builder.build_serialized_network(network, config).nbytes > 0
    return [network.get_layer(i).type for i in range(network.num_layers)]


@pytest.mark.parametrize("make", [residual_cnn, transformer])
def test_tensorrt_rtx_builds_a_plan(make: Any, calibration: FrameSet, gate: FrameSet) -> None:
    built = build_int8(make(), calibration, gate=gate)
    layers = [kind.name for kind in plan_layers(built.model.SerializeToString())]
    pairs = sum(node.op_type == "QuantizeLinear" for node in built.model.graph.node)
    assert layers.count("QUANTIZE") == pairs > 0


@pytest.fixture(scope="module")
def packaged() -> onnx.ModelProto:
    return restore_half(onnx.load_from_string(Bundle.load().onnx))


@pytest.mark.slow
def test_the_packaged_model_within_the_gate(packaged: onnx.ModelProto) -> None:
    openvino = pytest.importorskip("openvino")
    frames = collect_frames(None, Bundle.load().views, 21)
    calibration, gate = frames.split(0.3)
    built = build_int8(packaged, calibration, gate=gate, calibrators=("percentile",))
    assert violations(built.drift, TOLERANCES["int8"]) == []
    assert built.int8_share > 0.4
    data = built.model.SerializeToString()
    assert len(data) < 0.5 * len(packaged.SerializeToString())
    core = openvino.Core()
    request = core.compile_model(
        core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    ).create_infer_request()
    found = [request.infer(dict(frame))["score"].item() for frame in gate.inputs]
    # Not equal: sums in another order turn values that lie between two steps the other way.
    assert np.abs(found - emulate_scores(built.model, gate.inputs)).mean() < 1
