from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import UsageError
from sdk.frames import Frame, PixelFormat
from sdk.io import open_source
from sdk.io.sampling import _AtRate, _EveryNth, sample

WriteVideo = Callable[..., Path]
PIXELS = np.zeros((32, 32), np.uint8)


def frame_at(pts_s: float | None) -> Frame:
    return Frame(PIXELS, PixelFormat.GRAY, 32, 32, pts_s=pts_s)


def kept(times: Iterable[float], fps: float) -> list[int]:
    """Indices that sampling at `fps` keeps of frames with these times."""
    wanted = _AtRate(fps, "x")
    return [index for index, pts_s in enumerate(times) if wanted(index, pts_s)]


@pytest.mark.parametrize(("every", "limit"), [(1, None), (5, None), (7, 2), (24, None), (99, 3)])
def test_every_nth_frame_of_a_video(write_video: WriteVideo, every: int, limit: int | None) -> None:
    with open_source(write_video()) as source:
        sampled = sample(source, every=every, limit=limit)
        indices = [frame.index for frame in sampled]
    assert indices == list(range(0, 24, every))[:limit]
    assert sampled.length == len(indices)
    assert sampled.fps == 25 / every


@pytest.mark.parametrize("fps", [1.0, 5.0, 10.0, 24.0, 25.0, 60.0])
def test_lower_rate_of_a_video(write_video: WriteVideo, fps: float) -> None:
    with open_source(write_video()) as source:
        sampled = sample(source, fps=fps)
        times = [frame.pts_s for frame in sampled]
    assert sampled.length in (len(times), len(times) + 1)
    assert sampled.fps == min(fps, 25.0)
    ticks = np.arange(len(times)) / min(fps, 25.0)
    assert np.all(np.abs(np.array(times) - ticks) <= 0.04)


def test_sampling_repeats(write_video: WriteVideo) -> None:
    with open_source(write_video()) as source:
        sampled = sample(source, every=10)
        assert [f.index for f in sampled] == [f.index for f in sampled] == [0, 10, 20]


def test_plain_iterables_are_counted_by_position() -> None:
    frames = [frame_at(n / 10) for n in range(6)]
    assert [f.pts_s for f in sample(frames, every=2)] == [0.0, 0.2, 0.4]
    assert [f.pts_s for f in sample(frames, fps=5)] == [0.0, 0.2, 0.4]
    assert (sample(frames).length, sample(frames).fps, sample(frames).live) == (None, None, False)


def test_limit_reads_no_further_and_closes_the_source() -> None:
    read: list[int] = []

    def numbered() -> Iterator[Frame]:
        try:
            for number in range(10):
                read.append(number)
                yield frame_at(None)
        finally:
            read.append(-1)

    assert len(list(sample(numbered(), limit=3))) == 3
    assert read == [0, 1, 2, -1]


def test_closing_closes_the_source() -> None:
    source = (frame_at(None) for _ in range(5))
    frames = iter(sample(source, every=2))
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert list(source) == [] or sum(1 for _ in source) == 0


@pytest.mark.parametrize("rate", [24, 25, 29.97, 30, 50, 60])
def test_times_rounded_to_milliseconds_lose_no_frame(rate: float) -> None:
    times = [round(n / rate, 3) for n in range(2000)]
    assert kept(times, rate) == list(range(2000))
    assert len(kept(times, rate / 2)) == 1000


@given(st.floats(1, 240), st.floats(0.5, 300), st.integers(1, 200))
def test_rate_is_met_and_never_exceeded(rate: float, fps: float, count: int) -> None:
    indices = kept([n / rate for n in range(count)], fps)
    assert indices[0] == 0
    duration = (count - 1) / rate
    assert len(indices) <= min(count, duration * fps + 2)
    assert len(indices) >= min(count, int(duration * min(fps, rate)) - 1)


def test_gaps_are_not_made_up_for() -> None:
    assert kept([0.0, 0.1, 0.2, 5.0, 5.1, 5.2, 5.3], 5) == [0, 2, 3, 5]


def test_every_follows_the_index_of_live_sources() -> None:
    wanted = _EveryNth(5)
    seen = [0, 1, 4, 7, 9, 10, 11, 23, 24, 25]
    assert [index for index in seen if wanted(index, None)] == [0, 7, 10, 23, 25]


def test_rate_needs_times() -> None:
    with pytest.raises(UsageError, match="no presentation times") as caught:
        list(sample([frame_at(None)], fps=5))
    assert "every" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every is 0"),
        ({"every": 1.5}, r"every is 1\.5"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": -1}, "fps is -1"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"fps": float("inf")}, "fps is inf"),
        ({"limit": 0}, "limit is 0"),
        ({"every": 2, "fps": 5}, "contradict"),
    ],
)
def test_options_that_cannot_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sample([], **options)  # type: ignore[arg-type]
