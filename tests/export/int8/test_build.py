from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto

from export.drift import TOLERANCES, Tolerance, violations
from export.frame_set import FrameSet
from export.int8.build import build_int8
from export.int8.ranges import Calibrator
from sdk.errors import UsageError

from .networks import Network, frames, residual_cnn, transformer


def with_a_sensitive_layer() -> onnx.ModelProto:
    """A CNN of harmless layers and one that int8 ruins: faint channels hide below loud ones."""
    net = Network()
    data = net.add("Relu", net.conv(net.picture, "stem", (16, 3, 3, 3)), out="stem_r")
    loud = net.random(32, 16, 1, 1)
    loud[:16] *= 1000
    data = net.add("Relu", net.conv(data, "loud", loud), out="loud_r")
    faint = net.random(16, 32, 1, 1)
    faint[:, :16] = 0  # only the faint channels matter
    data = net.add("Relu", net.conv(data, "hurt", faint), out="hurt_r")
    return net.score(net.conv(data, "last", (16, 16, 3, 3)), 16)


def test_a_sensitive_layer_is_left_out_first(calibration: FrameSet, gate: FrameSet) -> None:
    built = build_int8(with_a_sensitive_layer(), calibration, gate=gate)
    assert "points in the mean when it alone is INT8" in built.left_out["n_hurt"]
    assert set(built.left_out) == {"n_raw", "n_hurt"}
    assert violations(built.drift, TOLERANCES["int8"]) == []
    assert 0.5 < built.int8_share < 1
    shares = [point.share for point in built.curve]
    assert shares == sorted(shares)
    passing = [point for point in built.curve if point.passed]
    assert max(point.share for point in passing) == built.int8_share
    assert built.curve[-1].in_float == 0
    assert built.curve[-1].mean_abs > 5 * built.drift.mean_abs


def test_without_need_nothing_is_left_out(calibration: FrameSet, gate: FrameSet) -> None:
    built = build_int8(residual_cnn(), calibration, gate=gate, weight_bits=8)
    assert set(built.left_out) == {"n_raw"}
    assert built.int8_share > 0.999
    assert built.drift.frames == len(gate)
    assert set(built.drift.by_group) == set(gate.groups)
    kinds = [node.op_type for node in built.model.graph.node]
    assert kinds.count("QuantizeLinear") == 5
    stored = [t.data_type for t in built.model.graph.initializer if len(t.dims) == 4]
    assert stored == [TensorProto.INT8] * 5


def test_an_impossible_gate_leaves_everything_in_float(
    calibration: FrameSet, gate: FrameSet
) -> None:
    built = build_int8(residual_cnn(), calibration, gate=gate, tolerance=Tolerance(max_abs=1e-9))
    assert built.int8_share == 0
    assert built.drift.max_abs < 1e-9
    assert "stays in float" in built.left_out["n_sum0"]
    assert not any(node.op_type == "QuantizeLinear" for node in built.model.graph.node)


def test_the_hash_is_that_of_the_frames_calibrated_with(calibration: FrameSet) -> None:
    rest, _ = calibration.split(0.25)
    built = build_int8(residual_cnn(), calibration)
    assert built.calibration_sha256 == rest.sha256
    fewer = calibration.take(range(len(calibration) - 3))
    assert build_int8(residual_cnn(), fewer).calibration_sha256 != built.calibration_sha256


def test_equal_arguments_give_equal_graphs(calibration: FrameSet, gate: FrameSet) -> None:
    one, other = (
        build_int8(transformer(), calibration, gate=gate).model.SerializeToString(
            deterministic=True
        )
        for _ in range(2)
    )
    assert one == other


@pytest.mark.parametrize("calibrator", ["entropy", "percentile", "minmax"])
def test_one_calibrator_may_be_asked_for(
    calibrator: Calibrator, calibration: FrameSet, gate: FrameSet
) -> None:
    built = build_int8(residual_cnn(), calibration, gate=gate, calibrators=(calibrator,))
    assert built.calibrator == calibrator


def test_opset_23(calibration: FrameSet, gate: FrameSet) -> None:
    model = transformer()
    model.opset_import[0].version = 23
    built = build_int8(model, calibration, gate=gate)
    assert built.model.opset_import[0].version == 23
    assert built.int8_share > 0.3


def test_options_that_cannot_be(calibration: FrameSet, gate: FrameSet) -> None:
    model = residual_cnn()
    with pytest.raises(UsageError, match="4 bits were asked for; allowed are 7 and 8"):
        build_int8(model, calibration, gate=gate, weight_bits=4)
    with pytest.raises(UsageError, match="Calibrators are none; allowed are entropy, percentile"):
        build_int8(model, calibration, gate=gate, calibrators=())
    with pytest.raises(UsageError, match="3 of 3 gate frames are calibration frames"):
        build_int8(model, calibration, gate=calibration.take([5, 7, 9]))


def test_a_network_without_layers_to_quantise(calibration: FrameSet, gate: FrameSet) -> None:
    net = Network()
    with pytest.raises(UsageError, match="no layer that INT8 could take over"):
        build_int8(net.score(net.picture, 3), calibration, gate=gate)


def test_progress_is_told(calibration: FrameSet, gate: FrameSet) -> None:
    stages: dict[str, tuple[int, int]] = {}

    def note(stage: str, done: int, total: int, /) -> None:
        stages[stage] = (done, total)

    build_int8(with_a_sensitive_layer(), calibration, gate=gate, progress=note)
    assert list(stages) == [
        "calibration",
        "calibrators",
        "sensitivity",
        "search",
        "curve",
        "taking back",
    ]
    assert all(done == total for done, total in stages.values())


def test_frames_of_the_tests_are_reproducible() -> None:
    assert frames(8).sha256 == frames(8).sha256
