"""Rated pictures of one's own: any CSV file, its columns named by the user."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from iqa.datasets.entry import Entry, RatedSet
from iqa.datasets.folder import Folder
from iqa.datasets.tables import number, read_csv, text
from sdk.errors import SourceError, UsageError

SPLITS = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a CSV file has what.

    Attributes:
        file: The CSV file, below the set's root.
        image: Column of the pictures' paths, below the root.
        score: Column of the opinions.
        reference: Column of what pictures share that show the same: reference or scene.
        split: Column of train, val or test.
        std: Column of the opinions' spread.
        worse: "higher" where the column is higher for worse pictures, as a DMOS; else "lower".
        only: COLUMN:VALUE of the rows to take; empty for all.
    """

    file: str = "labels.csv"
    image: str = "image"
    score: str = "mos"
    reference: str = ""
    split: str = ""
    std: str = ""
    worse: str = "lower"
    only: str = ""

    @classmethod
    def parse(cls, words: str) -> Columns:
        """Read `file=index.csv,image=file,score=mos`.

        Raises:
            UsageError: A word is not of that form, or its key unknown.
        """
        known = [field.name for field in fields(cls)]
        given = dict(word.partition("=")[::2] for word in words.split(",") if word)
        wrong = [key for key, value in given.items() if key not in known or not value]
        if wrong:
            raise UsageError(
                f"--csv {words!r}: {wrong[0]!r} is not understood; known are "
                f"{', '.join(f'{name}=…' for name in known)}.",
                hint="For example --csv file=index.csv,image=file,score=mos",
            )
        columns = replace(cls(), **given)
        if columns.worse not in ("lower", "higher"):
            raise UsageError(f"--csv worse={columns.worse}; allowed are lower and higher.")
        if columns.only and ":" not in columns.only:
            raise UsageError(f"--csv only={columns.only}; it must be COLUMN:VALUE.")
        return columns


def read_columns(root: Path, columns: Columns) -> RatedSet:
    """The pictures of a CSV file; the set is called as `only` or the folder is.

    Raises:
        SourceError: The file lacks a column or a row, a number is none, or pictures are missing.
    """
    folder = Folder(root, "csv", f"{columns.file} with columns {columns.image},{columns.score}")
    labels = folder.first(columns.file)
    filtered, _, value = columns.only.partition(":")
    optional = (columns.reference, columns.split, columns.std, filtered)
    rows = read_csv(labels, (columns.image, columns.score, *filter(None, optional)))
    if filtered:
        rows = [row for row in rows if text(row, filtered) == value]
    if not rows:
        where = f" whose {filtered} is {value!r}" if filtered else ""
        raise SourceError(f"{labels} has no row{where}.", hint="Check --csv.")
    paths = folder.pictures([text(row, columns.image) for row in rows])
    higher_is_worse = columns.worse == "higher"
    entries = []
    for row, path in zip(rows, paths, strict=True):
        raw = number(row, columns.score, labels)
        split = text(row, columns.split).lower() if columns.split else ""
        entries.append(
            Entry(
                path,
                raw=raw,
                quality=-raw if higher_is_worse else raw,
                reference=(text(row, columns.reference) or None) if columns.reference else None,
                split=SPLITS.get(split, split) or None,
                std=number(row, columns.std, labels) if columns.std else None,
                flipped=higher_is_worse,
            )
        )
    scale = f"minus {columns.score}" if higher_is_worse else columns.score
    return RatedSet(value or root.resolve().name, tuple(entries), scale)
