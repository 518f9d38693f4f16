from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sdk.errors import SourceError
from sdk.frames import PixelFormat
from sdk.io import open_source
from sdk.io.images import natural_key, read_image

Picture = NDArray[np.uint8]


def write(path: Path, image: NDArray[np.generic]) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def big_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg_with_orientation(image: Picture, orientation: int) -> bytes:
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg[2:]


def test_single_image(tmp_path: Path, picture: Picture) -> None:
    path = write(tmp_path / "one.png", picture)
    with open_source(path) as source:
        frames = list(source)
        assert (source.length, source.fps, source.live, source.dropped) == (1, None, False, 0)
        assert len(list(source)) == 1  # files can be read again
    frame = frames[0]
    assert np.array_equal(frame.data, picture)
    assert frame.pixel_format is PixelFormat.BGR
    assert (frame.width, frame.height, frame.index, frame.pts_s) == (80, 60, 0, None)
    assert frame.source == str(path)
    assert frame.captured_at is not None


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_alpha_is_dropped(tmp_path: Path, picture: Picture, suffix: str) -> None:
    alpha = np.full((60, 80, 1), 128, np.uint8)
    path = tmp_path / f"alpha{suffix}"
    cv2.imwrite(str(path), np.dstack([picture, alpha]), [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert np.array_equal(read_image(str(path)), picture)


def test_gray_is_repeated_in_three_channels(tmp_path: Path, picture: Picture) -> None:
    path = write(tmp_path / "gray.png", picture[..., 0])
    assert np.array_equal(read_image(str(path)), picture[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_reduced_to_their_high_byte(tmp_path: Path, suffix: str) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (40, 50, 3), dtype=np.uint16)
    path = write(tmp_path / f"deep{suffix}", deep)
    assert np.array_equal(read_image(str(path)), (deep >> 8).astype(np.uint8))


def test_12_bits_in_16_are_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "deep.png", np.full((40, 50), 4000, np.uint16))
    with caplog.at_level(logging.WARNING, "framescore"):
        read_image(str(path))
    assert "peak at 4000" in caplog.text


def test_exif_orientation_is_respected(tmp_path: Path, picture: Picture) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg_with_orientation(picture, 6))  # turn by 90 degrees clockwise
    turned = read_image(str(path))
    assert turned.shape == (80, 60, 3)
    upright = cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR)
    assert np.array_equal(turned, cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE))


def test_float_tiff_is_refused(tmp_path: Path, picture: Picture) -> None:
    path = write(tmp_path / "float.tiff", picture.astype(np.float32) / 255)
    with pytest.raises(SourceError, match=r"float32.*8 or 16 unsigned bits"):
        read_image(str(path))


@pytest.mark.parametrize("suffix", [".exr", ".hdr", ".pfm"])
def test_float_formats_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep{suffix}"
    path.write_bytes(b"v/1\x01")
    with pytest.raises(SourceError, match="float samples"), open_source(path) as source:
        next(iter(source))


def test_giant_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "giant.png"
    path.write_bytes(big_png(20000, 20000))  # without pixels: decoding it could only fail
    with pytest.raises(SourceError, match="20000x20000, 400 megapixels; at most 200"):
        read_image(str(path))


def test_tiny_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(SourceError, match="1x1; each side must be 32 to 32768"):
        read_image(str(path))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp", ".ppm"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_cut_image_is_refused(tmp_path: Path, picture: Picture, suffix: str, share: float) -> None:
    data = cv2.imencode(suffix, picture)[1].tobytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(SourceError, match="cannot be decoded"):
        read_image(str(path))


def test_text_named_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_text("not a picture\n")
    with pytest.raises(SourceError, match=r"begins with b'not a pictur'"):
        read_image(str(path))


def test_empty_and_missing_images(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(SourceError, match="empty"):
        open_source(tmp_path / "empty.png")
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        read_image(str(tmp_path / "gone.png"))


def test_directory_in_natural_order_with_mixed_sizes(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        write(tmp_path / f"shot{number}.PNG", np.full((40, 40 + number, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    write(tmp_path / ".hidden.png", np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "deeper.png").mkdir()
    with open_source(tmp_path, fps=10) as source:
        assert source.length == 3
        frames = list(source)
    assert [frame.width for frame in frames] == [41, 42, 50]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.pts_s for frame in frames] == [0.0, 0.1, 0.2]
    assert Path(frames[2].source).name == "shot10.PNG"


def test_damaged_image_does_not_stop_the_others(
    tmp_path: Path, picture: Picture, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.png", picture)
    (tmp_path / "b.png").write_bytes(b"damaged")
    write(tmp_path / "c.png", picture)
    delivered = []
    with (
        pytest.raises(SourceError, match=r"1 of 3 images .*b\.png.*[^.]\. The others"),
        open_source(tmp_path) as source,
    ):
        delivered.extend(frame.index for frame in source)
    assert delivered == [0, 2]
    assert "b.png" in caplog.text


def test_unwanted_images_are_not_opened(tmp_path: Path, picture: Picture) -> None:
    (tmp_path / "a.png").write_bytes(b"damaged")
    write(tmp_path / "b.png", picture)
    with open_source(tmp_path) as source:
        assert [frame.index for frame in source.select(lambda index, _: index == 1)] == [1]


def test_directory_without_images(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file was found"):
        open_source(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"holds no image but 1 \.mp4") as caught:
        open_source(tmp_path)
    assert "videos one by one" in caught.value.hint


def test_glob(tmp_path: Path, picture: Picture) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("x1.png", "x2.jpg", "y1.png", "deep/er/x3.png"):
        write(tmp_path / name, picture)

    def names(pattern: str) -> list[str]:
        with open_source(f"{tmp_path}/{pattern}") as source:
            return [Path(frame.source).name for frame in source]

    assert names("*.png") == ["x1.png", "y1.png"]
    assert names("x?.*") == ["x1.png", "x2.jpg"]
    assert names("[y]1.png") == ["y1.png"]
    assert names("**/*.png") == ["x3.png", "x1.png", "y1.png"]
    with pytest.raises(SourceError, match="no file was found"):
        open_source(f"{tmp_path}/*.bmp")


def test_file_with_brackets_in_its_name_wins_over_the_pattern(
    tmp_path: Path, picture: Picture
) -> None:
    write(tmp_path / "a[1].png", picture)
    write(tmp_path / "a1.png", picture[:40])
    with open_source(str(tmp_path / "a[1].png")) as source:
        assert [frame.height for frame in source] == [60]


def test_natural_order() -> None:
    names = ["b/1.png", "a10.png", "a2.png", "A3.png", "a02.png", "a.png"]
    assert sorted(names, key=natural_key) == [
        "a.png",
        "a02.png",
        "a2.png",
        "A3.png",
        "a10.png",
        "b/1.png",
    ]


@given(st.lists(st.text(min_size=1, max_size=8).filter(lambda name: "/" not in name), max_size=6))
def test_natural_order_does_not_depend_on_the_order_found(names: list[str]) -> None:
    backwards = sorted(names, reverse=True)
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


@pytest.mark.parametrize(
    "pattern", ["**/*.png", "**", "top/**/*.png", "top/**", "t*/**/**/shot?.png"]
)
def test_double_star_spans_directories_but_no_links(
    tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    deep = tmp_path / "top" / "in[1]" / "deep"
    deep.mkdir(parents=True)
    write(tmp_path / "top" / "shot2.png", picture)
    write(deep / "shot1.png", picture)
    for name in ("loop", "again"):  # two loops: following them would never end
        (tmp_path / "top" / name).symlink_to(tmp_path / "top", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for prefix in ("", f"{tmp_path}/"):
        with open_source(prefix + pattern) as source:
            names = sorted(frame.source for frame in source)
        assert names == [f"{prefix}top/in[1]/deep/shot1.png", f"{prefix}top/shot2.png"]
