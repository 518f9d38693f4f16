"""BRISQUE's process, as far as it runs without OpenCV's contrib modules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.brisque import Brisque


def test_python_without_the_module_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="status 1"):
        Brisque(Path(sys.executable), tmp_path, threads=1)
    assert "pip install opencv-contrib-python-headless" in capfd.readouterr().err
