"""Sources of frames: images, videos, pipes, cameras and streams, by one grammar."""

from __future__ import annotations

from .source import Source, open_source

__all__ = ["Source", "open_source"]
