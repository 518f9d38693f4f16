from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

LOADS = """
import sys
import sdk.io
from sdk.io import open_source
assert "cv2" not in sys.modules
print("lazy")
"""

BROKEN = """
import sys
from sdk.errors import SourceError
from sdk.io import open_source
for path in sys.argv[1:]:
    try:
        with open_source(path) as source:
            list(source)
    except SourceError:
        print("refused")
"""


def run(code: str, *args: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
    )


def broken_files(folder: Path) -> list[Path]:
    files = [folder / "a.mp4", folder / "b.jpg", folder / "c.tiff"]
    files[0].write_bytes(b"\0\0\0\x1cftypisom" + np.random.default_rng(1).bytes(5000))
    files[1].write_bytes(b"\xff\xd8\xff\xe0" + np.random.default_rng(2).bytes(500))
    files[2].write_bytes(b"II*\0\x08\0\0\0" + np.random.default_rng(3).bytes(500))
    return files


def test_importing_does_not_load_opencv() -> None:
    assert run(LOADS).stdout == "lazy\n"


def test_broken_files_leave_stderr_to_our_own_messages(tmp_path: Path) -> None:
    done = run(BROKEN, *broken_files(tmp_path))
    assert done.stdout == "refused\n" * 3
    assert done.stderr == ""


def test_levels_set_by_the_user_are_kept(tmp_path: Path) -> None:
    done = run(BROKEN, broken_files(tmp_path)[2], OPENCV_LOG_LEVEL="DEBUG")
    assert "TIFF" in done.stderr
