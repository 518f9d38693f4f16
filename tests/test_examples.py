"""The examples run as their headers say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from .sdk.tiny_model import write_tiny_bundle

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FPS = 25


def grey(level: int) -> np.ndarray:
    return np.full((64, 96, 3), level, np.uint8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bundle whose score is the brightness, 0 to 100."""
    return str(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.framescore"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Bright for three seconds, dark for three, bright for three."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, codec, FPS, (96, 64))
    for level in (204, 51, 204):
        for _ in range(3 * FPS):
            writer.write(grey(level))
    writer.release()
    return str(path)


def run(
    example: str, *arguments: str, folder: Path, path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    """Run an example in a folder, with a `framescore` on the path that is the one of this tree."""
    command = folder / "bin" / "framescore"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sdk.cli "$@"\n')
    command.chmod(0o755)
    interpreter = shutil.which("bash") if example.endswith(".sh") else sys.executable
    return subprocess.run(
        [str(interpreter), str(EXAMPLES / example), *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{command.parent}{os.pathsep}{path}",
            "PYTHONPATH": str(EXAMPLES.parent),
        },
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_examples_are_short_and_say_what_they_do(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 40
    assert lines[0].startswith("#!/usr/bin/env ")
    assert lines[1].startswith(("# ", '"""'))
    assert os.access(path, os.X_OK)


def test_score_image(tiny: str, tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "picture.png"), grey(204))
    done = run("score_image.py", "picture.png", tiny, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "score 80.0 ± 2.5 of 100" in done.stdout
    assert "bright" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("missing.png",)])
def test_score_image_without_a_picture(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run("score_image.py", *arguments, folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (arguments or ("score_image.py PICTURE",))[0] in done.stderr


def test_score_camera_tells_when_it_gets_bad_and_good(tiny: str, clip: str, tmp_path: Path) -> None:
    done = run("score_camera.py", clip, tiny, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    alarm, relief = done.stdout.splitlines()
    assert "BAD (bright)" in alarm  # the likeliest fault, however unlikely: never "none"
    assert "good again" in relief
    times = [float(line.split()[0]) for line in (alarm, relief)]
    assert times == [4.0, 7.0]  # the third of two frames a second after each change


@pytest.mark.parametrize(("threshold", "code", "word"), [("15", 0, "passed"), ("50", 3, "failed")])
def test_gate(threshold: str, code: int, word: str, tiny: str, clip: str, tmp_path: Path) -> None:
    done = run("gate_ci.sh", threshold, clip, "-m", tiny, "--every", "5", folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert f"quality gate {word}" in done.stdout + done.stderr
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["frames"] == 45


def test_gate_that_cannot_judge(tiny: str, tmp_path: Path) -> None:
    done = run("gate_ci.sh", "50", "missing.mp4", "-m", tiny, folder=tmp_path)
    assert done.returncode == 1
    assert "could not judge" in done.stderr


@pytest.mark.parametrize("example", ["gate_ci.sh", "ffmpeg_pipe.sh"])
def test_shell_examples_tell_their_usage(example: str, tmp_path: Path) -> None:
    done = run(example, folder=tmp_path)
    assert done.returncode == 2
    assert f"examples/{example}" in done.stderr


def test_ffmpeg_pipe_without_ffmpeg(tmp_path: Path) -> None:
    done = run("ffmpeg_pipe.sh", "clip.mp4", folder=tmp_path, path=str(tmp_path))
    assert done.returncode == 1
    assert "ffmpeg was not found" in done.stderr


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_ffmpeg_pipe(tiny: str, clip: str, tmp_path: Path) -> None:
    done = run("ffmpeg_pipe.sh", clip, "-m", tiny, "--format", "jsonl", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["frames"] in (18, 19)  # as ffmpeg rounds
