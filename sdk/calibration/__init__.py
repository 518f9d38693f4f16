"""Fits a model's scores to one site: from a few dozen opinions, with numpy alone.

The names below are loaded on first use.

Example:
    >>> from sdk import Scorer
    >>> from sdk.calibration import calibrate
    >>> calibrate("labels.csv", scale=(1, 5)).write("site.json")
    >>> scorer = Scorer(calibration="site.json")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .file import Calibration
    from .fit import calibrate

_HOME = {"Calibration": "file", "calibrate": "fit"}

__all__ = ["Calibration", "calibrate"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
