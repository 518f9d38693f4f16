"""Sources of frames: images, videos, pipes, cameras and streams, by one grammar."""

from __future__ import annotations

from .grammar import open_source
from .source import Source

__all__ = ["Source", "open_source"]
