"""Openers of live devices through OpenCV: cameras, network streams, GStreamer pipelines.

They follow OpenCV's documentation; the project's tests have no camera, no network stream and no
GStreamer at hand and check only the failure of missing ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import SourceError, UsageError
from .live import LiveSource
from .opencv import load_cv2

TIMEOUT_MS = 10_000  # of FFmpeg's own open and read; as long as a stall
_NO_STREAM = "Check address, user, password and network; ffprobe says more about a stream."


def open_camera(number: int) -> LiveSource:
    """Open a camera by its number.

    Args:
        number: 0 for the first one.

    Returns:
        The source; the device is opened when iteration starts.

    Raises:
        UsageError: A negative number.
    """
    if number < 0:
        raise UsageError(f"Camera number is {number}; it must be 0 or more.")
    hint = f"Present are: {', '.join(_devices()) or 'no /dev/video*'}."
    return LiveSource(f"camera {number}", lambda: _capture(number, f"Camera {number}", hint))


def open_device(path: str) -> LiveSource:
    """Open a Video4Linux device.

    Args:
        path: Such as /dev/video0.

    Returns:
        The source; the device is opened when iteration starts.

    Raises:
        SourceError: There is no such device.
    """
    hint = f"Present are: {', '.join(_devices()) or 'no /dev/video*'}."
    if not path.startswith("/") or "\0" in path or not Path(path).is_char_device():
        raise SourceError(
            f"{path!r} is not a video device; write v4l2:///dev/video0 with three slashes.",
            hint=hint,
        )
    return LiveSource(path, lambda: _capture(path, path, hint, backend="CAP_V4L2"))


def open_stream(url: str) -> LiveSource:
    """Open a network stream, through FFmpeg.

    Args:
        url: rtsp:// or rtsps://. Its password is hidden in names and messages.

    Returns:
        The source; the stream is opened when iteration starts.
    """
    name = re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", url)
    return LiveSource(
        name, lambda: _capture(url, name, _NO_STREAM, backend="CAP_FFMPEG", timeouts=True)
    )


def open_pipeline(pipeline: str) -> LiveSource:
    """Open a GStreamer pipeline, where OpenCV was built with GStreamer.

    Args:
        pipeline: As for gst-launch-1.0; without an appsink, one that keeps the latest BGR frame
            is added.

    Returns:
        The source; the pipeline starts when iteration starts.

    Raises:
        SourceError: No pipeline, or an OpenCV without GStreamer.
    """
    if not pipeline:
        raise SourceError(
            "gst: names no pipeline.", hint="Write gst:v4l2src device=/dev/video0 ! videoconvert"
        )
    cv2 = load_cv2()
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"gst:{pipeline} cannot be opened: this OpenCV ({cv2.__version__}) was built without "
            "GStreamer, as those from PyPI are.",
            hint="Use the system's OpenCV, or pipe it: gst-launch-1.0 ... ! y4menc ! fdsink | "
            "framescore score -",
        )
    if "appsink" not in pipeline:
        pipeline += " ! videoconvert ! video/x-raw,format=BGR"
        pipeline += " ! appsink drop=true max-buffers=1 sync=false"
    name = f"gst:{pipeline}"
    return LiveSource(
        name,
        lambda: _capture(
            pipeline, name, "Try it with gst-launch-1.0 first.", backend="CAP_GSTREAMER"
        ),
    )


def _capture(
    target: str | int, name: str, hint: str, *, backend: str = "CAP_ANY", timeouts: bool = False
) -> Any:
    """Open a `cv2.VideoCapture` that buffers as little as its backend allows."""
    cv2 = load_cv2()
    options: Sequence[int] = ()
    if timeouts:
        options = (
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            TIMEOUT_MS,
        )
    capture = cv2.VideoCapture(target, getattr(cv2, backend), list(options))
    if not capture.isOpened():
        capture.release()
        raise SourceError(f"{name} cannot be opened.", hint=hint)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # ignored where unsupported
    return capture


def _devices() -> list[str]:
    return sorted(str(device) for device in Path("/dev").glob("video*"))
