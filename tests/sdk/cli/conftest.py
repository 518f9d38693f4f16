"""The command line in this process and in one of its own, and things to score."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest

import sdk
from sdk.cli import main

from .pictures import CLIP_LEVELS, grey


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch) -> Callable[..., Result]:
    """Run `framescore` in this process."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FRAMESCORE_DEBUG", raising=False)

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def score(cli, tiny_bundle) -> Callable[..., Result]:
    """Run `framescore score` with the model whose score is the brightness."""
    return lambda *arguments: cli("score", "-m", tiny_bundle, *arguments)


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `framescore` as a process; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **changes) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(sdk.__file__).parents[1])}
        environment.pop("FRAMESCORE_DEBUG", None)
        command = [sys.executable, "-m", "sdk.cli", *map(str, arguments)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        options = {**pipes, "text": True, "env": environment, **changes}
        process = subprocess.Popen(command, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):  # what was left for a process that has gone
                    pipe.close()


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """A folder with a dark, a middle and a bright picture."""
    folder = tmp_path_factory.mktemp("images")
    for name, level in (("a_dark", 51), ("b_middle", 128), ("c_bright", 204)):
        assert cv2.imwrite(str(folder / f"{name}.png"), grey(level))
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """Five seconds at 25 frames a second, bright but dark in the third."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, codec, 25, (96, 64))
    for level in CLIP_LEVELS:
        writer.write(grey(level))
    writer.release()
    return path


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory) -> Path:
    """Long enough to be interrupted: 20,000 frames, one JPEG picture each."""
    path = tmp_path_factory.mktemp("long") / "long.avi"
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, codec, 25, (96, 64))
    picture = grey(128)
    for _ in range(20_000):
        writer.write(picture)
    writer.release()
    return path
