"""Refuse at once what would fail at the end, after minutes or days of work."""

from __future__ import annotations

import os
from pathlib import Path

from sdk.errors import UsageError


def check_outputs(**files: Path | None) -> None:
    """Refuse files that cannot be written.

    Args:
        files: By the name of their option.

    Raises:
        UsageError: One is a folder, has none to lie in, or must not be written.
    """
    for name, path in files.items():
        if path is not None and (obstacle := _obstacle(path)):
            raise UsageError(
                f"--{name} {path}: {obstacle}.",
                hint="Choose a file in an existing, writable folder.",
            )


def check_work(folder: Path) -> None:
    """Refuse a file as the folder that --work names.

    Raises:
        UsageError: It is one.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--work {folder} is a file; it must be a folder.")


def _obstacle(path: Path) -> str:
    folder = path.absolute().parent
    if not os.path.isdir(folder):  # noqa: PTH112 - Path's raises where it may not look
        return f"there is no folder {path.parent}"
    if os.path.isdir(path):  # noqa: PTH112
        return "this is a folder; it must be a file"
    place = path if os.access(path, os.F_OK) else folder
    return "" if os.access(place, os.W_OK) else f"{place} is write-protected"
