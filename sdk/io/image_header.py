"""Reads an image's size from its header, so that a giant is refused before it is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO

Size = tuple[int, int]  # width, height

HEAD_BYTES = 65536  # enough for every format but JPEG, whose metadata may precede the size


def image_size(stream: BinaryIO) -> Size | None:
    """Find the size an image file declares: PNG, JPEG, BMP, TIFF, WebP, PNM, JPEG 2000, AVIF.

    Args:
        stream: A seekable binary file; its position is moved.

    Returns:
        (width, height) in pixels, before any EXIF rotation; None when the format is unknown or
        the header is damaged, in which case the decoder has to judge.
    """
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    try:
        if head.startswith(b"\xff\xd8"):
            return _jpeg(stream)
        if head[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(stream, "<" if head.startswith(b"II") else ">")
        for matches, parse in _PARSERS:
            if matches(head):
                return parse(head)
    except (struct.error, ValueError, IndexError):
        return None  # cut short inside the header
    return None


def jpeg_lacks_end(data: bytes) -> bool:
    """Tell whether a JPEG was cut short; OpenCV 4 fills the missing rows with gray.

    Args:
        data: A whole image file of any format.

    Returns:
        True for a JPEG that has a size but no end marker after it.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    stream = BytesIO(data)
    try:
        size = _jpeg(stream)  # a thumbnail's end marker stands before the size
    except (struct.error, ValueError):
        return False
    return size is not None and data.find(b"\xff\xd9", stream.tell()) < 0


def _png(head: bytes) -> Size | None:
    if head[12:16] != b"IHDR":  # must come first
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return width, height


def _bmp(head: bytes) -> Size:
    (header_bytes,) = struct.unpack_from("<I", head, 14)
    if header_bytes == 12:  # OS/2
        width, height = struct.unpack_from("<HH", head, 18)
    else:
        width, height = struct.unpack_from("<ii", head, 18)
    return abs(width), abs(height)  # a negative height means top-down rows


def _webp(head: bytes) -> Size | None:
    kind = head[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(head[24:27], "little") + 1
        height = int.from_bytes(head[27:30], "little") + 1
        return width, height
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _pnm(head: bytes) -> Size | None:
    text = re.sub(rb"#[^\n]*\n", b" ", head[2:1024])  # comments
    fields = text.split()
    return int(fields[0]), int(fields[1])


def _jpeg2000(head: bytes) -> Size | None:
    box = head.find(b"ihdr")
    if box >= 0:  # JP2 container: height first
        height, width = struct.unpack_from(">II", head, box + 4)
        return width, height
    marker = head.find(b"\xff\x51")  # SIZ of a bare code stream
    if marker < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", head, marker + 6)
    return right - left, bottom - top


def _avif(head: bytes) -> Size | None:
    sizes = [struct.unpack_from(">II", head, box.end() + 4) for box in re.finditer(b"ispe", head)]
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None  # largest of its items


def _jpeg(stream: BinaryIO) -> Size | None:
    """Walk the segments up to the frame header (SOF0…SOF15 without DHT, JPG, DAC)."""
    stream.seek(2)
    while True:
        prefix, marker = stream.read(2)
        if prefix != 0xFF:
            return None
        while marker == 0xFF:  # fill bytes
            (marker,) = stream.read(1)
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a body
            continue
        (length,) = struct.unpack(">H", stream.read(2))
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">xHH", stream.read(5))
            return width, height
        if marker in (0xD9, 0xDA) or length < 2:  # picture data before any size
            return None
        stream.seek(length - 2, 1)


def _tiff(stream: BinaryIO, order: str) -> Size | None:
    """Read tags 256 and 257 of the first directory."""
    stream.seek(4)
    (directory,) = struct.unpack(order + "I", stream.read(4))
    stream.seek(directory)
    (entries,) = struct.unpack(order + "H", stream.read(2))
    found: dict[int, int] = {}
    for _ in range(entries):
        tag, kind, _, value = struct.unpack(order + "HHI4s", stream.read(12))
        if tag in (256, 257):
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), value)
    return (found[256], found[257]) if len(found) == 2 else None


_PARSERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Size | None]], ...] = (
    (lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda head: head.startswith(b"BM"), _bmp),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", _webp),
    (lambda head: re.match(rb"P[1-6]\s", head) is not None, _pnm),
    (lambda head: head[4:8] == b"jP  " or head[:4] == b"\xff\x4f\xff\x51", _jpeg2000),
    (lambda head: head[4:8] == b"ftyp" and b"ispe" in head, _avif),
)
