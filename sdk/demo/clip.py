"""Makes the demo clip from its script."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from sdk.demo.degradations import DEGRADATIONS, Picture
from sdk.demo.photographs import load_photograph
from sdk.demo.script import FPS, FRAMES, HEIGHT, WIDTH, Shot, shot_at
from sdk.errors import SinkError

_SEED = 20240607


def render_frames() -> Iterator[Picture]:
    """Yield the frames of the clip, BGR uint8 [HEIGHT, WIDTH, 3]; the same on every machine.

    Raises:
        FramescoreError: The photographs are missing.
    """
    return (render_frame(index) for index in range(FRAMES))


def render_frame(index: int) -> Picture:
    """Return one frame of the clip; raises as `render_frames` does."""
    time_s = index / FPS
    shot = shot_at(time_s)
    frame = _view(_photograph(shot.photograph), shot, time_s)
    rng = np.random.default_rng([_SEED, index])
    for span in shot.spans:
        strength = span.strength(time_s)
        if strength > 0:
            frame = DEGRADATIONS[span.name](frame, strength, rng)
    return frame


def write_clip(path: Path) -> None:
    """Write the clip as Motion JPEG of quality 95, so that the codec adds no fault of its own.

    Args:
        path: The file to write, ending in `.avi`; OpenCV's own encoder writes no other container.

    Raises:
        FramescoreError: The photographs are missing.
        SinkError: The file cannot be written.
    """
    import cv2

    frames = render_frames()
    first = next(frames)  # before the file exists, so that missing photographs leave none behind
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, codec, FPS, (WIDTH, HEIGHT))
    try:
        if not writer.isOpened():
            raise SinkError(
                f"Cannot write {path}.",
                hint="Choose a writable folder on a disk with free space.",
            )
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 95)
        writer.write(first)
        for frame in frames:
            writer.write(frame)
    finally:
        writer.release()


@cache
def _photograph(name: str) -> Picture:
    return load_photograph(name)


def _view(picture: Picture, shot: Shot, time_s: float) -> Picture:
    """What the camera sees: a window that slides and zooms, never enlarging a pixel."""
    import cv2

    height, width = picture.shape[:2]
    x, y, zoom = _camera(shot, time_s)
    widest = min(width / WIDTH, height / HEIGHT)  # photograph pixels for each pixel of the frame
    scale = widest ** (1 - zoom)
    left = x * (width - scale * WIDTH)
    top = y * (height - scale * HEIGHT)
    # Pixel centres lie at half coordinates on both sides.
    shift = (scale - 1) / 2
    window = np.array([[scale, 0, left + shift], [0, scale, top + shift]])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(
        picture, window, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(seen, dtype=np.uint8)


def _camera(shot: Shot, time_s: float) -> tuple[float, float, float]:
    share = (time_s - shot.start_s) / (shot.end_s - shot.start_s)
    eased = share * share * (3 - 2 * share)  # starts and stops gently
    start, end = shot.route
    x, y, zoom = (a + (b - a) * eased for a, b in zip(start, end, strict=True))
    return x, y, zoom
