"""Score fewer frames: every N-th, a lower rate, or only the first ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ..errors import UsageError
from ..frames import Frame
from .source import Source, Wanted

JITTER_S = 1e-3  # containers may round their times to milliseconds


def sample(
    frames: Source | Iterable[Frame],
    *,
    every: int = 1,
    fps: float | None = None,
    limit: int | None = None,
) -> Sampled:
    """Choose among the frames of a source.

    Declined frames cost no decoding where the format allows. With `fps`, frames are taken on an
    even grid of that rate, by `pts_s`; a source slower than that gives all its frames. Frames
    that a live source dropped count in `every`.

    Args:
        frames: A source, or any iterable of frames.
        every: Deliver frames 0, every, 2 * every, ...
        fps: Deliver at most that many frames a second of presentation time.
        limit: Stop after that many delivered frames, without reading on.

    Returns:
        An iterable of frames with the source's name, fps, live and dropped, and the length to be
        expected.

    Raises:
        UsageError: every < 1, fps <= 0, limit < 1, or every and fps together; and while
            iterating, fps for a source without presentation times.
    """
    if every < 1 or int(every) != every:
        raise UsageError(f"every is {every}; it must be a whole number of frames, 1 or more.")
    if fps is not None and not 0 < fps < math.inf:
        raise UsageError(f"fps is {fps}; it must be frames a second, above 0.")
    if limit is not None and (limit < 1 or int(limit) != limit):
        raise UsageError(f"limit is {limit}; it must be a whole number of frames, 1 or more.")
    if every > 1 and fps is not None:
        raise UsageError(
            f"every={every} and fps={fps} contradict each other.", hint="Give one of them."
        )
    return Sampled(frames, every, fps, limit)


class Sampled:
    """What `sample` returns; each iteration starts the source again.

    Args:
        frames: A source, or any iterable of frames.
        every: See `sample`.
        fps: See `sample`.
        limit: See `sample`.
    """

    def __init__(
        self,
        frames: Source | Iterable[Frame],
        every: int = 1,
        fps: float | None = None,
        limit: int | None = None,
    ) -> None:
        self._frames = frames
        self._every = every
        self._rate = fps
        self._limit = limit
        self.name: str = getattr(frames, "name", "")
        self.live: bool = getattr(frames, "live", False)

    @property
    def fps(self) -> float | None:
        """Frames a second after sampling; None when unknown."""
        declared: float | None = getattr(self._frames, "fps", None)
        if self._rate is not None:
            return min(self._rate, declared or self._rate)
        return declared / self._every if declared else None

    @property
    def dropped(self) -> int:
        """Frames the live source has dropped so far."""
        return int(getattr(self._frames, "dropped", 0))

    @property
    def length(self) -> int | None:
        """Frames to be expected, for progress; None when unknown."""
        declared: int | None = getattr(self._frames, "length", None)
        if declared is None:
            return self._limit
        expected = math.ceil(declared / self._every)
        source_fps: float | None = getattr(self._frames, "fps", None)
        if self._rate is not None and source_fps:
            expected = min(declared, math.ceil(declared * self._rate / source_fps))
        return expected if self._limit is None else min(expected, self._limit)

    def __iter__(self) -> Iterator[Frame]:
        chosen = self._choose()
        try:
            for count, frame in enumerate(chosen, start=1):
                yield frame
                if count == self._limit:
                    return
        finally:
            close = getattr(chosen, "close", None)
            if close is not None:
                close()

    def _choose(self) -> Iterator[Frame]:
        wanted: Wanted = _EveryNth(self._every)
        if self._rate is not None:
            wanted = _AtRate(self._rate, self.name)
        if isinstance(self._frames, Source):
            return self._frames.select(wanted)
        numbered = enumerate(self._frames)
        return (frame for index, frame in numbered if wanted(index, frame.pts_s))


class _EveryNth:
    """Accepts frames 0, N, 2 N, ...; where indices jump, the next one at hand."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._due = 0

    def __call__(self, index: int, _pts_s: float | None) -> bool:
        if index < self._due:
            return False
        self._due = index - index % self._every + self._every
        return True


class _AtRate:
    """Accepts the first frame at or after each tick of an even grid."""

    def __init__(self, fps: float, name: str) -> None:
        self._fps = fps
        self._name = name
        self._slack = min(JITTER_S, 0.25 / fps)
        self._start: float | None = None
        self._tick = 0

    def __call__(self, _index: int, pts_s: float | None) -> bool:
        if pts_s is None:
            raise UsageError(
                f"Source {self._name} has no presentation times to sample at {self._fps} fps.",
                hint="Sample by count (every), or declare the source's own rate.",
            )
        if self._start is None:
            self._start = pts_s
        elapsed = pts_s - self._start + self._slack
        if elapsed < self._tick / self._fps:
            return False
        self._tick = max(self._tick, math.floor(elapsed * self._fps)) + 1
        return True
