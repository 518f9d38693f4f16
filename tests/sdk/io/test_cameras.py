"""Live devices that are not there: what can be checked without a camera or a network."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from sdk.errors import SourceError, UsageError
from sdk.io import open_source
from sdk.io.cameras import open_camera, open_device

NO_GSTREAMER = not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER)


@pytest.mark.skipif(Path("/dev/video87").exists(), reason="this machine has that camera")
def test_missing_camera() -> None:
    with pytest.raises(SourceError, match=r"Camera 87 cannot be opened.*Present are"):
        next(iter(open_source("87")))


def test_negative_camera() -> None:
    with pytest.raises(UsageError, match="Camera number is -1"):
        open_camera(-1)


def test_device_that_is_no_camera() -> None:
    with pytest.raises(SourceError, match="/dev/null cannot be opened"):
        next(iter(open_device("/dev/null")))


def test_stream_that_nobody_serves() -> None:
    with pytest.raises(SourceError, match=r"rtsp://me:\*\*\*@127\.0\.0\.1:9/x cannot") as caught:
        next(iter(open_source("rtsp://me:secret@127.0.0.1:9/x")))
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(not NO_GSTREAMER, reason="this OpenCV has GStreamer")
def test_pipeline_without_gstreamer() -> None:
    with pytest.raises(SourceError, match="without GStreamer") as caught:
        open_source("gst:videotestsrc ! videoconvert")
    assert "framescore score -" in caught.value.hint


def test_empty_pipeline() -> None:
    with pytest.raises(SourceError, match="names no pipeline"):
        open_source("gst: ")
