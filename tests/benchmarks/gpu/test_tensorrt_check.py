"""The check of engines, as far as a machine without a GPU can take it: to the plan, not beyond."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu.tensorrt_check import Findings, compare_speed, main
from benchmarks.gpu.tensorrt_checks import NotApplicableError
from export.engine.cuda import CudaError, checked
from export.engine.gpu import find_gpu
from sdk.bundle import Bundle
from sdk.errors import BackendError

from ...export.engine.small_graphs import write_small_bundle

EVERY = ("build", "attention", "scores", "speed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_small_bundle(tmp_path_factory.mktemp("check") / "small.framescore")


def test_a_dry_run_names_every_check(bundle: Bundle, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.json"
    assert main(["--bundle", str(bundle.path), "--out", str(out), "--dry-run"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert names[:8] == [f"{what} {precision}" for precision in ("fp32", "fp16") for what in EVERY]
    assert {"our attention fp16", "the faster attention fp16"} <= {*names}
    assert {"cache: stale plan", "cache: damaged plan", "option strip", "timing cache"} <= {*names}
    assert not out.exists()


def test_precisions_are_chosen(bundle: Bundle, tmp_path: Path, capsys) -> None:
    arguments = ["--bundle", str(bundle.path), "--out", str(tmp_path / "o"), "--dry-run"]
    assert main([*arguments, "--precision", "fp16"]) == 0
    assert "fp32" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*arguments, "--precision", "fp4"])


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_without_a_gpu_it_says_so(bundle: Bundle, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.json"
    assert main(["--bundle", str(bundle.path), "--out", str(out)]) == 1
    assert "no NVIDIA GPU with a driver was found" in capsys.readouterr().err
    assert not out.exists()


@pytest.fixture(scope="module")
def result(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed: the extra rtx")
    out = tmp_path_factory.mktemp("result") / "out.json"
    arguments = ["--bundle", str(bundle.path), "--target", "sm_86", "--build-only"]
    assert main([*arguments, "--out", str(out)]) == 0
    return json.loads(out.read_text())


def test_real_builds_are_checked(result: dict) -> None:
    checks = {check["name"]: check for check in result["checks"]}
    assert result["build_only"] is True
    assert checks["build fp16"]["status"] == "passed"
    assert checks["build fp16"]["profile"] == "native-attention"
    assert checks["attention fp16"]["unfused"] == []
    assert checks["attention fp32"]["unfused"] == ["attention"]
    assert checks["cache: found again"]["status"] == "passed"
    assert "its version: 0.0 before" in checks["cache: stale plan"]["message"]
    assert "bytes instead of" in checks["cache: damaged plan"]["message"]


def test_what_did_not_run_is_not_called_passed(result: dict) -> None:
    checks = {check["name"]: check["status"] for check in result["checks"]}
    for name in (
        "our attention fp16",
        "the faster attention fp16",
        "scores fp16",
        "speed fp16",
        "INT8 is faster than FP16",
        "timing cache",
    ):
        assert checks[name] == "skipped"


def test_results_name_no_place_of_this_machine(result: dict, tmp_path: Path) -> None:
    text = json.dumps(result)
    assert str(Path.home()) not in text
    assert str(tmp_path.parent) not in text


def test_a_failure_is_a_finding_and_stops_nothing() -> None:
    findings = Findings()

    def fail() -> dict:
        raise BackendError("It does not build.")

    def refuse() -> dict:
        raise NotApplicableError("not here")

    for check in (fail, refuse, dict):
        findings.run("c", check)
    assert [check["status"] for check in findings.checks] == ["failed", "skipped", "passed"]
    assert findings.failed


@pytest.mark.parametrize(("int8", "status"), [(2.0, "passed"), (4.0, "failed"), (5.0, "failed")])
def test_int8_must_be_faster_than_fp16(int8: float, status: str) -> None:
    findings = Findings()
    for precision, median in (("fp16", 4.0), ("int8", int8)):
        findings.run(f"speed {precision}", lambda m=median: {"graph_ms": {"median": m}})
    compare_speed(findings)
    assert findings.checks[-1]["status"] == status
    assert findings.failed == (status == "failed")


CUDA_CALLS = (
    "cudaMalloc", "cudaFree", "cudaMemcpyAsync", "cudaStreamCreate", "cudaStreamDestroy",
    "cudaStreamSynchronize", "cudaStreamBeginCapture", "cudaStreamEndCapture",
    "cudaGraphInstantiate", "cudaGraphLaunch", "cudaGraphExecDestroy", "cudaGraphDestroy",
    "cudaEventCreate", "cudaEventRecord", "cudaEventSynchronize", "cudaEventElapsedTime",
)  # fmt: skip


def test_cuda_python_has_what_is_called(repository: Path) -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python isn't installed")
    source = (repository / "export/engine/loaded.py").read_text()
    assert [name for name in CUDA_CALLS if f".{name}(" not in source] == []
    assert [name for name in CUDA_CALLS if not hasattr(runtime, name)] == []
    assert runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
    assert runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    if find_gpu() is None:
        with pytest.raises(CudaError, match="cudaError"):
            checked(runtime.cudaStreamCreate())


def test_shapes_of_the_usual_batch() -> None:
    from export.engine.loaded import usual_shape
    from export.engine.plan import TensorInfo

    shapes = tuple((n * 25, 8) for n in (1, 2, 4))
    free = TensorInfo(name="x", mode="input", type="uint8", shape=(-1, 8), shapes=shapes)
    fixed = TensorInfo(name="x", mode="input", type="uint8", shape=(25, 8))
    assert usual_shape(free) == (50, 8)
    assert np.zeros(usual_shape(fixed), fixed.type).dtype == np.uint8
