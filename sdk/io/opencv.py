"""The one place where `sdk.io` imports OpenCV: lazily, and quietly."""

from __future__ import annotations

import os
import time
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import SourceError
from ..frames import Frame, PixelFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@cache
def load_cv2() -> ModuleType:
    """Import OpenCV on first use and silences its own diagnostics.

    OpenCV and FFmpeg write lines about damaged files to stderr that say less than our errors do.
    A level that the user has set (`OPENCV_LOG_LEVEL`, `OPENCV_FFMPEG_LOGLEVEL`) is respected. Lines
    that libpng and libjpeg print by themselves cannot be turned off.

    Returns:
        The module `cv2` (4.9 or newer).

    Raises:
        SourceError: OpenCV is not installed or cannot be loaded.
    """
    # FFmpeg's level is read when the first video is opened; -8 is AV_LOG_QUIET.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise SourceError(
            f"OpenCV cannot be imported ({error}); it decodes images, videos and cameras.",
            hint="Install it: pip install opencv-python-headless",
        ) from error
    if "OPENCV_LOG_LEVEL" not in os.environ:
        _silence(cv2)
    return cv2


def _silence(cv2: ModuleType) -> None:
    """Set OpenCV's log level to silent; the call moved between versions 4 and 5."""
    level = 0  # LOG_LEVEL_SILENT
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(level)
    else:
        cv2.utils.logging.setLogLevel(level)


def decoded_frame(image: NDArray[np.uint8], index: int, pts_s: float | None, source: str) -> Frame:
    """Make a frame of a picture decoded just now, BGR [H, W, 3]."""
    height, width = image.shape[:2]
    return Frame(
        image,
        PixelFormat.BGR,
        width,
        height,
        index=index,
        pts_s=pts_s,
        source=source,
        captured_at=time.perf_counter(),
    )
