from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.io.image_header import image_size, jpeg_lacks_end

IMAGE = np.zeros((37, 91, 3), np.uint8)
SUFFIXES = (".png", ".jpg", ".bmp", ".tiff", ".webp", ".jp2", ".ppm", ".avif")


def encode(suffix: str, *options: int) -> bytes:
    try:
        ok, data = cv2.imencode(suffix, IMAGE, options)
    except cv2.error:
        ok = False
    if not ok:
        pytest.skip(f"this OpenCV writes no {suffix}")
    return data.tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_finds_the_size(suffix: str) -> None:
    assert image_size(BytesIO(encode(suffix))) == (91, 37)


def test_finds_the_size_of_lossless_webp() -> None:
    assert image_size(BytesIO(encode(".webp", cv2.IMWRITE_WEBP_QUALITY, 101))) == (91, 37)


def test_finds_the_size_of_a_jpeg_behind_long_metadata() -> None:
    jpeg = encode(".jpg")
    segment = b"\xff\xe1" + (65535).to_bytes(2, "big") + bytes(65533)
    assert image_size(BytesIO(jpeg[:2] + 3 * segment + jpeg[2:])) == (91, 37)


def test_skips_comments_of_pnm() -> None:
    assert image_size(BytesIO(b"P5\n# 7 8\n91 37\n255\n")) == (91, 37)


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8", b"II*\0", b"\x89PNG\r\n\x1a\n1234"])
def test_unknown_or_cut_headers_have_no_size(data: bytes) -> None:
    assert image_size(BytesIO(data)) is None


@given(
    st.sampled_from(
        (
            *(
                b"",
                b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
                b"\xff\xd8",
                b"BM",
                b"II*\0",
                b"MM\0*",
                b"P6 ",
            ),
            *(b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WEBPVP8L", b"RIFF\0\0\0\0WEBPVP8X"),
            *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"\0\0\0\x0cftypavifispe"),
        )
    ),
    st.binary(max_size=80),
)
def test_any_bytes_give_a_size_or_none(magic: bytes, rest: bytes) -> None:
    size = image_size(BytesIO(magic + rest))
    assert size is None or all(isinstance(side, int) for side in size)
    assert jpeg_lacks_end(magic + rest) in (True, False)


def test_sees_a_jpeg_cut_short_despite_a_thumbnail() -> None:
    jpeg = encode(".jpg")
    thumbnail = b"\xff\xe1" + (2 + len(jpeg)).to_bytes(2, "big") + jpeg
    whole = jpeg[:2] + thumbnail + jpeg[2:]
    assert not jpeg_lacks_end(whole)
    assert not jpeg_lacks_end(whole + b"trailer")
    assert jpeg_lacks_end(whole[:-2])
    assert not jpeg_lacks_end(encode(".png"))
