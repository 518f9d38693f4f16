from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk.errors import SourceError, UsageError
from sdk.frames import PixelFormat
from sdk.io import open_source
from sdk.io.video import VideoFile, _Clock

WriteVideo = Callable[..., Path]
NumberOf = Callable[[NDArray[np.uint8]], int]


@pytest.mark.parametrize("name", ["clip.avi", "clip.mp4"])
def test_all_frames_in_order(write_video: WriteVideo, number_of: NumberOf, name: str) -> None:
    path = write_video(name)
    with open_source(path) as source:
        assert (source.length, source.fps, source.live) == (24, 25.0, False)
        frames = list(source)
        assert [frame.index for frame in source] == list(range(24))  # a second time
    assert [number_of(frame.data) for frame in frames] == list(range(24))
    assert [frame.pts_s for frame in frames] == pytest.approx([n / 25 for n in range(24)])
    assert all(frame.pixel_format is PixelFormat.BGR for frame in frames)
    assert all((frame.width, frame.height) == (64, 48) for frame in frames)
    assert all(frame.source == str(path) and frame.captured_at for frame in frames)


def test_frames_do_not_share_memory(write_video: WriteVideo) -> None:
    with open_source(write_video()) as source:
        first, second = list(source)[:2]
    assert not np.shares_memory(first.data, second.data)


def test_unwanted_frames_are_passed_over(write_video: WriteVideo, number_of: NumberOf) -> None:
    with open_source(write_video()) as source:
        frames = list(source.select(lambda index, _: index % 7 == 3))
    assert [(frame.index, number_of(frame.data)) for frame in frames] == [
        (3, 3),
        (10, 10),
        (17, 17),
    ]


def test_a_new_iteration_ends_the_old_one(write_video: WriteVideo) -> None:
    with open_source(write_video()) as source:
        old = iter(source)
        next(old)
        assert len(list(source)) == 24
        assert list(old) == []


def test_close_ends_an_iteration(write_video: WriteVideo) -> None:
    source = open_source(write_video())
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_video_that_breaks_off_delivers_its_frames_then_fails(
    write_video: WriteVideo, number_of: NumberOf, share: float
) -> None:
    path = write_video("whole.avi", frames=28, size=(320, 240))
    data = path.read_bytes()
    cut = path.with_name("cut.avi")
    cut.write_bytes(data[: int(share * len(data))])
    numbers = []
    with pytest.raises(SourceError) as caught, open_source(cut) as source:
        numbers.extend(number_of(frame.data) for frame in source)
    assert 5 <= len(numbers) < 25
    assert numbers[:-1] == list(range(len(numbers) - 1))  # the last may be half a picture
    assert f"stopped at frame {len(numbers)} of 28" in str(caught.value)


def test_a_few_missing_frames_are_only_logged(
    write_video: WriteVideo, caplog: pytest.LogCaptureFixture
) -> None:
    with open_source(write_video()) as source, caplog.at_level(logging.WARNING, "framescore"):
        source.length = 26
        assert len(list(source)) == 24
        assert caplog.text == ""
        source.length = 27  # more than two missing, but over nine tenths there
        source.fps = 27 / (24 / 25)  # as if the container had guessed from a wrong rate
        assert len(list(source)) == 24
    assert "24 of 27 declared frames" in caplog.text


def test_variable_rate_overestimates_are_no_error(write_video: WriteVideo) -> None:
    """Of a clip whose rate was guessed 4 times too high, the duration still fits."""
    with open_source(write_video()) as source:
        assert source.fps is not None
        source.length, source.fps = 96, 4 * source.fps
        assert len(list(source)) == 24


def test_mp4_without_index(write_video: WriteVideo) -> None:
    path = write_video("whole.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov")])
    with pytest.raises(SourceError, match=r"index \(moov\) is missing"):
        open_source(path)


def test_garbage(tmp_path: Path) -> None:
    path = tmp_path / "garbage.mp4"
    path.write_bytes(np.random.default_rng(3).bytes(65536))
    with pytest.raises(SourceError, match="damaged or of an unknown format"):
        open_source(path)


@pytest.mark.parametrize("name", ["text.mp4", "text.xyz", "text"])
def test_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("These are words.\n" * 50)
    with pytest.raises(SourceError, match=r"it holds text, b'These are words"):
        open_source(path)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(SourceError, match=r"is empty \(0 bytes\)"):
        open_source(path)


def test_container_without_a_decodable_frame(write_video: WriteVideo) -> None:
    path = write_video("hollow.mp4")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught, open_source(path) as source:
        list(source)
    assert "no frame that decodes" in str(caught.value)


def test_too_small_a_video(write_video: WriteVideo) -> None:
    path = write_video(size=(16, 16))
    with pytest.raises(SourceError, match="16x16; each side"), open_source(path) as source:
        list(source)


def test_file_removed_after_opening(write_video: WriteVideo) -> None:
    path = write_video()
    with open_source(path) as source:
        list(source)
        path.unlink()
        with pytest.raises(SourceError, match="No such file"):
            list(source)


def test_options_of_raw_video_are_refused(write_video: WriteVideo) -> None:
    path = write_video()
    with pytest.raises(UsageError, match="size and format describe raw video"):
        open_source(path, size=(64, 48), format="bgr24")
    with pytest.raises(UsageError, match="carries its own"):
        open_source(path, fps=25)


@pytest.mark.parametrize("name", ["error_test.mp4", "garbage.mp4", "truncated.mp4"])
def test_shared_broken_clips(clip: Callable[[str], Path], name: str) -> None:
    with pytest.raises(SourceError):
        open_source(clip(name))


@pytest.mark.parametrize(
    ("name", "count", "size"),
    [("bikes.mp4", 250, (640, 272)), ("carphone_pristine.mp4", 120, (176, 144))],
)
def test_shared_clips(
    clip: Callable[[str], Path], name: str, count: int, size: tuple[int, int]
) -> None:
    with open_source(clip(name)) as source:
        assert source.length == count
        frames = [(frame.index, frame.width, frame.height) for frame in source]
    assert frames == [(index, *size) for index in range(count)]


def test_frames_equal_those_of_opencv(clip: Callable[[str], Path]) -> None:
    path = clip("carphone_distorted.mp4")
    capture = cv2.VideoCapture(str(path))
    with open_source(path) as source:
        for frame in source:
            assert np.array_equal(frame.data, capture.read()[1])
    assert not capture.read()[0]


def test_clock_falls_back_to_the_rate_where_times_stand_still() -> None:
    clock = _Clock(25.0)
    assert [clock.read(n, 0.0) for n in range(4)] == [0.0, 0.04, 0.08, 0.12]


def test_clock_never_runs_backwards() -> None:
    clock = _Clock(25.0)
    times = [clock.read(n, ms) for n, ms in enumerate([0, 100, 200, 50, 400, float("nan")])]
    assert times == [0.0, 0.1, 0.2, 0.2, 0.2, 0.2]


def test_clock_without_rate_or_times_knows_nothing() -> None:
    clock = _Clock(None)
    assert [clock.read(n, 0.0) for n in range(3)] == [0.0, None, None]


def test_closed_source_opens_again(write_video: WriteVideo) -> None:
    source = VideoFile(str(write_video()))
    source.close()
    assert len(list(source)) == 24
