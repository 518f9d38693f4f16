"""What travels in the wheel, and what must not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in the wheel: FRAMESCORE_WHEEL, or one built here without network."""
    if given := os.environ.get("FRAMESCORE_WHEEL"):
        return ZipFile(given).namelist()
    target = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(target)]
    build = f"build-dir={tmp_path_factory.mktemp('build')}"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "-C", build, str(repository)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return ZipFile(next(target.glob("framescore-*.whl"))).namelist()


def test_top_level_names(wheel: list[str]) -> None:
    packages = {name.partition("/")[0] for name in wheel if ".dist-info/" not in name}
    assert packages == {"sdk", "export", "iqa"}


def test_sdk_travels_whole(wheel: list[str]) -> None:
    names = set(wheel)
    assert {"sdk/__init__.py", "sdk/py.typed", "sdk/_core.pyi", "sdk/cli/__init__.py"} <= names
    assert len([name for name in wheel if name.startswith("sdk/_core") and "pyi" not in name]) == 1


def test_models_travel_and_training_weights_do_not(wheel: list[str]) -> None:
    assert "sdk/models/glint-edge.framescore" in wheel
    assert [name for name in wheel if name.startswith("iqa/weights/")] == []


def test_licences_travel(wheel: list[str]) -> None:
    licences = {Path(name).name for name in wheel if ".dist-info/licenses/" in name}
    assert {"LICENSE", "THIRD_PARTY.md"} <= licences


def test_nothing_stray_travels(wheel: list[str]) -> None:
    allowed = {".py", ".pyi", ".typed", ".so", ".framescore", ".toml", ".json", ".md", ".txt"}
    files = [name for name in wheel if ".dist-info/" not in name]
    assert [name for name in files if Path(name).suffix not in allowed] == []
