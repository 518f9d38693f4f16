"""Uncompressed video from pipes and files: y4m by its header, raw video by declaration."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError, UsageError
from ..frames import ColorSpec, Frame, PixelFormat
from .declared import Declared
from .layout import LAYOUTS, RAW_FORMATS, Layout
from .limits import check_size
from .source import Source, Wanted
from .y4m import MAGIC, MAX_LINE, is_frame_header, parse_header

HD_HEIGHT = 720  # from here on video is BT.709 by convention, below BT.601
FIX_RAW = "Pipe y4m (ffmpeg ... -pix_fmt yuv420p -f yuv4mpegpipe -), or give both."


@dataclass(frozen=True, slots=True)
class _Stream:
    """An open byte stream and what its frames look like."""

    binary: BinaryIO
    pending: bytes  # read while looking for a header
    layout: Layout
    width: int
    height: int
    fps: float | None
    color: ColorSpec
    framed: bool  # y4m puts a header line before each frame

    @property
    def frame_bytes(self) -> int:
        return self.layout.frame_bytes(self.width, self.height)


class PipeSource(Source):
    """y4m or raw video, read strictly forwards.

    A stream that begins with "YUV4MPEG2 " is y4m and its header counts; anything else is raw video
    of the declared size and format. 4:2:0, mono and packed frames are views of the bytes read;
    4:2:2 becomes YUYV without loss, 4:4:4 with chroma averaged over pairs of columns; an odd last
    column or row of subsampled formats is cropped. The matrix is BT.709 from 720 rows, else
    BT.601; range is limited unless XCOLORRANGE=FULL. `pts_s` is index / fps.

    Args:
        open_stream: Gives the stream; called when iteration starts.
        name: Of the source.
        declared: Size, format and rate of raw video.
        once: Whether the stream cannot be opened again, like standard input.
    """

    live = False

    def __init__(
        self,
        open_stream: Callable[[], BinaryIO],
        name: str,
        declared: Declared | None = None,
        *,
        once: bool = False,
    ) -> None:
        self.name = name
        self.length: int | None = None
        self.fps: float | None = None
        self.dropped = 0
        self._declared = declared or Declared()
        self._open_stream = open_stream
        self._once = once
        self._spent = False
        self._closed = False

    def select(self, wanted: Wanted) -> Iterator[Frame]:
        """Iterate the frames that `wanted` accepts; others are read past.

        Raises:
            SourceError: Neither y4m nor declared, no frame at all, a damaged frame header, or an
                end inside a frame; frames before the fault are delivered.
        """
        self._spend()
        try:
            with self._open_stream() as binary:
                yield from self._read_frames(self.begin(binary), wanted)
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(
                f"{self.name} cannot be read: {error.strerror or error}.",
                hint="The frames before were delivered. Check the sender or the disk.",
            ) from error

    def close(self) -> None:
        """End an iteration at its next frame; the stream closes with the iteration."""
        self._closed = True

    def begin(self, binary: BinaryIO) -> _Stream:
        """Tell y4m from raw video and read what comes before the first frame.

        Args:
            binary: At its start.

        Returns:
            The stream at its first frame.

        Raises:
            SourceError: A bad y4m header, or raw video that nothing is known about.
        """
        head = bytes(_read_upto(binary, bytearray(len(MAGIC) + 1)))
        if head == MAGIC + b" ":
            stream = self._begin_y4m(binary, head)
        else:
            stream = self._begin_raw(binary, head)
        self.fps = stream.fps
        return stream

    def _spend(self) -> None:
        if self._spent and self._once:
            raise SourceError(
                f"Source {self.name} is a pipe and was read already.",
                hint="Keep its frames, or write it to a file.",
            )
        self._spent = True
        self._closed = False

    def _begin_y4m(self, binary: BinaryIO, head: bytes) -> _Stream:
        header = parse_header(head + binary.readline(MAX_LINE), self.name)
        return _Stream(
            binary,
            b"",
            header.layout,
            header.width,
            header.height,
            header.fps or self._declared.fps,
            _color(header.height, bool(header.full_range)),
            framed=True,
        )

    def _begin_raw(self, binary: BinaryIO, head: bytes) -> _Stream:
        size, fmt = self._declared.size, self._declared.format
        if not head:
            raise SourceError(f"{self.name} is empty: no frame arrived.", hint="Check the sender.")
        if size is None or fmt is None:
            missing = " and ".join(
                what for what, value in (("size", size), ("format", fmt)) if value is None
            )
            raise SourceError(
                f"{self.name} is not y4m (it begins with {head!r}), and raw video needs its size "
                f"and format: {missing} missing. Formats are {', '.join(RAW_FORMATS)}.",
                hint=FIX_RAW,
            )
        width, height = (int(side) for side in size)
        check_size(width, height, self.name)
        layout = LAYOUTS[RAW_FORMATS[fmt]]
        if layout.name == "yuyv422" and width % 2:
            raise UsageError(
                f"Frame size is {width}x{height}; yuyv422 stores pixels in pairs and needs an even "
                "width."
            )
        color = _color(height, full_range=False)
        return _Stream(binary, head, layout, width, height, self._declared.fps, color, framed=False)

    def _read_frames(self, stream: _Stream, wanted: Wanted) -> Iterator[Frame]:
        index = 0
        spare: NDArray[np.uint8] | None = None  # frames nobody wants are read into one buffer
        pending = stream.pending
        while not self._closed and self._next_frame(stream, index):
            pts_s = index / stream.fps if stream.fps else None
            keep = wanted(index, pts_s)
            data = np.empty(stream.frame_bytes, np.uint8) if keep or spare is None else spare
            data[: len(pending)] = np.frombuffer(pending, np.uint8)
            got = len(pending) + len(_read_upto(stream.binary, data.data[len(pending) :]))
            pending = b""
            if got == 0 and not stream.framed:
                break
            if got < len(data):
                raise self._cut_short(index, got, len(data))
            if keep:
                yield self._frame(stream, data, index, pts_s)
            else:
                spare = data
            index += 1
        if index == 0 and not self._closed:
            raise SourceError(f"{self.name} has a header but no frame.", hint="Check the sender.")

    def _next_frame(self, stream: _Stream, index: int) -> bool:
        """Read a y4m frame's header line; False at the end."""
        if not stream.framed:
            return True
        line = stream.binary.readline(MAX_LINE)
        if not line:
            return False
        if not is_frame_header(line):
            raise SourceError(
                f"{self.name}: frame {index} begins with {line[:16]!r} instead of b'FRAME': the "
                "stream is damaged or its size is wrong.",
                hint="The frames before it were delivered. Send it again.",
            )
        return True

    def _frame(
        self, stream: _Stream, data: NDArray[np.uint8], index: int, pts_s: float | None
    ) -> Frame:
        image = stream.layout.arrange(data, stream.width, stream.height)
        planar = stream.layout.pixel_format in (PixelFormat.I420, PixelFormat.NV12)
        return Frame(
            image,
            stream.layout.pixel_format,
            image.shape[1],
            image.shape[0] * 2 // 3 if planar else image.shape[0],
            stream.color,
            index,
            pts_s,
            self.name,
            captured_at=time.perf_counter(),
        )

    def _cut_short(self, index: int, got: int, needed: int) -> SourceError:
        return SourceError(
            f"{self.name} ended inside frame {index}: it had {got} of {needed} bytes.",
            hint="The frames before it were delivered. Check the sender, and size and format.",
        )


def open_pipe_file(
    path: str, open_stream: Callable[[], BinaryIO], declared: Declared
) -> PipeSource:
    """Open a y4m or raw video file; its header is checked now.

    Args:
        path: The file.
        open_stream: Opens it.
        declared: Size, format and rate of raw video.

    Returns:
        The source, with fps and, if frame headers are plain, length.

    Raises:
        SourceError: As from `PipeSource.begin`.
    """
    source = PipeSource(open_stream, path, declared)
    with open_stream() as binary:
        stream = source.begin(binary)
        source.length = _count_frames(binary, stream)
    return source


def _count_frames(binary: BinaryIO, stream: _Stream) -> int | None:
    """Frames that fit into the file, if it is one and the first frame's header is typical."""
    status = os.fstat(binary.fileno())
    if not stat.S_ISREG(status.st_mode):
        return None
    start = binary.tell() - len(stream.pending)
    line = binary.readline(MAX_LINE) if stream.framed else b""
    return (status.st_size - start) // (len(line) + stream.frame_bytes)


def _color(height: int, full_range: bool) -> ColorSpec:
    return ColorSpec("bt709" if height >= HD_HEIGHT else "bt601", full_range)


def _read_upto(binary: BinaryIO, buffer: bytearray | memoryview) -> memoryview:
    """Fill the buffer as far as the stream goes; pipes give a little at a time."""
    view = memoryview(buffer)
    got = 0
    while got < len(view):
        count = binary.readinto(view[got:])  # type: ignore[attr-defined]
        if not count:
            break
        got += count
    return view[:got]
