from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sdk

pytest.importorskip("openvino")

SCORE = """
import sys, threading
import numpy as np
from sdk import Scorer
with Scorer(sys.argv[1], backend="openvino") as scorer:
    scorer.score(np.zeros((64, 64, 3), np.uint8))
assert "openvino_telemetry" not in sys.modules
assert threading.active_count() == 1, threading.enumerate()
import openvino_telemetry  # a program of the user's may still have it
"""


def test_nothing_is_reported_and_nothing_is_left_in_the_home_directory(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino_telemetry")
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(sdk.__file__).parents[1]),
    }
    subprocess.run([sys.executable, "-c", SCORE, str(tiny_bundle)], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
