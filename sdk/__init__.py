"""framescore: no-reference image and video quality scores.

The names below are loaded on first use, so that ``import sdk`` stays cheap and pulls in none of
the heavy packages (OpenCV, OpenVINO, ...).

Example:
    >>> from sdk import Scorer
    >>> with Scorer() as scorer:
    ...     result = scorer.score(frame)  # frame: uint8 BGR [H, W, 3]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import (
        BackendError,
        BundleError,
        FrameError,
        FramescoreError,
        SinkError,
        SourceError,
        UsageError,
    )
    from .frames import ColorSpec, Frame, PixelFormat, as_frame
    from .io import open_source
    from .results import FrameScore, VideoScore
    from .scorer import Scorer

__version__ = "0.1.0"

_HOME = {  # public name -> submodule that defines it
    "BackendError": "errors",
    "BundleError": "errors",
    "FrameError": "errors",
    "FramescoreError": "errors",
    "SinkError": "errors",
    "SourceError": "errors",
    "UsageError": "errors",
    "ColorSpec": "frames",
    "Frame": "frames",
    "PixelFormat": "frames",
    "as_frame": "frames",
    "open_source": "io",
    "FrameScore": "results",
    "VideoScore": "results",
    "Scorer": "scorer",
}

__all__ = [
    "BackendError",
    "BundleError",
    "ColorSpec",
    "Frame",
    "FrameError",
    "FrameScore",
    "FramescoreError",
    "PixelFormat",
    "Scorer",
    "SinkError",
    "SourceError",
    "UsageError",
    "VideoScore",
    "__version__",
    "as_frame",
    "open_source",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next access skips this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
