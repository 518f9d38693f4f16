"""The YUV4MPEG2 (y4m) stream header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from ..errors import SourceError
from .layout import LAYOUTS, Layout
from .limits import check_size

MAGIC = b"YUV4MPEG2"
MAX_LINE = 4096  # header lines are short; a longer one is garbage
FIX_CHROMA = "Convert it: ffmpeg -i INPUT -pix_fmt yuv420p -f yuv4mpegpipe -"

_CHROMA = {
    "420": "yuv420p",
    "420jpeg": "yuv420p",  # the suffix says where chroma samples sit, half a pixel at most
    "420mpeg2": "yuv420p",
    "420paldv": "yuv420p",
    "422": "yuv422p",
    "444": "yuv444p",
    "mono": "gray",
}


@dataclass(frozen=True, slots=True)
class Y4mHeader:
    """What a y4m stream says about its frames.

    Attributes:
        width: Luma columns.
        height: Luma rows.
        layout: Of one frame's bytes.
        fps: Frames a second; None when the header doesn't say.
        full_range: From XCOLORRANGE; None when absent (video is then limited, mono full).
    """

    width: int
    height: int
    layout: Layout
    fps: float | None
    full_range: bool | None


def parse_header(line: bytes, name: str) -> Y4mHeader:
    """Parse the first line of a y4m stream.

    Tags I (interlacing) and A (pixel aspect) are accepted and unused: fields are scored as the
    frames that hold them. Unknown tags are skipped, as the format demands.

    Args:
        line: From "YUV4MPEG2" to the line feed.
        name: Of the source, for messages.

    Returns:
        The header.

    Raises:
        SourceError: Not a y4m header, no size, an impossible size, or chroma that isn't 8-bit
            4:2:0, 4:2:2, 4:4:4 or mono.
    """
    if not line.startswith(MAGIC) or not line.endswith(b"\n"):
        _refuse(name, f"its first line is {line[:40]!r}, not a YUV4MPEG2 header")
    words = line[len(MAGIC) :].decode("ascii", "replace").split()
    tags = {word[0]: word[1:] for word in words if word[0] != "X"}
    extensions = dict(word[1:].partition("=")[::2] for word in words if word[0] == "X")
    width, height = _side(tags, "W", name), _side(tags, "H", name)
    check_size(width, height, name)
    full_range = {"FULL": True, "LIMITED": False}.get(extensions.get("COLORRANGE", "").upper())
    chroma = tags.get("C", "420")
    if chroma not in _CHROMA:
        raise SourceError(
            f"{name} is y4m with chroma C{chroma[:20]}; 8-bit {', '.join(_CHROMA)} are read.",
            hint=FIX_CHROMA,
        )
    layout = _CHROMA[chroma]
    if layout == "gray" and full_range is False:
        layout = "gray-limited"
    return Y4mHeader(width, height, LAYOUTS[layout], _rate(tags.get("F", "")), full_range)


def is_frame_header(line: bytes) -> bool:
    """Tell whether a line starts a frame: "FRAME", optionally with parameters."""
    return re.match(rb"FRAME[ \n]", line) is not None and line.endswith(b"\n")


def _side(tags: dict[str, str], tag: str, name: str) -> int:
    text = tags.get(tag, "")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        _refuse(name, f"its header gives {tag}={text[:20]!r}, not a number of pixels")
    return int(text)


def _rate(text: str) -> float | None:
    found = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
    if not found or 0 in (int(found[1]), int(found[2])):
        return None
    return int(found[1]) / int(found[2])


def _refuse(name: str, reason: str) -> NoReturn:
    raise SourceError(
        f"{name} is not readable y4m: {reason}.",
        hint="Write it with: ffmpeg -i INPUT -pix_fmt yuv420p -f yuv4mpegpipe -",
    )
