from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import SourceError
from sdk.io.y4m import is_frame_header, parse_header


def test_reads_all_tags() -> None:
    line = b"YUV4MPEG2 W480 H270 F50:1 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=LIMITED\n"
    header = parse_header(line, "x")
    assert (header.width, header.height, header.fps) == (480, 270, 50.0)
    assert header.layout.name == "yuv420p"
    assert header.full_range is False


def test_defaults() -> None:
    header = parse_header(b"YUV4MPEG2 W64 H48\n", "x")
    assert (header.layout.name, header.fps, header.full_range) == ("yuv420p", None, None)


@pytest.mark.parametrize(
    ("tags", "layout"),
    [
        ("C420mpeg2", "yuv420p"),
        ("C420paldv", "yuv420p"),
        ("C422", "yuv422p"),
        ("C444", "yuv444p"),
        ("Cmono", "gray"),
        ("Cmono XCOLORRANGE=FULL", "gray"),
        ("Cmono XCOLORRANGE=LIMITED", "gray-limited"),
    ],
)
def test_chroma(tags: str, layout: str) -> None:
    assert parse_header(f"YUV4MPEG2 W64 H48 {tags}\n".encode(), "x").layout.name == layout


@pytest.mark.parametrize("chroma", ["420p10", "422p12", "mono16", "411", "444alpha", ""])
def test_other_chroma_is_refused_with_the_command_that_converts(chroma: str) -> None:
    with pytest.raises(SourceError, match=f"chroma C{chroma}; 8-bit") as caught:
        parse_header(f"YUV4MPEG2 W64 H48 C{chroma}\n".encode(), "x")
    assert "ffmpeg -i INPUT -pix_fmt yuv420p" in caught.value.hint


@pytest.mark.parametrize("rate", ["0:0", "25", "25:0", "x:y", ""])
def test_impossible_rates_are_unknown(rate: str) -> None:
    assert parse_header(f"YUV4MPEG2 W64 H48 F{rate}\n".encode(), "x").fps is None


@pytest.mark.parametrize("interlacing", ["Ip", "It", "Ib", "Im", "I?"])
def test_interlaced_is_accepted(interlacing: str) -> None:
    assert parse_header(f"YUV4MPEG2 {interlacing} W64 H48\n".encode(), "x").width == 64


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "first line"),
        (b"YUV4MPEG2 W64 H48", "first line"),  # no line feed
        (b"YUV4MPEG2 H48\n", "W=''"),
        (b"YUV4MPEG2 W64 Hx\n", "H='x'"),
        (b"YUV4MPEG2 W-64 H48\n", "W='-64'"),
        (b"YUV4MPEG2 W0 H48\n", "0x48"),
        (b"YUV4MPEG2 W99999 H48\n", "99999x48"),
        (b"YUV4MPEG2 W30000 H30000\n", "900 megapixels"),
    ],
)
def test_bad_headers(line: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        parse_header(line, "x")


@given(st.binary(max_size=60))
def test_any_bytes_give_a_header_or_a_source_error(rest: bytes) -> None:
    for line in (rest, b"YUV4MPEG2 " + rest + b"\n", b"YUV4MPEG2 W64 H48 " + rest + b"\n"):
        try:
            header = parse_header(line, "x")
        except SourceError:
            continue
        assert header.layout.frame_bytes(header.width, header.height) > 0


@pytest.mark.parametrize(
    ("line", "valid"),
    [
        (b"FRAME\n", True),
        (b"FRAME Ip XNOTE=1\n", True),
        (b"FRAME", False),
        (b"FRAMES\n", False),
        (b"\x10\x10\n", False),
        (b"", False),
    ],
)
def test_frame_headers(line: bytes, valid: bool) -> None:
    assert is_frame_header(line) is valid
