"""Opinions on pictures, from a table that somebody else wrote."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdk.errors import UsageError

PICTURE_COLUMNS: Final = ("picture", "file", "filename", "name", "image")
OPINION_COLUMNS: Final = ("mos", "score", "label", "dmos")
CONTENT_COLUMNS: Final = ("content", "scene", "group", "reference")

_NUMBER: Final = r"[-+]?\d+(?:\.\d+)?"
_SCALE: Final = re.compile(rf"\s*[\[(]?\s*({_NUMBER})\s*(?::|–|\.\.)\s*({_NUMBER})\s*[\])]?$")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What people thought of one picture.

    Attributes:
        picture: The picture, as the table names it.
        value: The opinion, on the scale of the table.
        content: What the picture shows, empty where the table does not say.
        line: Its line in the table.
    """

    picture: str
    value: float
    content: str
    line: int


@dataclass(frozen=True, slots=True)
class Opinions:
    """A table of opinions.

    Attributes:
        rows: Its rows in order; no picture comes twice.
        scale: (worst, best) if the header says so, as `mos[1:5]` does.
    """

    rows: tuple[Opinion, ...]
    scale: tuple[float, float] | None


def read_opinions(path: Path) -> Opinions:
    """Read a CSV file with a column of pictures and one of opinions.

    Args:
        path: The file, with a header: one of `PICTURE_COLUMNS` and one of `OPINION_COLUMNS`, the
            latter perhaps with its scale, worst first: `mos[1:5]`. One of `CONTENT_COLUMNS` may be
            there. The first of each counts; further columns are ignored.

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
    try:
        header = {_plain(name or ""): name for name in reversed(rows.fieldnames or ())}
        picture = _column(path, header, "pictures", PICTURE_COLUMNS)
        opinion = _column(path, header, "opinions", OPINION_COLUMNS)
        content = next((header[name] for name in CONTENT_COLUMNS if name in header), None)
        found: dict[str, Opinion] = {}
        for row in rows:
            one = _read_row(row, picture, opinion, content, f"Labels {path}", rows.line_num)
            if one.picture in found:
                raise UsageError(
                    f"Labels {path}, line {one.line}: {one.picture!r} comes twice; it stands in "
                    f"line {found[one.picture].line}, too.",
                    hint="Give each picture one opinion: the mean of all who judged it.",
                )
            found[one.picture] = one
    except csv.Error as error:
        raise UsageError(f"Labels {path}, line {rows.line_num}: {error}.") from error
    return Opinions(tuple(found.values()), _scale_in(opinion))


def parse_scale(text: str, what: str = "--scale") -> tuple[float, float]:
    """Read "1:5", worst first; "5:1" or "100:0" is a scale on which lower is better.

    Raises:
        UsageError: It is something else, or the two are equal.
    """
    match = _SCALE.fullmatch(text)
    worst, best = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if worst == best:
        raise UsageError(
            f"{what} is {text!r}; allowed is WORST:BEST, two different numbers.",
            hint="For example 1:5 for mean opinion scores, 100:0 for DMOS.",
        )
    return worst, best


def _read_row(
    row: Mapping[str | None, str | None],
    picture: str,
    opinion: str,
    content: str | None,
    table: str,
    line: int,
) -> Opinion:
    name = (row[picture] or "").strip()
    shown = (row[content] or "").strip() if content is not None else ""
    return Opinion(name, _number(row[opinion], f"{table}, line {line}"), shown, line)


def _plain(name: str) -> str:
    """A column's name without spaces, case and scale."""
    return _SCALE.sub("", name.strip()).strip().lower()


def _scale_in(name: str) -> tuple[float, float] | None:
    match = _SCALE.search(name.strip())
    return None if match is None else parse_scale(match[0], f"The scale of the column {name!r}")


def _column(path: Path, header: dict[str, str], what: str, allowed: Sequence[str]) -> str:
    for name in allowed:
        if name in header:
            return header[name]
    raise UsageError(
        f"Labels {path} have no column of {what}; its columns are "
        f"{', '.join(reversed(header)) or 'none'}, allowed are {', '.join(allowed)}.",
        hint="Give a CSV file whose first line names the columns, for example: picture,mos",
    )


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    raise UsageError(
        f"{where}: the opinion is {text!r}; it must be a number.",
        hint="Leave out pictures that nobody has judged.",
    )
