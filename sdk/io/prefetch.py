"""Decoding beside inference: a source read ahead by a thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..errors import UsageError
from ..frames import Frame

JOIN_S = 1.0  # a read that blocks longer, as on a silent pipe, is left to its daemon thread

_Item = Frame | BaseException | None  # None: the source has ended


def prefetch(frames: Iterable[Frame], depth: int = 4) -> Iterator[Frame]:
    """Iterate a source in a background thread, up to `depth` frames ahead.

    A live source reads in a thread of its own and keeps only its latest frame; it is iterated
    directly, so that latency does not add up. Close a source after the iterator over it.

    Args:
        frames: A source, what `sample` returns, or any iterable of frames.
        depth: Frames held ready, 1 or more; each takes its size in memory.

    Returns:
        An iterator of the same frames in order, `captured_at` set. An error of the source is
        raised after the frames before it. Closing or dropping the iterator stops the thread.

    Raises:
        UsageError: depth < 1.
    """
    if depth < 1:
        raise UsageError(f"depth is {depth}; it must be 1 frame or more.")
    if getattr(frames, "live", False):
        return iter(frames)
    return _read_ahead(frames, depth)


def _read_ahead(frames: Iterable[Frame], depth: int) -> Iterator[Frame]:
    ready: queue.Queue[_Item] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    reader = threading.Thread(
        target=_fill, args=(frames, ready, stop), name="framescore-prefetch", daemon=True
    )
    reader.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        _drain(ready)  # wakes a reader that waits for room
        if reader is not threading.current_thread():  # a collector may run anywhere
            reader.join(JOIN_S)


def _fill(frames: Iterable[Frame], ready: queue.Queue[_Item], stop: threading.Event) -> None:
    """The reader: after `stop` it puts at most one more item, and the drained queue has room."""
    last: BaseException | None = None
    try:
        iterator = iter(frames)
        try:
            for frame in iterator:
                ready.put(_stamped(frame))
                if stop.is_set():
                    break
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
    except BaseException as error:
        last = error  # raised where the frames are consumed
    if not stop.is_set():
        ready.put(last)


def _stamped(frame: Frame) -> Frame:
    if frame.captured_at is not None:
        return frame
    return replace(frame, captured_at=time.perf_counter())


def _drain(ready: queue.Queue[_Item]) -> None:
    try:
        while True:
            ready.get_nowait()
    except queue.Empty:
        return
