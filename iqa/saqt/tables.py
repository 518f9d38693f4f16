"""Match and label tables as CSV, and as Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from iqa.saqt.transfer import Matches
from iqa.whole_file import whole_file
from sdk.errors import UsageError

Row = Sequence[str | int | float]
MATCH_COLUMNS = ("source", "rank", "reference", "similarity")
LABEL_COLUMNS = ("source", "distortion_type", "level", "score", "published_file")
# The published tables: of the retrieval script, and of the older one that the loader expects.
PUBLISHED_COLUMNS = (("source_image", "target_reference"), ("kadis", "kadid-10k"))
ROWS_AT_ONCE = 2**16
FOLDER_SIZE = 1000  # sources in a folder of the published layout


def match_rows(matches: Matches) -> Iterator[Row]:
    """One row a match, rank from 1."""
    for source, rows, values in zip(matches.sources, matches.rows, matches.similarity, strict=True):
        for rank, (row, value) in enumerate(zip(rows, values, strict=True), 1):
            yield source, rank, matches.references[row], round(float(value), 6)


def label_rows(sources: Sequence[str], labels: NDArray[np.float64]) -> Iterator[Row]:
    """One row a source, type and level: 125 a source for KADID's settings."""
    for number, (source, cube) in enumerate(zip(sources, labels, strict=True), 1):
        for (kind, level), score in np.ndenumerate(cube):
            name = published_file(number, source, kind + 1, level + 1)
            yield source, kind + 1, level + 1, round(float(score), 6), name


def published_file(number: int, source: str, kind: int, level: int) -> str:
    """Where the published pipeline stores a distorted picture of its source ``number``, from 1."""
    return f"{math.ceil(number / FOLDER_SIZE):03d}/{source}_{kind:02d}_{level:02d}.bmp"


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a ``.csv`` or ``.parquet`` file; a kill leaves the former file whole.

    Raises:
        UsageError: Another ending, or Parquet without pyarrow.
    """
    writers = {".csv": _write_csv, ".parquet": _write_parquet}
    if path.suffix not in writers:
        raise UsageError(f"Table {path} must end in .csv or .parquet.")
    with whole_file(path) as stream:
        writers[path.suffix](stream, columns, rows)


def _write_csv(stream: BinaryIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    text.detach()  # flushed, and left to the caller to close


def _write_parquet(stream: BinaryIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Some rows at a time: 50,000 sources have 6.25 million labels."""
    arrow, parquet = _pyarrow()
    rest = iter(rows)
    some = list(islice(rest, ROWS_AT_ONCE))
    values = list(zip(*some, strict=True)) or [()] * len(columns)
    table = arrow.table(dict(zip(columns, map(list, values), strict=True)))
    with parquet.ParquetWriter(stream, table.schema) as writer:
        writer.write_table(table)
        while some := list(islice(rest, ROWS_AT_ONCE)):
            arrays = [arrow.array(column) for column in zip(*some, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=table.schema))


def read_sources(path: Path) -> list[str]:
    """The sources that a list names: of a table written here, or of a published match table.

    Raises:
        UsageError: The file is missing, empty, or has none of the columns.
    """
    rows = _read_table(path)
    columns = set(rows[0]) if rows else set()
    known = (MATCH_COLUMNS[0], *(source for source, _ in PUBLISHED_COLUMNS))
    for column in known:
        if column in columns:
            return list(dict.fromkeys(_stem(row[column]) for row in rows))
    raise UsageError(
        f"Source list {path} has the columns {', '.join(sorted(columns)) or 'none'}.",
        hint=f"One of {', '.join(known)} must name the pictures.",
    )


def read_matches(path: Path) -> Matches:
    """Matches of a table written here, or of a published one, where similarity counts as 1.

    Raises:
        UsageError: The file is missing, has other columns, or sources with fewer matches.
    """
    rows = _read_table(path)
    columns = set(rows[0]) if rows else set()
    found: dict[str, list[tuple[str, float]]] = {}
    if set(MATCH_COLUMNS) <= columns:
        for row in sorted(rows, key=lambda row: int(row["rank"])):
            match = (str(row["reference"]), float(row["similarity"]))
            found.setdefault(str(row["source"]), []).append(match)
        return _matches(path, found)
    for source, reference in PUBLISHED_COLUMNS:
        if {source, reference} <= columns:
            found = {_stem(row[source]): [(_stem(row[reference]), 1.0)] for row in rows}
            return _matches(path, found)
    raise UsageError(
        f"Match table {path} has the columns {', '.join(sorted(columns)) or 'none'}.",
        hint=f"They should be {', '.join(MATCH_COLUMNS)}.",
    )


def _matches(path: Path, found: dict[str, list[tuple[str, float]]]) -> Matches:
    if len({len(matches) for matches in found.values()}) > 1:
        raise UsageError(f"Match table {path} gives some sources fewer matches than others.")
    references = tuple(sorted({name for matches in found.values() for name, _ in matches}))
    place = {name: row for row, name in enumerate(references)}
    rows = [[place[name] for name, _ in matches] for matches in found.values()]
    values = [[value for _, value in matches] for matches in found.values()]
    return Matches(tuple(found), references, np.array(rows), np.array(values, np.float32))


def _read_table(path: Path) -> list[dict[str, str | int | float]]:
    if not path.is_file():
        raise UsageError(f"Table {path} does not exist.")
    if path.suffix == ".parquet":
        rows: list[dict[str, str | int | float]] = _pyarrow()[1].read_table(path).to_pylist()
        return rows
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _stem(name: object) -> str:
    return Path(str(name)).stem


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed.", hint="pip install pyarrow, or use CSV"
        ) from error
    return pyarrow, parquet
