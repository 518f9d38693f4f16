"""The CUDA build: who gets it, for which GPUs, and what comes out of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def decide(repository: Path, *definitions: str) -> str:
    """What cmake/cuda.cmake says to these definitions, as a script."""
    options = [f"-D{one}" for one in definitions]
    done = run("cmake", *options, "-P", repository / "cmake" / "cuda.cmake")
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture(autouse=True)
def _cmake() -> None:
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")


def test_pip_builds_no_kernels_unless_asked(repository: Path) -> None:
    said = decide(repository, "FRAMESCORE_CUDA=AUTO", "SKBUILD=2")
    assert "CUDA parts: left out of the Python build; FRAMESCORE_CUDA=ON adds them" in said


def test_off_is_off(repository: Path) -> None:
    assert "CUDA parts: off" in decide(repository, "FRAMESCORE_CUDA=OFF")


def test_unknown_choices_are_refused(repository: Path) -> None:
    said = decide(repository, "FRAMESCORE_CUDA=MAYBE")
    assert "FRAMESCORE_CUDA is 'MAYBE'; allowed are AUTO, ON, OFF." in said


@pytest.mark.parametrize(
    ("toolkit", "newest"),
    [("12.6.85", []), ("12.9.1", ["120"]), ("13.0.88", ["110", "120"])],
)
def test_architectures_are_those_the_toolkit_knows(
    repository: Path, tmp_path: Path, toolkit: str, newest: list[str]
) -> None:
    script = tmp_path / "ask.cmake"
    script.write_text(
        f"include({repository}/cmake/cuda_architectures.cmake)\n"
        f'framescore_cuda_architectures({toolkit} found)\nmessage(STATUS "${{found}}")\n'
    )
    found = run("cmake", "-P", script).stdout
    assert re.findall(r"(\d+)-real", found) == ["80", "86", "87", "89", "90", *newest]
    assert re.findall(r"(\d+)-virtual", found) == ["80"]
