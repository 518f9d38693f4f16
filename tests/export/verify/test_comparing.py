"""Every precision on every backend is compared, and what is outside its limits fails."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.drift import TOLERANCES, Tolerance
from export.frame_set import FrameSet
from export.reference import Inputs, Outputs, run_scores
from export.verify import VerifyReport, verify_bundle
from export.verify.candidates import list_candidates
from sdk.backends import BACKENDS, create_backend, openvino
from sdk.bundle import Bundle
from sdk.errors import BackendError, BundleError, UsageError

from .small_graphs import STD, VIEWS, fp16_graph, fp32_graph, write_small_bundle

INSTALLED = [*BACKENDS]


def precisions_of(backend: str) -> tuple[str, ...]:
    return import_module(BACKENDS[backend].module).precisions()


LOOSE = {name: Tolerance() for name in TOLERANCES}


class Brightness:
    """An original whose score is the mean of the pixels."""

    name = "the other"
    views = VIEWS
    outputs = ("score",)

    def graph(self, profile: str = "compat", *, dynamic_batch: bool = False) -> onnx.ModelProto:
        raise NotImplementedError  # scores are compared, not graphs

    def run(self, inputs: Inputs) -> Outputs:
        return {"score": np.array([inputs["picture"].mean()], np.float32)}


@pytest.fixture(scope="module")
def report(small_bundle: Bundle, frames: FrameSet) -> VerifyReport:
    for name in INSTALLED:
        pytest.importorskip(BACKENDS[name].package, reason=f"{name} is not installed")
    return verify_bundle(small_bundle, frames=frames)


def test_every_precision_runs_on_every_backend_and_fp16_as_typed(report: VerifyReport) -> None:
    ran = [(o.candidate.precision, o.candidate.backend) for o in report.outcomes]
    expected = [(precision, name) for precision in ("fp32", "fp16", "int8") for name in INSTALLED]
    native = [("bf16", name) for name in INSTALLED if "bf16" in precisions_of(name)]
    assert sorted(ran) == sorted([*expected, *native, ("fp16", "typed")])
    assert all(outcome.drift is not None for outcome in report.outcomes)


def test_graphs_for_engines_run_as_typed_and_elsewhere_only_if_asked(tmp_path: Path) -> None:
    fp32 = fp32_graph()
    bundle = write_small_bundle(tmp_path / "b.framescore", fp32=fp32, int8_fp16=fp16_graph(fp32))

    def listed(*backends: str) -> list[str]:
        found = list_candidates(bundle, backends or None, ["int8+fp16"])
        return [candidate.backend for candidate in found]

    assert listed() == ["typed"]
    assert listed("onnxruntime") == ["onnxruntime"]


def test_drift_is_of_the_scores_that_users_get(
    report: VerifyReport, small_bundle: Bundle, frames: FrameSet
) -> None:
    reference = run_scores(small_bundle.onnx, frames.inputs)
    for outcome in report.outcomes:
        candidate = outcome.candidate
        if candidate.backend == "typed":
            continue
        backend = create_backend(small_bundle, candidate.backend, candidate.precision)
        scores = [backend.infer(inputs)["score"].item() for inputs in frames.inputs]
        assert outcome.scores == pytest.approx(scores, abs=1e-4)
        assert outcome.drift is not None
        assert outcome.drift.max_abs == pytest.approx(np.abs(scores - reference).max(), abs=1e-4)


def test_groups_are_the_degradations(report: VerifyReport, frames: FrameSet) -> None:
    for outcome in report.outcomes:
        assert outcome.drift is not None
        groups = outcome.drift.by_group
        assert {name: group.frames for name, group in groups.items()} == {
            name: frames.groups.count(name) for name in frames.groups
        }
        assert "clean" in groups
        assert "noise" in groups


def test_the_worst_frames_are_named_worst_first(report: VerifyReport, frames: FrameSet) -> None:
    for outcome in report.outcomes:
        deltas = [abs(frame.score - frame.reference) for frame in outcome.worst]
        assert deltas == sorted(deltas, reverse=True)
        assert outcome.drift is not None
        assert deltas[0] == pytest.approx(outcome.drift.max_abs)
        assert outcome.worst[0].name == frames.names[outcome.drift.worst]


def test_an_overflow_passes_on_cpus_and_fails_as_typed(
    overflowing_bundle: Bundle, frames: FrameSet
) -> None:
    report = verify_bundle(overflowing_bundle, frames=frames, precisions=["fp16"])
    verdicts = {outcome.candidate.backend: outcome.verdict for outcome in report.outcomes}
    assert verdicts == {"openvino": "pass", "onnxruntime": "pass", "typed": "fail"}
    assert not report.passed
    (typed,) = (o for o in report.outcomes if o.candidate.backend == "typed")
    assert typed.faults[0].startswith("a score is not finite")
    assert math.isnan(typed.worst[0].score) or math.isinf(typed.worst[0].score)


def test_limits_can_be_set(small_bundle: Bundle, frames: FrameSet) -> None:
    def passed(limits: dict[str, Tolerance]) -> bool:
        options = {"precisions": ["int8"], "backends": ["onnxruntime"]}
        return verify_bundle(small_bundle, frames=frames, tolerances=limits, **options).passed

    assert passed(LOOSE)
    assert not passed({"int8": Tolerance(max_abs=1e-6)})


def test_the_original_is_the_reference_if_there_is_one(
    small_bundle: Bundle, frames: FrameSet
) -> None:
    report = verify_bundle(
        small_bundle,
        frames=frames,
        original=Brightness(),
        precisions=["fp32"],
        backends=INSTALLED[:1],
    )
    assert report.reference == "the other"
    (outcome,) = report.outcomes
    means = [inputs["picture"].mean() for inputs in frames.inputs]
    assert outcome.drift is not None
    assert outcome.drift.max_abs == pytest.approx(
        np.abs(run_scores(small_bundle.onnx, frames.inputs) - means).max(), abs=1e-3
    )
    assert outcome.golden < 1e-3  # golden scores are the FP32 graph's own


def test_golden_frames_are_checked(tmp_path: Path, frames: FrameSet) -> None:
    other = fp32_graph(std=tuple(1.1 * value for value in STD))
    bundle = write_small_bundle(tmp_path / "b.framescore", fp32=fp32_graph(), fp16=other)
    report = verify_bundle(bundle, frames=frames, precisions=["fp16"], backends=["onnxruntime"])
    faults = report.outcomes[0].faults
    assert any(fault.startswith("golden frames: max |Δ| is") for fault in faults)


def test_labels_give_the_change_of_correlations(small_bundle: Bundle, frames: FrameSet) -> None:
    reference = run_scores(small_bundle.onnx, frames.inputs)
    labels = dict(zip(frames.names, reference / 20, strict=True))
    del labels[frames.names[0]]
    report = verify_bundle(small_bundle, frames=frames, labels=labels, precisions=["fp16"])
    assert report.labels == len(frames) - 1
    for outcome in report.outcomes:
        assert outcome.drift is not None
        assert outcome.drift.srocc_change is not None
        assert -0.01 < outcome.drift.srocc_change <= 0  # the reference agrees wholly
    with pytest.raises(UsageError, match=r"0 of 24 frames have a label; correlations need 2"):
        verify_bundle(small_bundle, frames=frames, labels={"other.png": 1.0})


def test_what_a_backend_cannot_run_is_reported_and_not_verified(
    tmp_path: Path, frames: FrameSet
) -> None:
    broken = fp32_graph()
    broken.graph.node[5].op_type = "Unheard"
    bundle = write_small_bundle(tmp_path / "b.framescore", fp32=fp32_graph(), int8=broken)
    report = verify_bundle(bundle, frames=frames)
    broken_runs = [o for o in report.outcomes if o.candidate.precision == "int8"]
    assert {outcome.verdict for outcome in broken_runs} == {"not run"}
    assert all("int8.onnx" in outcome.reason for outcome in broken_runs)
    assert report.unverified == ("int8",)
    assert not report.passed


def test_bf16_arithmetic_is_verified_where_the_cpu_has_it(
    small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "precisions", lambda: ("bf16", "fp32"))
    found = [str(candidate) for candidate in list_candidates(small_bundle, ["openvino"])]
    assert found == ["fp32 on openvino", "bf16 on openvino", "fp16 on openvino", "int8 on openvino"]


def test_bf16_arithmetic_that_drifts_fails_only_where_it_is_asked_for(
    small_bundle: Bundle, frames: FrameSet
) -> None:
    if "bf16" not in openvino.precisions():
        pytest.skip("this CPU does not compute bfloat16")
    nothing = {**TOLERANCES, "bf16": Tolerance(max_abs=1e-9)}
    one = frames.take([0])
    offered = verify_bundle(small_bundle, backends=["openvino"], frames=one, tolerances=nothing)
    assert [o.verdict for o in offered.outcomes if o.candidate.precision == "bf16"] == ["not used"]
    assert offered.passed
    [asked] = verify_bundle(
        small_bundle, backends=["openvino"], precisions=["bf16"], frames=one, tolerances=nothing
    ).outcomes
    assert asked.verdict == "fail"


def test_wrong_names_are_refused(
    small_bundle: Bundle, frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="The backend is 'tpu'; allowed are openvino, onnxr"):
        verify_bundle(small_bundle, frames=frames, backends=["tpu"])
    monkeypatch.setattr("sdk.backends.openvino.precisions", lambda: ("fp32",))
    with pytest.raises(BundleError, match="nothing to run in bf16 on openvino; its graphs are fp3"):
        verify_bundle(small_bundle, frames=frames, backends=["openvino"], precisions=["bf16"])
    monkeypatch.setattr("export.verify.candidates._is_installed", lambda name: name != "openvino")
    with pytest.raises(BackendError, match="'openvino' is not installed"):
        verify_bundle(small_bundle, frames=frames, backends=["openvino"])


def test_the_report_is_strict_json_with_a_version(
    overflowing_bundle: Bundle, frames: FrameSet
) -> None:
    report = verify_bundle(overflowing_bundle, frames=frames, precisions=["fp16"])
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (document["schema"], document["kind"], document["passed"]) == (1, "verify", False)
    assert document["frames"] == {"count": 24, "sha256": frames.sha256}
    assert document["tolerances"]["fp16"]["max_abs"] == 0.5
    typed = document["results"][-1]
    assert (typed["backend"], typed["verdict"]) == ("typed", "fail")
    assert typed["drift"]["max_abs"] is None  # not a number
    assert typed["worst"][0]["score"] is None
    assert len(typed["worst"]) == 5
