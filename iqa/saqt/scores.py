"""Human scores of distorted references, by reference, type and level, and their 0-9 form."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdk.errors import UsageError

LEVELS = 5
TOP = 9.0  # transferred labels run from 0 to 9, as published
KODAK = re.compile(r"^kodim(?=\d\d$)")
KADID_NAME = re.compile(r"(?P<reference>I\d+)_(?P<kind>\d+)_(?P<level>\d+)\.\w+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of every reference under every setting, higher better.

    Attributes:
        references: Names, ``[R]``.
        values: ``[R, types, 5]``.
    """

    references: tuple[str, ...]
    values: NDArray[np.float64]

    def rescaled(self) -> Scores:
        """Stretched so that the worst of all is 0 and the best 9, as published."""
        low, high = float(self.values.min()), float(self.values.max())
        return Scores(self.references, TOP * (self.values - low) / (high - low))

    def name_of(self, picture: str) -> str:
        """What these scores call a reference picture: TID2013's I01 to I24 are kodim01 to 24."""
        return picture if picture in self.references else KODAK.sub("I", picture)

    def of(self, references: tuple[str, ...]) -> Scores:
        """The rows of ``references``, in their order.

        Raises:
            UsageError: One has no scores.
        """
        if absent := sorted(set(references) - set(self.references)):
            raise UsageError(f"No scores for the references {', '.join(absent[:6])}.")
        rows = [self.references.index(name) for name in references]
        return Scores(references, self.values[rows])


def read_scores(path: Path) -> Scores:
    """KADID-10k's ``dmos.csv``, or a CSV of reference, distortion_type, level, score.

    KADID's "dmos" is a mean opinion: 1 to 5, higher better. Scores where higher is worse are to be
    turned round before.

    Raises:
        UsageError: The file is missing, has other columns, or lacks settings; named.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream)
            columns, rows = set(table.fieldnames or ()), list(table)
    except OSError as error:
        raise UsageError(f"Scores {path} cannot be read: {error.strerror}.") from error
    if {"dist_img", "dmos"} <= columns:
        found = dict(_kadid_row(path, row) for row in rows)
    elif {"reference", "distortion_type", "level", "score"} <= columns:
        found = {
            (r["reference"], int(r["distortion_type"]), int(r["level"])): float(r["score"])
            for r in rows
        }
    else:
        raise UsageError(
            f"Scores {path} have the columns {', '.join(sorted(columns)) or 'none'}.",
            hint="Give KADID-10k's dmos.csv (dist_img, dmos), or a CSV with reference, "
            "distortion_type, level and score.",
        )
    return _cube(path, found)


def _kadid_row(path: Path, row: dict[str, str]) -> tuple[tuple[str, int, int], float]:
    if (name := KADID_NAME.fullmatch(row["dist_img"])) is None:
        raise UsageError(
            f"Scores {path} name the picture {row['dist_img']!r}.",
            hint="KADID-10k's pictures are named I01_01_01.png: reference, type and level.",
        )
    return (name["reference"], int(name["kind"]), int(name["level"])), float(row["dmos"])


def _cube(path: Path, found: dict[tuple[str, int, int], float]) -> Scores:
    references = tuple(sorted({name for name, _, _ in found}))
    kinds = max((kind for _, kind, _ in found), default=0)
    settings = [
        (name, kind, level)
        for name in references
        for kind in range(1, kinds + 1)
        for level in range(1, LEVELS + 1)
    ]
    if not settings:
        raise UsageError(f"Scores {path} are empty.")
    if absent := [setting for setting in settings if setting not in found]:
        raise UsageError(
            f"Scores {path} lack {len(absent)} settings, the first is {_named(absent[0])}.",
            hint="Every reference needs a score for every type and each of the levels 1 to 5.",
        )
    if odd := sorted(set(found) - set(settings)):
        raise UsageError(
            f"Scores {path} have {_named(odd[0])}; types are 1 or more, levels 1 to 5."
        )
    values = np.array([found[s] for s in settings]).reshape(len(references), kinds, LEVELS)
    return Scores(references, values)


def _named(setting: tuple[str, int, int]) -> str:
    return "{} type {} level {}".format(*setting)
