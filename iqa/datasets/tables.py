"""Label tables: CSV and Excel files as rows by column name, numbers checked."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from iqa.datasets.xlsx import Cell, read_sheet
from sdk.errors import SourceError

Row = Mapping[str, Cell]


def read_csv(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a CSV file with a header.

    Args:
        path: The file, UTF-8; a byte order mark is skipped.
        columns: Columns that must be there, compared without case; rows have them so spelt, and
            every other column under its own name.

    Raises:
        SourceError: The file cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as CSV: {error}.") from error
    return _by_name(rows, columns, path)


def read_xlsx(path: Path, columns: Sequence[str], sheet: str | None = None) -> list[Row]:
    """The rows of an Excel sheet, from the first line that has the columns.

    Raises:
        SourceError: As for `read_csv`.
    """
    rows = [row for row in read_sheet(path, sheet) if any(cell is not None for cell in row)]
    wanted = {column.casefold() for column in columns}
    titles = (i for i, row in enumerate(rows) if wanted <= {_key(cell) for cell in row})
    return _by_name(rows[next(titles, 0) :], columns, path)


def _key(cell: Cell) -> str:
    return str(cell).strip().casefold()


def _by_name(rows: Sequence[Sequence[Cell]], columns: Sequence[str], path: Path) -> list[Row]:
    header = [str(cell).strip() for cell in rows[0]] if rows else []
    spelt = {column.casefold(): column for column in columns}
    names = [spelt.get(name.casefold(), name) for name in header]
    lost = [column for column in columns if column not in names]
    if lost:
        raise SourceError(
            f"{path} has no column {', '.join(map(repr, lost))}; it has "
            f"{', '.join(map(repr, header)) or 'no line'}.",
            hint="Check that this is the data set's own label file.",
        )
    return [dict(zip(names, row, strict=False)) for row in rows[1:]]


def number(row: Row, column: str, path: Path) -> float:
    """A finite number of a row.

    Raises:
        SourceError: It is none.
    """
    value = row.get(column)
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        first = next(iter(row.values()), None)
        raise SourceError(
            f"{path}: {column} of {first!r} is {value!r}; it must be a finite number.",
            hint="Repair the line, or fetch the file again.",
        )
    return result


def text(row: Row, column: str) -> str:
    """A cell as text; whole numbers without a point, as pictures called 1600 are meant."""
    value = row.get(column)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value).strip()
