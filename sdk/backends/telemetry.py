"""OpenVINO without its telemetry.

Importing openvino sends an event to Google Analytics and keeps a client id and a count of uses in
the home directory, unless the package openvino_telemetry cannot be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_REPORTER: Final = "openvino_telemetry"


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Hide the package that reports while openvino is imported; openvino has a stub for it.

    A program that has imported it on its own keeps it.
    """
    modules: dict[str, Any] = sys.modules  # None, which hides a module, is not in its type
    if _REPORTER in modules:
        yield
        return
    modules[_REPORTER] = None
    try:
        yield
    finally:
        modules.pop(_REPORTER, None)
