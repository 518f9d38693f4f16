"""What the user declares about a source that cannot say it by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UsageError
from .layout import RAW_FORMATS


@dataclass(frozen=True, slots=True)
class Declared:
    """Size, pixel format and rate of raw video; the rate also of image sequences.

    Attributes:
        size: (width, height) in pixels.
        format: A key of `RAW_FORMATS`.
        fps: Frames a second.

    Raises:
        UsageError: A value that cannot be.
    """

    size: tuple[int, int] | None = None
    format: str | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not _is_size(self.size):
            raise UsageError(
                f"Frame size is {self.size!r}; it must be two positive integers: width, height."
            )
        if self.format is not None and self.format not in RAW_FORMATS:
            raise UsageError(
                f"Raw video format is {self.format!r}; allowed are {', '.join(RAW_FORMATS)}.",
                hint="Convert it: ffmpeg -i INPUT -pix_fmt bgr24 -f rawvideo -",
            )
        if self.fps is not None and not 0 < self.fps <= 1e6:
            raise UsageError(f"fps is {self.fps!r}; it must be frames a second, above 0.")

    @property
    def is_raw(self) -> bool:
        """Whether anything was said that only raw video needs."""
        return self.size is not None or self.format is not None


def _is_size(size: Sequence[float]) -> bool:
    return len(size) == 2 and all(int(side) == side and side > 0 for side in size)
