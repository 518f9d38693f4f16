from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdk.errors import FramescoreError, SourceError, UsageError
from sdk.io import Source, open_source
from sdk.io.images import ImageFiles
from sdk.io.live import LiveSource
from sdk.io.pipe import PipeSource
from sdk.io.video import VideoFile

WriteVideo = Callable[..., Path]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "one.png"
    cv2.imwrite(str(path), np.zeros((40, 40, 3), np.uint8))
    return path


def test_each_kind_of_source(
    image: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_fd, write_fd = os.pipe()
    os.close(write_fd)
    kinds = {
        str(image): ImageFiles,
        str(image.parent): ImageFiles,
        f"{image.parent}/*.png": ImageFiles,
        f"file://{image}": ImageFiles,
        f"file://localhost{image.parent}/o%6Ee.png": ImageFiles,
        str(write_video()): VideoFile,
        "-": PipeSource,
        "0": LiveSource,
        "rtsp://192.0.2.1/stream": LiveSource,
        "RTSPS://192.0.2.1/stream": LiveSource,
    }
    with os.fdopen(read_fd) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        for spec, kind in kinds.items():
            with open_source(spec) as source:
                assert isinstance(source, kind)
                assert isinstance(source, Source)
                assert source.live is (kind is LiveSource)
                assert source.dropped == 0


def test_terminal_is_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, child = os.openpty()
    with os.fdopen(child) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        with pytest.raises(SourceError, match="nothing is piped into it"):
            open_source("-")
    os.close(parent)


def test_files_called_like_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("0").mkdir()
    cv2.imwrite("0/a.png", np.zeros((40, 40, 3), np.uint8))
    for spec in ("./0", Path("0")):
        with open_source(spec) as source:
            assert source.length == 1
    assert open_source("0").live
    assert open_source(2024).live  # a number is always a camera
    with pytest.raises(SourceError, match="was not found"):
        open_source("2024")  # a longer name of digits is a path


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "name is empty"),
        ("gone.mp4", "no such file"),
        ("gone/deep/x.png", "no directory 'gone/deep'"),
        ("gone/*.png", "no file was found"),
        ("nul\0", "embedded null"),
        ("x" * 5000, "too long"),
        ("https://example.org/a.mp4", "kind https://"),
        ("rtsp:", "incomplete"),
        ("v4l2:/dev/video0", "incomplete"),
        ("v4l2://dev/video0", "three slashes"),
        ("v4l2:///dev/video987", "not a video device"),
    ],
)
def test_refused(spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message):
        open_source(spec)


def test_a_file_is_no_directory(image: Path) -> None:
    with pytest.raises(SourceError, match="was not found"):
        open_source(image / "deeper.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(image: Path) -> None:
    image.chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        open_source(image)


def test_other_things_in_the_file_system(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        with pytest.raises(SourceError, match="neither a file"):
            open_source(path)


@pytest.mark.parametrize("spec", [True, None, 1.5, b"a.png"])
def test_types(spec: object) -> None:
    with pytest.raises(UsageError, match="str, int or Path"):
        open_source(spec)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 5)}, "two positive integers"),
        ({"size": (5,)}, "two positive integers"),
        ({"size": (5.5, 5)}, "two positive integers"),
        ({"format": "bgr48"}, "'bgr48'; allowed are bgr24"),
        ({"fps": 0}, "above 0"),
        ({"fps": float("nan")}, "above 0"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source("-", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"size": (64, 48)}, {"format": "gray"}])
def test_raw_options_for_sources_that_know_better(image: Path, options: dict[str, object]) -> None:
    for spec in (image, image.parent, f"{image.parent}/*.png"):
        with pytest.raises(UsageError, match="describe raw video"):
            open_source(spec, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="live source"):
        open_source("0", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="live source"):
        open_source("rtsp://192.0.2.1/x", fps=5)


def test_passwords_stay_out_of_names_and_messages() -> None:
    source = open_source("rtsp://admin:se:cr@t@192.0.2.1:554/live")
    assert source.name == "rtsp://admin:***@192.0.2.1:554/live"


@example("file://", "[")
@given(
    st.sampled_from(
        ["", "rtsp:", "rtsp://", "v4l2:", "v4l2://", "gst:", "file://", "a://", "/", "["]
    ),
    st.text(max_size=12),
)
def test_any_text_opens_or_raises_one_of_our_errors(prefix: str, text: str) -> None:
    try:
        source = open_source(prefix + text)
    except FramescoreError:
        return
    source.close()
