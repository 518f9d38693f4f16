from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import FramescoreError, SourceError, UsageError
from sdk.frames import ColorSpec, Frame, PixelFormat
from sdk.io import open_source
from sdk.io.declared import Declared
from sdk.io.pipe import PipeSource

HEADER = b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n"
I420_BYTES = 64 * 48 * 3 // 2


def y4m(frames: int, header: bytes = HEADER, size: int = I420_BYTES) -> bytes:
    return header + b"".join(b"FRAME\n" + bytes([number]) * size for number in range(frames))


def source_of(data: bytes, declared: Declared | None = None) -> PipeSource:
    return PipeSource(lambda: io.BytesIO(data), "-", declared)


def deliver(source: PipeSource) -> tuple[list[Frame], FramescoreError | None]:
    frames: list[Frame] = []
    try:
        frames.extend(source)
    except FramescoreError as error:
        return frames, error
    return frames, None


def through_pipe(data: bytes, chunk: int) -> BinaryIO:
    """The read end of a real pipe that gets the data in small pieces."""
    read_fd, write_fd = os.pipe()

    def feed() -> None:
        with os.fdopen(write_fd, "wb", buffering=0) as sender:
            for start in range(0, len(data), chunk):
                sender.write(data[start : start + chunk])

    threading.Thread(target=feed, daemon=True).start()
    return os.fdopen(read_fd, "rb")


def test_y4m_frames() -> None:
    source = source_of(y4m(3))
    frames, error = deliver(source)
    assert error is None
    assert [(f.index, f.pts_s, f.data[0, 0]) for f in frames] == [
        (0, 0, 0),
        (1, 0.04, 1),
        (2, 0.08, 2),
    ]
    first = frames[0]
    assert (first.width, first.height, first.data.shape) == (64, 48, (72, 64))
    assert first.pixel_format is PixelFormat.I420
    assert first.color == ColorSpec("bt601", full_range=False)
    assert first.captured_at is not None
    assert source.fps == 25.0


def test_frames_are_views_of_their_own_buffers() -> None:
    frames, _ = deliver(source_of(y4m(2)))
    assert frames[0].data.base is not None
    assert not np.shares_memory(frames[0].data, frames[1].data)


def test_colour_range_and_matrix() -> None:
    header = b"YUV4MPEG2 W32 H720 XCOLORRANGE=FULL\n"
    frames, _ = deliver(source_of(y4m(1, header, 32 * 720 * 3 // 2)))
    assert frames[0].color == ColorSpec("bt709", full_range=True)


def test_frame_parameters_are_allowed() -> None:
    data = HEADER + b"FRAME Ip XNOTE=dark\n" + bytes(I420_BYTES)
    frames, error = deliver(source_of(data))
    assert (len(frames), error) == (1, None)


def test_mono() -> None:
    frames, _ = deliver(source_of(y4m(2, b"YUV4MPEG2 W64 H48 Cmono\n", 64 * 48)))
    assert [(f.pixel_format, f.data.shape) for f in frames] == [(PixelFormat.GRAY, (48, 64))] * 2


def test_odd_size_loses_its_last_row_and_column() -> None:
    size = 65 * 49 + 2 * 33 * 25
    frames, error = deliver(source_of(y4m(2, b"YUV4MPEG2 W65 H49\n", size)))
    assert error is None
    assert [(f.width, f.height, f.data.shape) for f in frames] == [(64, 48, (72, 64))] * 2


def test_declared_rate_counts_where_the_header_has_none() -> None:
    data = y4m(2, b"YUV4MPEG2 W64 H48\n")
    assert [f.pts_s for f in deliver(source_of(data))[0]] == [None, None]
    assert [f.pts_s for f in deliver(source_of(data, Declared(fps=10)))[0]] == [0.0, 0.1]


@pytest.mark.parametrize("missing", [1, 100, I420_BYTES - 1])
def test_end_inside_a_frame(missing: int) -> None:
    frames, error = deliver(source_of(y4m(3)[:-missing]))
    assert [f.index for f in frames] == [0, 1]
    got = I420_BYTES - missing
    assert f"ended inside frame 2: it had {got} of {I420_BYTES} bytes" in str(error)


def test_end_after_a_frame_header() -> None:
    frames, error = deliver(source_of(y4m(1) + b"FRAME\n"))
    assert len(frames) == 1
    assert f"inside frame 1: it had 0 of {I420_BYTES}" in str(error)


@pytest.mark.parametrize("tail", [b"FRA", b"garbage" * 9, b"\n"])
def test_damaged_frame_header(tail: bytes) -> None:
    frames, error = deliver(source_of(y4m(2) + tail))
    assert len(frames) == 2
    assert isinstance(error, SourceError)
    assert "frame 2 begins with" in str(error)


def test_unwanted_frames_are_read_past() -> None:
    source = source_of(y4m(6))
    kept = list(source.select(lambda index, _: index in (1, 4)))
    assert [(f.index, f.data[0, 0]) for f in kept] == [(1, 1), (4, 4)]


def test_declined_frames_still_count_against_a_cut_end() -> None:
    frames = source_of(y4m(3)[:-5]).select(lambda index, _: index == 0)
    assert next(frames).index == 0
    with pytest.raises(SourceError, match="inside frame 2"):
        next(frames)


@pytest.mark.parametrize("chunk", [1000, 4093, 100_000])
def test_real_pipe_in_pieces(chunk: int) -> None:
    data = y4m(4)
    frames, error = deliver(PipeSource(lambda: through_pipe(data, chunk), "-"))
    assert error is None
    assert [f.data[-1, -1] for f in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "shape", "pixel_format"),
    [
        ("bgr24", (48, 64, 3), PixelFormat.BGR),
        ("rgb24", (48, 64, 3), PixelFormat.RGB),
        ("bgra", (48, 64, 4), PixelFormat.BGRA),
        ("rgba", (48, 64, 4), PixelFormat.RGBA),
        ("gray", (48, 64), PixelFormat.GRAY),
        ("nv12", (72, 64), PixelFormat.NV12),
        ("i420", (72, 64), PixelFormat.I420),
        ("yuv420p", (72, 64), PixelFormat.I420),
        ("yuyv422", (48, 64, 2), PixelFormat.YUYV),
    ],
)
def test_raw_video(name: str, shape: tuple[int, ...], pixel_format: PixelFormat) -> None:
    values = np.random.default_rng(5).integers(0, 256, (3, *shape), dtype=np.uint8)
    declared = Declared((64, 48), name, 50)
    frames, error = deliver(source_of(values.tobytes(), declared))
    assert error is None
    assert [f.pts_s for f in frames] == [0.0, 0.02, 0.04]
    assert all((f.width, f.height, f.pixel_format) == (64, 48, pixel_format) for f in frames)
    assert all(np.array_equal(f.data, value) for f, value in zip(frames, values, strict=True))


@pytest.mark.parametrize("cut", [1, 5, 3071])
def test_raw_video_that_ends_inside_a_frame(cut: int) -> None:
    frames, error = deliver(source_of(bytes(2 * 3072 - cut), Declared((64, 48), "gray")))
    assert len(frames) == 1
    assert f"inside frame 1: it had {3072 - cut} of 3072 bytes" in str(error)


@pytest.mark.parametrize(
    ("declared", "missing"),
    [
        (Declared(), "size and format missing"),
        (Declared(size=(64, 48)), "format missing"),
        (Declared(format="gray"), "size missing"),
    ],
)
def test_raw_video_needs_size_and_format(declared: Declared, missing: str) -> None:
    _, error = deliver(source_of(b"\x01\x02\x03", declared))
    assert isinstance(error, SourceError)
    assert missing in str(error)


def test_raw_sizes_that_cannot_be() -> None:
    _, error = deliver(source_of(b"xyz", Declared((8, 8), "gray")))
    assert "8x8; each side" in str(error)
    _, error = deliver(source_of(b"xyz", Declared((65, 48), "yuyv422")))
    assert isinstance(error, UsageError)


def test_nothing_at_all() -> None:
    assert "is empty: no frame arrived" in str(deliver(source_of(b""))[1])
    assert "a header but no frame" in str(deliver(source_of(HEADER))[1])


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_end_in_frames_or_a_source_error(data: bytes, as_y4m: bool) -> None:
    prefix = b"YUV4MPEG2 W32 H32 Cmono" if as_y4m else b""
    source = source_of(prefix + data, Declared((32, 32), "gray"))
    _, error = deliver(source)
    assert error is None or isinstance(error, SourceError)


def test_read_errors_become_source_errors(tmp_path: Path) -> None:
    def vanished() -> BinaryIO:
        return (tmp_path / "gone").open("rb")

    with pytest.raises(SourceError, match="cannot be read: No such file"):
        list(PipeSource(vanished, "gone"))


def test_close_ends_the_iteration() -> None:
    source = source_of(y4m(5))
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []


def test_y4m_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.y4m"
    path.write_bytes(y4m(5))
    with open_source(path) as source:
        assert (source.length, source.fps) == (5, 25.0)
        assert [f.data[0, 0] for f in source] == [0, 1, 2, 3, 4]
        assert len(list(source)) == 5  # files can be read again


def test_y4m_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "clip.y4m"
    path.write_bytes(b"words and more words")
    with pytest.raises(SourceError, match="is not y4m"):
        open_source(path)


def test_raw_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.yuv"
    path.write_bytes(bytes(3 * I420_BYTES + 7))
    with open_source(path, size=(64, 48), format="i420", fps=10) as source:
        assert (source.length, source.fps) == (3, 10)
        with pytest.raises(SourceError, match="inside frame 3: it had 7 of"):
            list(source)
    with pytest.raises(SourceError, match="size and format missing"):
        open_source(path)


def test_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    sender = threading.Thread(target=lambda: path.write_bytes(y4m(3)), daemon=True)
    sender.start()
    with open_source(path) as source:
        assert source.length is None
        assert len(list(source)) == 3
    sender.join(5)


READ_STDIN = """
import sys
from sdk.io import open_source
from sdk.errors import SourceError
with open_source("-") as source:
    try:
        for frame in source:
            print(frame.index, frame.data[0, 0])
        list(source)
    except SourceError as error:
        print(error.message)
"""


@pytest.mark.parametrize(
    ("cut", "last"),
    [
        (0, "Source - is a pipe and was read already."),
        (10, f"- ended inside frame 2: it had {I420_BYTES - 10} of {I420_BYTES} bytes."),
    ],
)
def test_standard_input(cut: int, last: str) -> None:
    data = y4m(3)
    done = subprocess.run(
        [sys.executable, "-c", READ_STDIN],
        input=data[: len(data) - cut],
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode().splitlines()
    assert lines[:-1] == [f"{n} {n}" for n in range(2 if cut else 3)]
    assert lines[-1] == last


def test_shared_y4m_clip(clip: Callable[[str], Path]) -> None:
    with open_source(clip("park_joy_480x270.y4m")) as source:
        assert (source.length, source.fps) == (10, 50.0)
        frames = list(source)
    assert len(frames) == 10
    assert {(f.width, f.height, f.pixel_format) for f in frames} == {(480, 270, PixelFormat.I420)}
    assert frames[0].color == ColorSpec("bt601", full_range=False)
