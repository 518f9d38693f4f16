"""Opinions on pictures, from a table that somebody else wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from sdk.opinions import read_opinions

_NAMED = 3  # names that a message lists


def read_labels(path: Path) -> dict[str, float]:
    """Read a CSV file with a column of pictures and one of opinions.

    Args:
        path: The file, as `sdk.opinions.read_opinions` takes it.

    Returns:
        Opinion by picture, as the file names it.

    Raises:
        UsageError: Unreadable, a column missing, a number that is none, or a picture that comes
            twice.
    """
    return {one.picture: one.value for one in read_opinions(path).rows}


def match_labels(
    labels: Mapping[str, float], names: Sequence[str]
) -> tuple[dict[str, float], list[str]]:
    """Find the label of each picture: by its path in the folder, else its file name, else its stem.

    Args:
        labels: Opinion by picture.
        names: Pictures, as paths relative to their folder.

    Returns:
        Opinion by name, and what has no counterpart, in words.
    """
    found: dict[str, float] = {}
    used: set[str] = set()
    for name in names:
        key = _key(name, labels, names)
        if key is not None:
            found[name] = labels[key]
            used.add(key)
    missing = [name for name in names if name not in found]
    spare = [name for name in labels if name not in used]
    remarks = []
    if missing:
        remarks.append(f"without label: {_some(missing)}")
    if spare:
        remarks.append(f"labels without picture: {_some(spare)}")
    return found, remarks


def _key(name: str, labels: Mapping[str, float], names: Sequence[str]) -> str | None:
    """What the table calls a picture; a file name that two folders share says nothing."""
    path = PurePath(name)
    for key, part in ((name, str), (path.name, _file), (path.stem, _stem)):
        if key in labels and sum(part(other) == key for other in names) == 1:
            return key
    return None


def _file(name: str) -> str:
    return PurePath(name).name


def _stem(name: str) -> str:
    return PurePath(name).stem


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
