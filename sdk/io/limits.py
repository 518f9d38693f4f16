"""The frame sizes that sources deliver."""

from __future__ import annotations

from ..errors import SourceError
from ..frames import MAX_SIDE, MIN_SIDE

MAX_PIXELS = 200_000_000  # 600 MB as BGR; a 20,000 x 20,000 image is twice that


def check_size(width: int, height: int, name: str) -> None:
    """Refuse sizes that no frame can have, before memory is taken for them.

    Args:
        width: Pixels a row.
        height: Rows.
        name: Of the source, for the message.

    Raises:
        SourceError: A side below 32 or above 32768, or more than 200 megapixels.
    """
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
        raise SourceError(
            f"{name} is {width}x{height}; each side must be {MIN_SIDE} to {MAX_SIDE} pixels.",
            hint="Check the size, or rescale the source first.",
        )
    if width * height > MAX_PIXELS:
        raise SourceError(
            f"{name} is {width}x{height}, {width * height / 1e6:.0f} megapixels; at most "
            f"{MAX_PIXELS // 10**6} are decoded.",
            hint="Scale or crop it first, for example: ffmpeg -i INPUT -vf scale=4096:-2 OUTPUT",
        )
