"""The kernels with CUDA 12.6, the toolkit of JetPack 6; everything else here is compiled by the
machine's nvcc."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from . import budgets, cuda_12_6
from .emulated import KERNELS
from .static_facts import Facts, compile_cubin

ORIN = "87"


def check(architecture: str, facts: Mapping[str, Facts]) -> None:
    """Nothing spills; attention keeps to its budget. Its ptxas gives some of the others more
    registers than the newer one, for which the budgets stand."""
    assert [name for name, fact in facts.items() if fact.spilled or fact.stack] == []
    attention = {name: fact for name, fact in facts.items() if name.startswith("attention_")}
    assert attention
    assert budgets.violations(architecture, attention) == []


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    cuda_12_6.require()
    if shutil.which("c++filt") is None:
        pytest.skip("needs c++filt")


@pytest.fixture(scope="module")
def main_ptx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """The kernels our models run, as compute_80 PTX, and their names."""
    folder = tmp_path_factory.mktemp("main")
    names = set(compile_cubin(budgets.MAIN, ORIN, folder)[1])
    path = folder / "main.ptx"
    path.write_text(cuda_12_6.compile_ptx(sorted(names), "80"))
    return path, names


@pytest.mark.parametrize("architecture", cuda_12_6.ARCHITECTURES)
def test_main_kernels(main_ptx: tuple[Path, set[str]], architecture: str) -> None:
    path, names = main_ptx
    assert ".version 8.5" in path.read_text()  # what a driver of CUDA 12.6 reads
    facts = cuda_12_6.assemble(path, architecture)
    assert set(facts) == names
    check(architecture, facts)


@pytest.mark.slow
def test_every_kernel_compiles_for_orin(tmp_path: Path) -> None:
    names = set(budgets.read())
    path = tmp_path / "all.ptx"
    path.write_text(cuda_12_6.compile_ptx(sorted(names), ORIN))
    facts = cuda_12_6.assemble(path, ORIN)
    assert set(facts) == names
    check(ORIN, facts)


@pytest.mark.parametrize("source", ["attention/attention", "layer_norm/layer_norm"])
def test_launches_use_nothing_newer_of_the_runtime(source: str, tmp_path: Path) -> None:
    """Host code: by the machine's nvcc, against 12.6's runtime headers."""
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    includes = [f"-I{cuda_12_6.RUNTIME_HEADERS}", f"-I{KERNELS}", f"-I{KERNELS / 'include'}"]
    command = ["nvcc", "-std=c++17", "-arch=sm_80", *includes, "-c", f"{KERNELS / source}.cu"]
    command += ["-o", str(tmp_path / "object.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
