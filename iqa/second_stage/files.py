"""Text that a second stage leaves beside the weights: figures, a page, the export's description."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdk.errors import SinkError, UsageError


def read_text(what: str, path: Path) -> str:
    """The text of a file that is called ``what``.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} {path} cannot be used: {error}.") from error


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        SinkError: It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Choose a path in an existing, writable folder on a disk with free space.",
        ) from error


def write_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Write an object with indentation; raises as :func:`write_text` does."""
    write_text(path, json.dumps(fields, indent=2, ensure_ascii=False) + "\n")
