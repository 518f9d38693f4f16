"""Builds that meet, are cancelled or die: real processes, the real builder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from export.engine import Options, build, build_graph
from export.engine.job import Job
from export.engine.launch import run_build
from export.progress import silent
from sdk.bundle import DEFAULT_MODEL, Bundle
from sdk.errors import BackendError

from .small_graphs import transformer

pytestmark = pytest.mark.usefixtures("rtx")

SCRIPT = """
import sys
from export.engine import build

def progress(stage, done, total):
    print(stage, done, flush=True)

engine = build(sys.argv[1], target="rtx", precision="fp32", progress=progress)
print("CACHED" if engine.from_cache else "BUILT", len(engine.plan), flush=True)
"""


def start(model: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def wait_until_gone(pid: int, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in status(pid):
            return True
        time.sleep(0.05)
    return False


def status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


@pytest.mark.slow
def test_two_processes_build_once(cache: Path) -> None:
    processes = [start(DEFAULT_MODEL) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    endings = sorted(out.splitlines()[-1].split()[0] for out, _ in outputs)
    assert endings == ["BUILT", "CACHED"]
    waiting = next(out for out, _ in outputs if "CACHED" in out)
    assert "waiting for another build" in waiting
    assert [path.name for path in cache.iterdir() if path.is_dir()] != []


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["parsing", "building"])
def test_a_killed_build_leaves_nothing_broken(cache: Path, stage: str) -> None:
    process = start(DEFAULT_MODEL)
    assert process.stdout is not None
    while not process.stdout.readline().startswith(stage):
        assert process.poll() is None
    [builder] = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert wait_until_gone(builder), "the builder outlived its caller"
    assert list(cache.glob("[!.]*")) == []  # nothing that a reader would take for a plan
    assert list(cache.glob(".*.part")) != []
    again = build(DEFAULT_MODEL, target="rtx", precision="fp32")
    assert not again.from_cache
    assert list(cache.glob(".*.part")) == []
    assert build(DEFAULT_MODEL, target="rtx", precision="fp32").from_cache


def test_ctrl_c_ends_a_build_at_once(cache: Path) -> None:
    process = start(DEFAULT_MODEL)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("building"):
        assert process.poll() is None
    [builder] = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert wait_until_gone(builder, 1)
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == []


class CancelledError(Exception):
    pass


@pytest.mark.parametrize("keep", [True, False], ids=["cache", "no cache"])
def test_progress_that_raises_cancels(cache: Path, bundle: Bundle, keep: bool) -> None:
    stages, others = [], children(os.getpid())  # of other tests: multiprocessing keeps one

    def progress(stage: str, done: int, total: int) -> None:
        stages.append((stage, done, total))
        if stage == "building" and done >= 10:
            raise CancelledError

    with pytest.raises(CancelledError):
        build(bundle, target="sm_86", progress=progress, cache=keep)
    assert stages[0] == ("parsing", 0, 0)
    left = [path for path in cache.glob("*") if path.suffix != ".lock"]
    assert left == []
    assert children(os.getpid()) == others


def test_progress_grows_to_the_end(bundle: Bundle) -> None:
    done = []

    def progress(stage: str, steps: int, total: int) -> None:
        if stage == "building":
            assert total == 100
            done.append(steps)

    build(bundle, target="sm_86", progress=progress, cache=False)
    assert done == sorted(set(done))
    assert done[-1] >= 80


def test_a_builder_that_dies_is_reported(tmp_path: Path) -> None:
    """Its graph is not there, which nothing but a bug can bring about."""
    job = Job(
        backend="tensorrt_rtx",
        graph=str(tmp_path / "none.onnx"),
        plan=str(tmp_path / "plan"),
        log=str(tmp_path / "log"),
        capabilities=(86,),
    )
    with pytest.raises(BackendError, match="No such file"):
        run_build(job, silent)

    others = children(os.getpid())  # of other tests

    def kill(_stage: str, _done: int, _total: int) -> None:
        for child in {*children(os.getpid())} - {*others}:
            os.kill(child, signal.SIGSEGV)

    (tmp_path / "none.onnx").write_bytes(transformer())
    with pytest.raises(BackendError, match="process ended with status -11; the last it said: "):
        run_build(job, kill)


def test_a_plan_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "graph").write_bytes(transformer("fp16"))
    job = Job(
        backend="tensorrt_rtx",
        graph=str(tmp_path / "graph"),
        plan="/dev/full",
        log=str(tmp_path / "log"),
        capabilities=(86,),
    )
    with pytest.raises(BackendError, match=r"read or write a file: .*No space left"):
        run_build(job, silent)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_a_missing_backend_is_named(tmp_path: Path) -> None:
    job = Job(backend="tensorrt", graph="", plan="", log=str(tmp_path / "log"))
    with pytest.raises(BackendError, match="TensorRT cannot be imported"):
        run_build(job, silent)


def test_the_callers_folder_is_not_imported(tmp_path: Path, monkeypatch) -> None:
    """A builder started with `-m` would find a module `export` where it is run."""
    (tmp_path / "export.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    options = Options(cache=False)
    graph = transformer("fp16")
    assert build_graph(graph, name="t", precision="fp16", target="sm_86", options=options).plan
