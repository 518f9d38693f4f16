"""Opinions on pictures, from a table that somebody else wrote."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from sdk.errors import UsageError

PICTURE_COLUMNS: Final = ("picture", "file", "filename", "name", "image")
LABEL_COLUMNS: Final = ("mos", "score", "label", "dmos")

_NAMED = 3  # names that a message lists


def read_labels(path: Path) -> dict[str, float]:
    """Read a CSV file with a column of pictures and one of opinions.

    Args:
        path: The file, with a header: one of `PICTURE_COLUMNS` and one of `LABEL_COLUMNS`, the
            first of each counts; further columns are ignored.

    Returns:
        Opinion by picture, as the file names it.

    Raises:
        UsageError: Unreadable, a column missing, a number that is none, or a picture that comes
            twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"Labels {path} cannot be read: {reason}.") from error
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    header = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    picture = _column(path, header, "pictures", PICTURE_COLUMNS)
    label = _column(path, header, "opinions", LABEL_COLUMNS)
    labels: dict[str, float] = {}
    for row in rows:
        name = (row[picture] or "").strip()
        if name in labels:
            raise UsageError(f"Labels {path}, line {rows.line_num}: {name!r} comes twice.")
        labels[name] = _number(row[label], f"Labels {path}, line {rows.line_num}")
    return labels


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


def _column(path: Path, header: Mapping[str, str], what: str, allowed: Sequence[str]) -> str:
    for name in allowed:
        if name in header:
            return header[name]
    raise UsageError(
        f"Labels {path} have no column of {what}; its columns are "
        f"{', '.join(header) or 'none'}, allowed are {', '.join(allowed)}.",
        hint="Give a CSV file whose first line names the columns, for example: picture,mos",
    )


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    raise UsageError(f"{where}: the opinion is {text!r}; it must be a number.")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
