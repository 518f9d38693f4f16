"""Video files, decoded by OpenCV."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import SourceError
from ..frames import Frame
from .limits import check_size
from .opencv import decoded_frame, load_cv2
from .source import Source, Wanted

_log = logging.getLogger("framescore")

Capture = Any  # cv2.VideoCapture

TOLERATED_MISSING = 2  # frames; containers often declare one or two that do not decode
COMPLETE = 0.9  # less of the declared frames and of the declared time: the file is cut


class VideoFile(Source):
    """A video file: BGR frames, rotated as its metadata says.

    OpenCV converts with the BT.601 matrix whatever the height, so colours of HD files differ a
    little from the same video piped as y4m, which is taken as BT.709.

    `length` is what the container declares. A file that yields a few frames fewer is logged; one
    that stops before 90 % of its declared frames and duration ends with a SourceError, after all
    its frames.

    Args:
        path: The file.

    Raises:
        SourceError: OpenCV finds no video in it.
    """

    live = False

    def __init__(self, path: str) -> None:
        self.name = path
        self.dropped = 0
        self._path = path
        self._lock = threading.Lock()  # OpenCV must not release a capture that is reading
        self._fresh: Capture | None = self._open()  # opened, not yet iterated
        self._active: Capture | None = None
        self.length = self._declared_length(self._fresh)
        self.fps = self._declared_fps(self._fresh)

    def select(self, wanted: Wanted) -> Iterator[Frame]:
        """Iterate the frames that `wanted` accepts; others skip the conversion to BGR.

        A new iteration starts from the first frame and ends one that is under way.
        """
        capture, self._fresh = self._fresh or self._open(), None
        self._active = capture
        clock = _Clock(self.fps)
        index = 0
        try:
            while self._grab(capture):
                pts_s = clock.read(index, capture.get(load_cv2().CAP_PROP_POS_MSEC))
                if wanted(index, pts_s):
                    yield self._retrieve(capture, index, pts_s)
                index += 1
            if self._is_active(capture):
                self._check_complete(index, clock)
        finally:
            self._release(capture)

    def close(self) -> None:
        """Release the file; an iteration under way ends."""
        for capture in (self._fresh, self._active):
            if capture is not None:
                self._release(capture)
        self._fresh = None

    def _open(self) -> Capture:
        cv2 = load_cv2()
        # With FFmpeg alone, so that no file is taken for a numbered image sequence.
        has_ffmpeg = cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG)
        backend = cv2.CAP_FFMPEG if has_ffmpeg else cv2.CAP_ANY
        try:
            capture = cv2.VideoCapture(str(Path(self._path).absolute()), backend)
        except cv2.error:
            capture = None
        if capture is None or not capture.isOpened():
            raise SourceError(
                f"{self._path} is not a video that OpenCV can read: {_diagnose(self._path)}.",
                hint="Copy or record it again, or convert it: ffmpeg -i INPUT OUTPUT.mp4",
            )
        return capture

    def _declared_length(self, capture: Capture) -> int | None:
        count = capture.get(load_cv2().CAP_PROP_FRAME_COUNT)
        return int(count) if 1 <= count < 1e12 else None

    def _declared_fps(self, capture: Capture) -> float | None:
        fps = float(capture.get(load_cv2().CAP_PROP_FPS))
        return fps if math.isfinite(fps) and 0 < fps < 1e5 else None

    def _grab(self, capture: Capture) -> bool:
        with self._lock:
            return self._is_active(capture) and bool(capture.grab())

    def _is_active(self, capture: Capture) -> bool:
        return self._active is capture  # neither closed nor replaced by a later iteration

    def _retrieve(self, capture: Capture, index: int, pts_s: float | None) -> Frame:
        cv2 = load_cv2()
        try:
            with self._lock:
                ok, image = capture.retrieve() if self._is_active(capture) else (False, None)
        except (cv2.error, MemoryError):
            ok, image = False, None
        if not ok or image is None:
            raise SourceError(
                f"{self._path}: frame {index} could not be decoded.",
                hint="The frames before it were delivered. Copy or record the file again.",
            )
        height, width = image.shape[:2]
        check_size(width, height, self._path)
        return decoded_frame(image, index, pts_s, self.name)

    def _release(self, capture: Capture) -> None:
        with self._lock:
            if self._is_active(capture):
                self._active = None
            capture.release()

    def _check_complete(self, frames: int, clock: _Clock) -> None:
        """Judge the end by count and by time: of a variable rate the count is only a guess."""
        if frames == 0:
            raise SourceError(
                f"{self._path} holds no frame that decodes"
                + (f", though it declares {self.length}." if self.length else "."),
                hint="Copy or record it again, or convert it: ffmpeg -i INPUT OUTPUT.mp4",
            )
        if self.length is None or self.length - frames <= TOLERATED_MISSING:
            return
        reached = max(frames / self.length, clock.reached(self.length))
        if reached >= COMPLETE:
            _log.warning("%s: %d of %d declared frames", self._path, frames, self.length)
            return
        raise SourceError(
            f"{self._path}: decoding stopped at frame {frames} of {self.length}: the file is cut "
            "short or damaged.",
            hint="The frames before it were delivered. Copy or record the file again.",
        )


class _Clock:
    """Presentation times: the container's while they increase, else index / fps."""

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._last: float | None = None
        self._broken = False

    def read(self, index: int, position_ms: float) -> float | None:
        """Time of frame `index` in seconds; None when neither source knows."""
        pts_s = position_ms / 1000
        if not math.isfinite(pts_s) or (self._last is not None and pts_s <= self._last):
            self._broken = True
        if not self._broken:
            self._last = max(pts_s, 0.0)
        elif self._fps:
            self._last = max(index / self._fps, self._last or 0.0)
        else:
            self._last = None
        return self._last

    def reached(self, length: int) -> float:
        """Share of the declared duration that was decoded; 0 when unknown."""
        if self._last is None or not self._fps:
            return 0.0
        return (self._last * self._fps + 1) / length


def _diagnose(path: str) -> str:
    """Say what is wrong with a file that does not open, as far as its first bytes tell."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
            if head[4:8] == b"ftyp" and not _has_mp4_index(file):
                return "its index (moov) is missing: the recording or the copy stopped early"
    except OSError as error:  # removed meanwhile
        return str(error.strerror)
    if head.isascii() and all(byte >= 32 or byte in b"\t\n\r" for byte in head):
        return f"it holds text, {head[:24]!r}..."
    return f"it is damaged or of an unknown format (it begins with {head[:12]!r})"


def _has_mp4_index(file: BinaryIO) -> bool:
    """Walk an MP4's top-level boxes in search of its index."""
    end = file.seek(0, os.SEEK_END)
    position = 0
    while position < end:
        file.seek(position)
        header = file.read(16)
        if header[4:8] == b"moov":
            return True
        size = int.from_bytes(header[:4], "big")
        if size == 1:  # a 64-bit size follows
            size = int.from_bytes(header[8:16], "big")
        if size < 8:  # 0 means: up to the end of the file
            return False
        position += size
    return False
