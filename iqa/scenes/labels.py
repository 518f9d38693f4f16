"""Which scenes photographs show, as people said in a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdk.errors import UsageError

LIQE = (
    "animal", "cityscape", "human", "indoor scene", "landscape", "night scene", "plant",
    "still life", "others",
)  # fmt: skip
COLUMNS = ("file", "scene")
BETWEEN = ";"  # in a cell, between scenes that a photograph shows at once
FEWEST = 2  # scenes
_FORMAT = "Needed is a CSV with the columns file and scene, for example: a.jpg,landscape"

Scenes = Mapping[str, tuple[str, ...]]


def read_scenes(tables: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """Scenes by file name, from CSV tables with the columns ``file`` and ``scene``.

    A cell has one scene, or several with ``;`` between; an empty one leaves its photograph out.

    Raises:
        UsageError: A table cannot be read, lacks a column, or contradicts another.
    """
    found: dict[str, tuple[str, ...]] = {}
    for table in tables:
        for file, scenes in _rows(table).items():
            if found.setdefault(file, scenes) != scenes:
                raise UsageError(
                    f"Scenes of {file} are {', '.join(found[file])} and in {table} "
                    f"{', '.join(scenes)}.",
                    hint="Name a photograph once, or give it the same scenes.",
                )
    return found


def scene_names(scenes: Scenes) -> tuple[str, ...]:
    """Every scene that occurs: LIQE's in its order if all are LIQE's, otherwise by alphabet.

    Raises:
        UsageError: There are fewer than two.
    """
    names = {name for some in scenes.values() for name in some}
    if len(names) < FEWEST:
        raise UsageError(
            f"The photographs show {len(names)} scene{'' if len(names) == 1 else 's'}"
            f"{''.join(f', {name!r}' for name in names)}; to tell scenes apart takes at least "
            f"{FEWEST}.",
            hint="Fill the column scene of the photographs' index.csv, or give --scenes FILE.",
        )
    return tuple(n for n in LIQE if n in names) if names <= set(LIQE) else tuple(sorted(names))


def as_matrix(scenes: Sequence[Sequence[str]], names: Sequence[str]) -> NDArray[np.float32]:
    """1 where a row's scenes hold ``names``, ``[N, S]``."""
    return np.array([[name in some for name in names] for some in scenes], np.float32)


def _rows(table: Path) -> dict[str, tuple[str, ...]]:
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            rows = [] if missing else [(row["file"], row["scene"] or "") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"Scenes {table} cannot be used: {error}.", hint=_FORMAT) from error
    if missing:
        raise UsageError(
            f"Scenes {table} cannot be used: it has no column {missing[0]!r}.", hint=_FORMAT
        )
    cells = {file: tuple(part.strip() for part in cell.split(BETWEEN)) for file, cell in rows}
    return {file: kept for file, cell in cells.items() if (kept := tuple(filter(None, cell)))}
