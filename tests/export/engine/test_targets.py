"""Targets on machines that this one is not: a small library stands in for NVIDIA's driver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from export.engine.gpu import find_gpu
from export.engine.targets import resolve_target
from sdk.errors import BackendError, UsageError

DRIVER = """
#include <string.h>
int cuInit(unsigned flags) {{ return flags; }}
int cuDeviceGetCount(int *count) {{ *count = {count}; return 0; }}
int cuDeviceGet(int *device, int index) {{ *device = 7 + index; return 0; }}
int cuDeviceGetName(char *name, int size, int device) {{
  strncpy(name, device == 7 ? "{name}" : "wrong", size); return 0;
}}
int cuDeviceGetAttribute(int *value, int attribute, int device) {{
  *value = attribute == 75 ? {major} : attribute == 76 ? {minor} : -1; return device != 7;
}}
int cuDriverGetVersion(int *version) {{ *version = 12060; return 0; }}
"""

SCRIPT = """
import json, sys
from export.engine.gpu import find_gpu
from export.engine.targets import resolve_target
from sdk.errors import FramescoreError

gpu = find_gpu()
found = [gpu.name, gpu.sm, gpu.driver] if gpu else None
try:
    target = resolve_target(sys.argv[1])
    answer = [target.toolkit.backend, list(target.capabilities), target.gpu is not None]
except FramescoreError as error:
    answer = str(error)
print(json.dumps([found, answer]))
"""


@pytest.fixture
def machine(tmp_path: Path):
    """Resolve a target on a machine with another GPU."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler for a driver that stands in for NVIDIA's")

    def resolve(target: str, name: str, capability: int, count: int = 1):
        source = tmp_path / "cuda.c"
        major, minor = divmod(capability, 10)
        source.write_text(DRIVER.format(name=name, major=major, minor=minor, count=count))
        library = tmp_path / "libcuda.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
        command = [sys.executable, "-c", SCRIPT, target]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    return resolve


def test_the_driver_is_asked(machine) -> None:
    found, _ = machine("this", "Orin", 87)
    assert found[:2] == ["Orin", "sm_87"]
    assert found[2]  # the kernel module's version where there is one, else CUDA's
    if not Path("/sys/module/nvidia/version").exists():
        assert found[2] == "CUDA 12.6"


def test_a_driver_without_a_gpu(machine) -> None:
    found, answer = machine("this", "none", 86, count=0)
    assert found is None
    assert "no NVIDIA GPU with a driver was found" in answer


@pytest.mark.usefixtures("rtx")
def test_this_machine_with_rtx_only(machine) -> None:
    pytest.importorskip("tensorrt_rtx")
    _, answer = machine("this", "NVIDIA GeForce RTX 3060", 86)
    assert answer == ["tensorrt_rtx", [86], False]


@pytest.mark.usefixtures("rtx")
def test_gpus_that_rtx_does_not_know(machine) -> None:
    _, answer = machine("this", "NVIDIA H100", 90)
    assert "builds for sm_75, sm_80, sm_86, sm_89, sm_120, sm_121, not for sm_90" in answer


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_orin_wants_the_tensorrt_of_its_jetpack(machine) -> None:
    _, answer = machine("jetson-orin", "Orin", 87)
    assert "TensorRT cannot be imported" in answer
    assert "On a Jetson it comes with JetPack" in answer


def test_orin_is_built_on_an_orin(machine) -> None:
    _, answer = machine("jetson-orin", "NVIDIA GeForce RTX 3060", 86)
    assert "is built on an Orin" in answer
    assert "this one has NVIDIA GeForce RTX 3060 (sm_86)" in answer
    assert "framescore engine build BUNDLE --target this" in answer


needs_no_gpu = pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")


@needs_no_gpu
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("this", "no NVIDIA GPU with a driver was found"),
        ("jetson-orin", "this one has no GPU"),
    ],
)
def test_without_a_gpu(target: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        resolve_target(target)


@pytest.mark.parametrize("target", ["", "orin", "sm_", "sm_8.6", "SM_86", "sm_8600"])
def test_targets_that_do_not_exist(target: str) -> None:
    with pytest.raises(UsageError, match="There is no target") as error:
        resolve_target(target)
    assert "jetson-orin" in error.value.hint


@pytest.mark.usefixtures("rtx")
def test_capabilities_that_rtx_lacks() -> None:
    with pytest.raises(BackendError, match="not for sm_53"):
        resolve_target("sm_53")


@pytest.mark.usefixtures("rtx")
def test_rtx_needs_no_gpu() -> None:
    target = resolve_target("rtx")
    assert target.toolkit.backend == "tensorrt_rtx"
    assert (target.capabilities, target.gpu) == ((), None)
    assert resolve_target("sm_120").capabilities == (120,)
