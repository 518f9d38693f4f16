"""Live sources over real videos played at their rate; no camera or network is needed.

Only stalls, which no file has, come from captures that block on purpose.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk.errors import SourceError
from sdk.frames import PixelFormat
from sdk.io.live import LiveSource, _Patience
from sdk.io.prefetch import prefetch
from sdk.io.sampling import sample

WriteVideo = Callable[..., Path]
NumberOf = Callable[[NDArray[np.uint8]], int]


class PlayedVideo:
    """A video file as a camera would give it: frame n is there n / fps after opening."""

    def __init__(self, path: Path, fps: float) -> None:
        self._capture = cv2.VideoCapture(str(path))
        self._fps = fps
        self._due = time.perf_counter()

    def read(self) -> tuple[bool, Any]:
        self._due += 1 / self._fps
        time.sleep(max(0.0, self._due - time.perf_counter()))
        return self._capture.read()

    def get(self, prop: int) -> float:
        return float(self._capture.get(prop))

    def release(self) -> None:
        self._capture.release()


class Blocking:
    """A capture that gives some frames and then blocks until it is let go."""

    def __init__(self, frames: int, let_go: threading.Event) -> None:
        self._left = frames
        self._let_go = let_go
        self.released = threading.Event()

    def read(self) -> tuple[bool, Any]:
        if self._left == 0:
            self._let_go.wait(30)
            return False, None
        self._left -= 1
        return True, np.zeros((48, 64, 3), np.uint8)

    def release(self) -> None:
        self.released.set()


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "framescore-live" in thread.name]


def test_slow_consumers_get_the_latest_frame(write_video: WriteVideo, number_of: NumberOf) -> None:
    path = write_video()
    frames = []
    with LiveSource("cam", lambda: PlayedVideo(path, 100)) as source:
        for frame in sample(source, limit=4):
            frames.append(frame)
            time.sleep(0.04)
        assert source.fps == 25.0
        dropped = source.dropped
    assert [frame.index for frame in frames] == [number_of(frame.data) for frame in frames]
    assert frames[-1].index > 4
    assert dropped == frames[-1].dropped == frames[-1].index + 1 - len(frames)
    assert frames[0].pts_s == 0.0
    for earlier, later in pairwise(frames):
        assert later.pts_s == pytest.approx(later.captured_at - frames[0].captured_at)
        assert later.pts_s > earlier.pts_s
    assert all(frame.source == "cam" and frame.pixel_format is PixelFormat.BGR for frame in frames)
    assert readers() == []


def test_prefetch_adds_no_queue(write_video: WriteVideo) -> None:
    path = write_video()
    with LiveSource("cam", lambda: PlayedVideo(path, 100)) as source:
        frames = prefetch(sample(source))
        next(frames)
        assert "framescore-prefetch" not in [thread.name for thread in threading.enumerate()]


def test_reconnects_after_the_stream_ends(
    write_video: WriteVideo, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(frames=6)
    opened = []

    def opener() -> PlayedVideo:
        opened.append(time.perf_counter())
        return PlayedVideo(path, 100)

    with caplog.at_level(logging.WARNING, "framescore"), LiveSource("cam", opener) as source:
        indices = [frame.index for frame in sample(source, limit=9)]
    assert len(opened) >= 2
    assert indices == sorted(set(indices))
    assert indices[-1] >= 8
    assert "cam stopped delivering frames" in caplog.text
    assert "Trying again in 0.5 s" in caplog.text


def test_gives_up_after_reconnect_s(write_video: WriteVideo) -> None:
    path = write_video(frames=3)
    attempts = []

    def opener() -> PlayedVideo:
        attempts.append(1)
        if len(attempts) > 1:
            raise SourceError("the cable is out.", hint="Plug it in.")
        return PlayedVideo(path, 100)

    source = LiveSource("cam", opener, reconnect_s=0.7)
    frames = iter(source)
    next(frames)
    with pytest.raises(SourceError, match=r"within 0\.7 s \(1 attempts\): the cable") as caught:
        list(frames)
    assert caught.value.hint == "Plug it in."
    assert len(attempts) == 2


def test_back_off_doubles_up_to_8_s_until_the_limit() -> None:
    now = [100.0]
    patience = _Patience("cam", 30, clock=lambda: now[0])
    for expected in (0.5, 1, 2, 4, 8, 8):
        assert patience.next_delay(SourceError("gone.")) == expected
        now[0] += expected
    with pytest.raises(SourceError, match=r"within 30 s \(6 attempts\): gone"):
        patience.next_delay(SourceError("gone."))


def test_a_frame_renews_patience() -> None:
    now = [100.0]
    patience = _Patience("cam", 1, clock=lambda: now[0])
    for _ in range(5):
        assert patience.next_delay(SourceError("gone.")) == 0.5
        now[0] += 10
        patience.renew()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SourceError("no such camera."), "no such camera"),
        (RuntimeError("boom"), "cam failed: boom"),
    ],
)
def test_first_failure_to_open_is_final(error: Exception, message: str) -> None:
    attempts = []

    def opener() -> PlayedVideo:
        attempts.append(1)
        raise error

    with pytest.raises(SourceError, match=message), LiveSource("cam", opener) as source:
        next(iter(source))
    assert attempts == [1]


def test_stall_leads_to_a_new_connection(
    let_go: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    captures: list[Blocking] = []

    def opener() -> Blocking:
        captures.append(Blocking(1, let_go))
        return captures[-1]

    with caplog.at_level(logging.WARNING, "framescore"):
        source = LiveSource("cam", opener, stall_s=0.1)
        assert [frame.index for frame in sample(source, limit=2)] == [0, 1]
    assert "cam stalled: no frame for 0.1 s" in caplog.text
    let_go.set()
    assert all(capture.released.wait(5) for capture in captures)  # by their own threads


def test_endless_stall_is_an_error(let_go: threading.Event) -> None:
    source = LiveSource("cam", lambda: Blocking(0, let_go), stall_s=0.1, reconnect_s=0.4)
    with pytest.raises(SourceError, match=r"did not come back within 0\.4 s .* stalled"):
        next(iter(source))


def test_close_does_not_wait_for_a_blocked_device(let_go: threading.Event) -> None:
    source = LiveSource("cam", lambda: Blocking(1, let_go))
    received = []
    consumer = threading.Thread(target=lambda: received.extend(source))
    consumer.start()
    while source._connection is None:
        time.sleep(0.005)
    closer = threading.Thread(target=source.close)
    closer.start()
    closer.join(10)
    consumer.join(10)
    assert not let_go.is_set()  # the device still blocks
    assert not closer.is_alive()
    assert not consumer.is_alive()
    assert len(received) <= 1


def test_closed_source_stays_closed(let_go: threading.Event) -> None:
    source = LiveSource("cam", lambda: Blocking(1, let_go))
    source.close()
    source.close()
    with pytest.raises(SourceError, match="cam was closed"):
        next(iter(source))


def test_frames_that_cannot_be_scored() -> None:
    class Deep:
        def read(self) -> tuple[bool, Any]:
            return True, np.zeros((48, 64), np.uint16)

        def release(self) -> None:
            pass

    with (
        pytest.raises(SourceError, match=r"cam delivers what cannot be scored: .*uint16"),
        LiveSource("cam", Deep) as source,
    ):
        next(iter(source))


def test_driver_errors_while_reading_are_losses(write_video: WriteVideo) -> None:
    class Failing(PlayedVideo):
        def read(self) -> tuple[bool, Any]:
            raise RuntimeError("usb reset")

    path = write_video()
    source = LiveSource("cam", lambda: Failing(path, 25), reconnect_s=0.1)
    with pytest.raises(SourceError, match="cam failed: usb reset"):
        next(iter(source))
