"""Live sources: the latest frame, drops counted, reconnection with back-off, stall detection."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..errors import FramescoreError, SourceError
from ..frames import Frame, as_frame
from .source import Source, Wanted

_log = logging.getLogger("framescore")

FIRST_DELAY_S = 0.5  # back-off between attempts: doubled each time
LONGEST_DELAY_S = 8.0
JOIN_S = 1.0  # a reader that is stuck in its driver for longer is left behind


class Capture(Protocol):
    """What an opener returns; `cv2.VideoCapture` is one."""

    def read(self) -> tuple[bool, Any]:
        """Wait for the next frame: (True, uint8 array) or (False, anything)."""
        ...

    def release(self) -> None:
        """Give the device back."""
        ...


Opener = Callable[[], Capture]  # raises SourceError when the device cannot be opened


@dataclass(frozen=True, slots=True)
class _Shot:
    """A frame as captured. `number` counts from 0 within its connection, drops included."""

    image: Any
    captured_at: float
    number: int


class LiveSource(Source):
    """A camera or stream: delivers the newest frame and drops what nobody was in time for.

    A reader thread overwrites a single slot, so a slow consumer sees the present, not a backlog.
    `index` counts captured frames, dropped ones included; `pts_s` is capture time since the first
    frame. If the first attempt to open fails, that is an error at once. Later losses (a failed
    read, or no frame for `stall_s`) are followed by new attempts after 0.5, 1, 2, 4, 8, 8... s.

    Args:
        name: Of the source.
        opener: Opens the device; runs in the reader thread.
        reconnect_s: Give up when no frame has come for that long after a loss.
        stall_s: A connection without a frame for that long is lost.
    """

    live = True

    def __init__(
        self, name: str, opener: Opener, *, reconnect_s: float = 30.0, stall_s: float = 10.0
    ) -> None:
        self.name = name
        self.length: int | None = None
        self.fps: float | None = None
        self.dropped = 0
        self._opener = opener
        self._reconnect_s = reconnect_s
        self._stall_s = stall_s
        self._closed = threading.Event()
        self._connection: _Connection | None = None

    def select(self, wanted: Wanted) -> Iterator[Frame]:
        """Iterate the latest frames that `wanted` accepts, until `close`.

        Raises:
            SourceError: The device cannot be opened, or was lost for `reconnect_s`.
        """
        if self._closed.is_set():
            raise SourceError(f"{self.name} was closed.", hint="Open it again with open_source.")
        started: float | None = None
        current: _Connection | None = None
        index, seen = 0, -1  # of the next frame; of the last one within its connection
        try:
            for connection, shot in self._shots():
                if connection is not current:  # a new one counts from 0
                    current, seen = connection, -1
                skipped = shot.number - seen - 1
                self.dropped += skipped
                index += skipped
                seen = shot.number
                started = shot.captured_at if started is None else started
                self.fps = connection.fps or self.fps
                if wanted(index, shot.captured_at - started):
                    yield self._frame(shot, index, started)
                index += 1
        finally:
            self._disconnect()

    def close(self) -> None:
        """Stop reading within a second or two, even while the device blocks."""
        self._closed.set()
        self._disconnect()

    def _shots(self) -> Iterator[tuple[_Connection, _Shot]]:
        """Yield shots of one connection after another; ends when closed."""
        patience = _Patience(self.name, self._reconnect_s)
        opened = False
        while not self._closed.is_set():
            connection = self._connect()
            try:
                while (shot := connection.latest(self._stall_s)) is not None:
                    patience.renew()
                    yield connection, shot
                return  # closed
            except _Lost as lost:
                opened = opened or not lost.unopened
                if not opened:
                    raise lost.reason from None
                connection.stop()  # its reader has ended, or is stuck: nothing to wait for
                self._closed.wait(patience.next_delay(lost.reason))

    def _connect(self) -> _Connection:
        connection = _Connection(self._opener, self.name)
        self._connection = connection
        if self._closed.is_set():  # closed between the caller's look and now
            connection.stop()
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.stop()
            connection.join()

    def _frame(self, shot: _Shot, index: int, started: float) -> Frame:
        try:
            frame = as_frame(shot.image)
        except FramescoreError as error:
            raise SourceError(
                f"{self.name} delivers what cannot be scored: {error.message}", hint=error.hint
            ) from error
        return replace(
            frame,
            index=index,
            pts_s=shot.captured_at - started,
            source=self.name,
            dropped=self.dropped,
            captured_at=shot.captured_at,
        )


class _Lost(Exception):
    """A connection ended. Unopened: it never began."""

    def __init__(self, reason: SourceError, *, unopened: bool = False) -> None:
        super().__init__(reason.message)
        self.reason = reason
        self.unopened = unopened


class _Patience:
    """Back-off, and the time after which a lost source is given up."""

    def __init__(
        self, name: str, limit_s: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._name = name
        self._limit_s = limit_s
        self._delay_s = FIRST_DELAY_S
        self._lost_at: float | None = None
        self._attempts = 0

    def renew(self) -> None:
        """A frame came."""
        self._delay_s = FIRST_DELAY_S
        self._lost_at = None
        self._attempts = 0

    def next_delay(self, reason: SourceError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            SourceError: The limit would be passed.
        """
        now = self._clock()
        lost_at = self._lost_at = now if self._lost_at is None else self._lost_at
        if now - lost_at + self._delay_s > self._limit_s:
            raise SourceError(
                f"{self._name} was lost and did not come back within {self._limit_s:g} s "
                f"({self._attempts} attempts): {reason.message}",
                hint=reason.hint,
            )
        delay = self._delay_s
        self._delay_s = min(2 * delay, LONGEST_DELAY_S)
        self._attempts += 1
        _log.warning("%s Trying again in %g s.", reason.message, delay)
        return delay


class _Connection:
    """One opened device: a daemon thread that reads into a one-slot ring."""

    def __init__(self, opener: Opener, name: str) -> None:
        self.fps: float | None = None
        self._name = name
        self._changed = threading.Condition()
        self._slot: _Shot | None = None
        self._lost: _Lost | None = None
        self._stopped = False
        self._thread = threading.Thread(
            target=self._run, args=(opener,), name=f"framescore-live-{name}", daemon=True
        )
        self._thread.start()

    def latest(self, timeout_s: float) -> _Shot | None:
        """Wait for a frame newer than the last; None when stopped.

        Raises:
            _Lost: The connection ended, or no frame came in time.
        """
        with self._changed:
            self._changed.wait_for(self._has_news, timeout_s)
            if self._stopped:
                return None
            shot, self._slot = self._slot, None
            if shot is not None:
                return shot
            if self._lost is not None:
                raise self._lost
        raise _Lost(
            SourceError(
                f"{self._name} stalled: no frame for {timeout_s:g} s.",
                hint="Check the camera, the network, and whether another program holds it.",
            )
        )

    def stop(self) -> None:
        """Tell the reader to end."""
        with self._changed:
            self._stopped = True
            self._slot = None
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the reader, but not for a stuck one."""
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def _has_news(self) -> bool:
        return self._stopped or self._slot is not None or self._lost is not None

    def _run(self, opener: Opener) -> None:
        try:
            capture = opener()
        except Exception as error:  # drivers raise what they like
            self._end(_Lost(_as_source_error(error, self._name), unopened=True))
            return
        try:
            self.fps = _declared_fps(capture)
            self._read(capture)
        except Exception as error:
            self._end(_Lost(_as_source_error(error, self._name)))
        finally:
            capture.release()  # here only: a capture must not be released while it reads

    def _read(self, capture: Capture) -> None:
        number = 0
        while not self._stopped:
            ok, image = capture.read()
            if not ok or image is None:
                self._end(
                    _Lost(
                        SourceError(
                            f"{self._name} stopped delivering frames.",
                            hint="Check the camera, its cable or its network.",
                        )
                    )
                )
                return
            shot = _Shot(image, time.perf_counter(), number)
            number += 1
            with self._changed:
                if not self._stopped:
                    self._slot = shot  # an older one that nobody took is dropped
                self._changed.notify_all()

    def _end(self, lost: _Lost) -> None:
        with self._changed:
            self._lost = lost
            self._changed.notify_all()


def _declared_fps(capture: Capture) -> float | None:
    get = getattr(capture, "get", None)
    if get is None:
        return None
    fps = float(get(5))  # CAP_PROP_FPS
    return fps if math.isfinite(fps) and 0 < fps < 1e5 else None


def _as_source_error(error: Exception, name: str) -> SourceError:
    if isinstance(error, SourceError):
        return error
    return SourceError(
        f"{name} failed: {error}.", hint="Check the device and whether another program holds it."
    )
