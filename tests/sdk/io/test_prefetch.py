from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sdk.errors import SourceError, UsageError
from sdk.frames import Frame, PixelFormat
from sdk.io import open_source
from sdk.io.prefetch import prefetch
from sdk.io.sampling import sample

WriteVideo = Callable[..., Path]
PIXELS = np.zeros((32, 32), np.uint8)


class Counted:
    """A source of `total` frames, then an error, that records what happens to it."""

    def __init__(self, total: int, error: BaseException | None = None) -> None:
        self.total = total
        self.error = error
        self.read = 0
        self.ended = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        try:
            for index in range(self.total):
                self.read = index + 1
                yield Frame(PIXELS, PixelFormat.GRAY, 32, 32, index=index)
            if self.error is not None:
                raise self.error
        finally:
            self.ended.set()


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "framescore-prefetch"]


@pytest.mark.parametrize("depth", [1, 4, 100])
def test_same_frames_in_order(depth: int) -> None:
    frames = list(prefetch(Counted(50), depth))
    assert [frame.index for frame in frames] == list(range(50))
    assert all(frame.captured_at is not None for frame in frames)
    assert readers() == []


def test_real_video(write_video: WriteVideo) -> None:
    with open_source(write_video()) as source:
        indices = [frame.index for frame in prefetch(sample(source, every=5, limit=4))]
    assert indices == [0, 5, 10, 15]


def test_error_comes_after_the_frames_before_it() -> None:
    frames = prefetch(Counted(3, SourceError("broken")), depth=8)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match="broken"):
        next(frames)


def test_error_on_opening() -> None:
    class Broken:
        def __iter__(self) -> Iterator[Frame]:
            raise SourceError("cannot start")

    with pytest.raises(SourceError, match="cannot start"):
        list(prefetch(Broken()))


@pytest.mark.parametrize("depth", [1, 3])
def test_reads_ahead_but_not_without_bound(depth: int) -> None:
    source = Counted(100)
    frames = prefetch(source, depth)
    next(frames)
    while source.read < depth + 1:
        assert not source.ended.wait(0.005)
    assert not source.ended.wait(0.05)
    assert source.read <= depth + 2  # taken, queued, and the one in the reader's hands
    frames.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("depth", [1, 4])
def test_close_stops_the_thread_though_the_queue_is_full(depth: int) -> None:
    source = Counted(100)
    frames = prefetch(source, depth)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert source.ended.wait(5)
    assert source.read < 100
    assert readers() == []


def test_dropping_the_iterator_stops_the_thread() -> None:
    source = Counted(100)
    frames = prefetch(source, 2)
    next(frames)
    del frames
    gc.collect()
    assert source.ended.wait(5)
    assert readers() == []


def test_failing_consumer_stops_the_thread() -> None:
    source = Counted(100)

    def consume() -> None:
        for _ in prefetch(source, 2):
            raise ValueError("consumer")

    with pytest.raises(ValueError, match="consumer"):
        consume()
    gc.collect()
    assert source.ended.wait(5)


def test_depth_below_one() -> None:
    with pytest.raises(UsageError, match="depth is 0"):
        prefetch(Counted(1), 0)


INTERRUPTED = """
import os, signal, threading
from sdk.io import open_source
from sdk.io.prefetch import prefetch

threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    with open_source("-") as source:
        next(prefetch(source))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_while_standard_input_is_silent() -> None:
    """The reader is blocked for good; neither the interrupt nor the exit may wait for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        process.wait(20)  # standard input stays open and silent
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == b"interrupted\n"
        assert process.stderr.read() == b""
        assert process.returncode == 0
