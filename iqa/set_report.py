"""What a model's scores on one set are worth, as a dictionary for JSON and as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iqa.datasets.entry import Entry, RatedSet, contents_of
from iqa.metrics import FIGURES, Metrics, measure, median_of, plain, within_contents

NAMED = 20  # unreadable pictures that a report lists by name


@dataclass(frozen=True, slots=True)
class SetReport:
    """Figures of one set.

    Attributes:
        rated: The set.
        part: "all", "train", "val" or "test".
        splits: Figures of each split judged.
        within: Mean SROCC inside one content; NaN where none repeats.
        unreadable: Pictures left out because they could not be read.
        predictions: Scores of the pictures judged, over all splits once each.
        opinions: Their opinions.
    """

    rated: RatedSet
    part: str
    splits: tuple[Metrics, ...]
    within: float
    unreadable: tuple[Path, ...]
    predictions: NDArray[np.float64]
    opinions: NDArray[np.float64]

    @property
    def figures(self) -> dict[str, float]:
        """Of the one split, or the median over several."""
        return median_of(self.splits)

    @property
    def pictures(self) -> int:
        """Pictures judged: of the one split, or of all together."""
        return len(self.predictions)

    def remarks(self) -> list[str]:
        """What is wrong with the set or the figures, each said once."""
        said = list(self.rated.remarks())
        if self.unreadable:
            said.append(f"{self.rated.name}: {len(self.unreadable)} unreadable pictures left out")
        found = dict.fromkeys(remark for split in self.splits for remark in split.remarks)
        return said + [f"{self.rated.name}: {remark}" for remark in found]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        out: dict[str, Any] = {
            "set": self.rated.name,
            "scale": self.rated.scale,
            "part": self.part,
            "pictures": self.pictures,
            "unreadable": len(self.unreadable),
            "unreadable_files": [str(path) for path in self.unreadable[:NAMED]],
            "remarks": self.remarks(),
        }
        if not math.isnan(self.within):
            out["srocc_within_contents"] = plain(self.within)
        if len(self.splits) == 1:
            return out | {"figures": self.splits[0].to_dict()}
        return out | {
            "median": {name: plain(value) for name, value in self.figures.items()},
            "range": {name: self.range_of(name) for name in FIGURES},
            "splits": [split.to_dict() for split in self.splits],
        }

    def range_of(self, name: str) -> list[float | None]:
        """Lowest and highest of a figure over the splits."""
        values = [split.values[name] for split in self.splits]
        return [plain(min(values)), plain(max(values))]


def judge(
    rated: RatedSet,
    scores: Mapping[Path, float],
    splits: Sequence[Sequence[int]],
    *,
    part: str,
    seed: int = 0,
    unreadable: Sequence[Path] = (),
) -> SetReport:
    """Figures of a set whose pictures have scores.

    Args:
        rated: The set.
        scores: By path; pictures without one are left out.
        splits: Positions of the entries to judge, one list a split.
        part: What these positions are called.
        seed: Of the bootstrap.
        unreadable: Pictures that should have had a score.
    """
    judged = [
        [rated.entries[i] for i in rows if rated.entries[i].path in scores] for rows in splits
    ]
    contents = rated.contents_repeat
    single = len(judged) == 1
    measured = tuple(
        measure(
            *_pairs(entries, scores),
            contents=contents_of(entries) if contents else None,
            seed=seed,
            bootstrap=single,
        )
        for entries in judged
    )
    every = list({entry.path: entry for entries in judged for entry in entries}.values())
    predictions, opinions = _pairs(every, scores)
    within = within_contents(predictions, opinions, contents_of(every)) if contents else math.nan
    return SetReport(rated, part, measured, within, tuple(unreadable), predictions, opinions)


def _pairs(
    entries: Sequence[Entry], scores: Mapping[Path, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    predictions = np.array([scores[entry.path] for entry in entries], np.float64)
    return predictions, np.array([entry.quality for entry in entries], np.float64)
