"""The one grammar that names every kind of source."""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from ..errors import SourceError, UsageError
from .declared import Declared
from .source import Source
from .suffixes import FLOAT_SUFFIXES, IMAGE_SUFFIXES, RAW_SUFFIXES, Y4M_SUFFIX

GRAMMAR = (
    "an image, a directory of images, a glob such as 'shots/*.png', a video file, "
    "- (y4m or raw video on stdin), rtsp://..., v4l2:///dev/video0, a camera's number, "
    "gst:PIPELINE"
)
_PIPE_HINT = "ffmpeg -i {} -pix_fmt yuv420p -f yuv4mpegpipe - | framescore score -"


def open_source(
    spec: str | int | Path,
    *,
    size: tuple[int, int] | None = None,
    format: str | None = None,
    fps: float | None = None,
) -> Source:
    """Open whatever `spec` names.

    Args:
        spec: An image, a directory, a glob, a video file, "-" for standard input, "rtsp://...",
            "v4l2:///dev/video0", a camera's number, or "gst:<pipeline>". An existing file wins
            over a glob. A file called "0" or "-" is written "./0", "./-"; a Path always means a
            file, directory or glob.
        size: (width, height) of raw video.
        format: Pixel format of raw video: bgr24, rgb24, bgra, rgba, gray, nv12, yuv420p (i420),
            yuyv422, yuv422p, yuv444p.
        fps: Declared rate of raw video, of y4m without a rate, or of images that are frames of a
            sequence; gives `Frame.pts_s`. It does not sample: see `sdk.io.sampling.sample`.

    Returns:
        The source. Files are checked now; cameras, streams and pipes when iteration starts.

    Raises:
        UsageError: size, format or fps that cannot be, or given for a source that knows its own.
        SourceError: Missing, empty, unreadable, of an unknown kind.
    """
    declared = Declared(size, format, fps)
    if isinstance(spec, bool) or not isinstance(spec, (str, int, Path)):
        raise UsageError(
            f"A source is a str, int or Path, not {type(spec).__name__}.", hint=f"Give {GRAMMAR}."
        )
    if isinstance(spec, Path):
        return _open_path(str(spec), declared)
    if spec == "-":
        return _open_stdin(declared)
    live = _open_live(spec)
    if live is None:
        return _open_path(_local_path(str(spec)), declared)
    if declared != Declared():
        raise UsageError(
            f"size, format and fps do not apply to the live source {live.name}.",
            hint="Leave them out: the device tells them.",
        )
    return live


def _open_stdin(declared: Declared) -> Source:
    from .pipe import PipeSource

    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError(
            "Source - is standard input, and nothing is piped into it.",
            hint=f"Pipe video: {_PIPE_HINT.format('INPUT')}",
        )
    return PipeSource(_stdin, "-", declared, once=True)


def _stdin() -> BinaryIO:
    """A reader of its own: a thread blocked in `sys.stdin.buffer` would break the exit."""
    descriptor = sys.stdin.fileno()
    os.set_blocking(descriptor, True)  # some parents hand over a non-blocking pipe
    return open(descriptor, "rb", closefd=False)


def _open_live(spec: str | int) -> Source | None:
    """Open what the grammar calls live; None when it is a path."""
    from . import cameras

    text = str(spec)
    if isinstance(spec, int) or re.fullmatch(r"[0-9]{1,2}", text):
        return cameras.open_camera(int(text))
    scheme = re.match(r"(?i)(rtsps?|v4l2|gst):", text)
    if scheme is None:
        return None
    kind, rest = scheme[1].lower(), text[scheme.end() :]
    if kind == "gst":
        return cameras.open_pipeline(rest.strip())
    if not rest.startswith("//") or not rest.strip("/"):
        raise SourceError(
            f"{text!r} is incomplete.",
            hint="Write rtsp://user:password@host:554/path or v4l2:///dev/video0.",
        )
    return cameras.open_device(rest[2:]) if kind == "v4l2" else cameras.open_stream(text)


def _local_path(text: str) -> str:
    """Accept file:// and refuse other schemes by name."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme is None:
        return text
    if scheme[1].lower() == "file":
        return unquote(text[scheme.end() :].removeprefix("localhost"))
    raise SourceError(
        f"Sources of the kind {scheme[1]}:// are not read; a source is {GRAMMAR}.",
        hint=f"Pipe it: {_PIPE_HINT.format('ADDRESS')}",
    )


def _open_path(path: str, declared: Declared) -> Source:
    if not path:
        raise SourceError(f"The source's name is empty; a source is {GRAMMAR}.")
    mode = _mode(path)
    if mode is None and not glob.has_magic(path):
        raise _missing(path)
    if mode is None or stat.S_ISDIR(mode):
        _refuse_raw_options(path, declared)
        from .images import open_directory, open_glob

        opener = open_glob if mode is None else open_directory
        return opener(path, fps=declared.fps)
    if stat.S_ISCHR(mode):
        from .cameras import open_device

        return open_device(path)
    if stat.S_ISFIFO(mode):
        from .pipe import PipeSource

        return PipeSource(_opener(path), path, declared)
    if not stat.S_ISREG(mode):
        raise SourceError(
            f"{path} is neither a file nor a directory nor a pipe.", hint=f"Give {GRAMMAR}."
        )
    return _open_file(path, declared)


def _open_file(path: str, declared: Declared) -> Source:
    """Open a regular file by its suffix; what is not an image, y4m or raw goes to OpenCV."""
    suffix = Path(path).suffix.lower()
    _refuse_unreadable(path)
    if suffix in (Y4M_SUFFIX, *RAW_SUFFIXES):
        from .pipe import open_pipe_file

        return open_pipe_file(path, _opener(path), declared)
    _refuse_raw_options(path, declared)
    if suffix in (*IMAGE_SUFFIXES, *FLOAT_SUFFIXES):
        from .images import ImageFiles

        return ImageFiles([path], path, fps=declared.fps)
    if declared.fps is not None:
        raise UsageError(
            f"fps declares the rate of raw video and images; {path} carries its own.",
            hint="Leave it out; to score fewer frames, sample them.",
        )
    from .video import VideoFile

    return VideoFile(path)


def _refuse_raw_options(path: str, declared: Declared) -> None:
    if declared.is_raw:
        raise UsageError(
            f"size and format describe raw video ({', '.join(RAW_SUFFIXES)} or -); {path} carries "
            "its own.",
            hint="Leave them out, or pipe the file into: framescore score -",
        )


def _opener(path: str) -> Callable[[], BinaryIO]:
    return lambda: Path(path).open("rb")


def _mode(path: str) -> int | None:
    """The file's mode; None when nothing is there."""
    try:
        return Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # no permission, name too long, NUL in the name
        raise SourceError(
            f"{path!r} cannot be opened: {error}.", hint="Check the name and the permissions."
        ) from error


def _missing(path: str) -> SourceError:
    parent = Path(path).parent
    what = "no such file" if parent.is_dir() else f"there is no directory {str(parent)!r}"
    return SourceError(
        f"{path!r} was not found: {what}. A source is {GRAMMAR}.", hint="Check the spelling."
    )


def _refuse_unreadable(path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    if not first:
        raise SourceError(f"{path} is empty (0 bytes).", hint="Copy or record it again.")
