"""Footage to measure with: a camera panning over photographs, with texture and sensor noise.

The photographs are those of the demo, which scikit-image installs. They are small: each is
enlarged two times at most and mirrored beside itself until it fills the picture, and texture at
the scale of single pixels is laid over it, so that codecs and metrics meet detail at every size.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sdk.demo.photographs import load_photograph
from sdk.io import open_source
from sdk.io.sampling import sample

Picture = NDArray[np.uint8]  # BGR [H, W, 3]

FPS = 25
_PHOTOGRAPHS = ("coffee.png", "astronaut.png", "chelsea.png")
_ROW_HEIGHT = 600  # pixels; the photographs are 300 to 512 high
_MARGIN = 0.1  # the scene is that much larger than the picture: room to pan
_TEXTURE = 3.0  # standard deviations in grey levels
_NOISE = 1.5
_JITTER = 64  # pixels by which the sensor's noise is shifted from frame to frame


def write_clip(path: Path, size: tuple[int, int], frames: int) -> None:
    """Write a clip as MPEG-4 part 2, the one codec of MP4 that OpenCV's wheels can write.

    Args:
        path: File to write, ending in .mp4.
        size: (width, height) in pixels.
        frames: Its length.

    Raises:
        RuntimeError: This OpenCV cannot write it.
    """
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, FPS, size)
    if not writer.isOpened():
        raise RuntimeError(
            "OpenCV cannot write MPEG-4 here. Install the wheel, which brings FFmpeg: "
            "pip install opencv-python-headless"
        )
    for picture in pan(size, frames):
        writer.write(picture)
    writer.release()


def decoded(path: Path, count: int) -> list[Picture]:
    """Decode `count` frames, spread over a clip."""
    with open_source(path) as source:
        every = max(1, (source.length or count) // count)
        return [frame.data for frame in sample(source, every=every, limit=count)]


def pan(size: tuple[int, int], frames: int) -> Iterator[Picture]:
    """Yield what a camera sees that moves from one corner of the scene to the other.

    Args:
        size: (width, height) in pixels.
        frames: How many.
    """
    width, height = size
    room_x, room_y = round(width * _MARGIN), round(height * _MARGIN)
    random = np.random.default_rng(0)
    scene = _scene(width + room_x, height + room_y, random)
    noise = _noise(height + _JITTER, width + _JITTER, random)
    for number in range(frames):
        share = number / max(1, frames - 1)
        x, y = round(share * room_x), round(share * room_y)
        left, top = random.integers(0, _JITTER, 2)
        grain = noise[top : top + height, left : left + width]
        view = scene[y : y + height, x : x + width]
        yield np.asarray(cv2.add(view, grain, dtype=cv2.CV_8U), np.uint8)


def _scene(width: int, height: int, random: np.random.Generator) -> Picture:
    rows = -(-height // _ROW_HEIGHT)
    row_height = -(-height // rows)
    strips = [_row(first, width, row_height) for first in range(rows)]
    mosaic = np.concatenate(strips)[:height]
    texture = random.normal(0, _TEXTURE, (height, width)).astype(np.float32)
    for factor in (2, 4):  # coarser octaves
        coarse = random.normal(0, _TEXTURE, (-(-height // factor), -(-width // factor)))
        texture += cv2.resize(coarse.astype(np.float32), (width, height))
    return np.asarray(cv2.add(mosaic, cv2.merge([texture] * 3), dtype=cv2.CV_8U), np.uint8)


def _row(first: int, width: int, height: int) -> Picture:
    """A row of photographs beginning with number `first`, every second round mirrored."""
    count = len(_PHOTOGRAPHS)
    tiles: list[Picture] = []
    for number in islice(cycle(range(2 * count)), first, None):
        picture = load_photograph(_PHOTOGRAPHS[number % count])
        scale = height / picture.shape[0]
        tile = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        tile = tile if number < count else tile[:, ::-1]
        tiles.append(np.asarray(tile[:height], np.uint8))
        if sum(tile.shape[1] for tile in tiles) >= width:
            break
    return np.concatenate(tiles, axis=1)[:, :width]


def _noise(height: int, width: int, random: np.random.Generator) -> NDArray[np.int16]:
    return np.rint(random.normal(0, _NOISE, (height, width, 3))).astype(np.int16)
