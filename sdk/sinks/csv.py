"""A tidy table: one row for each frame as it is scored, the keys of the JSON flattened."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from sdk.manifest import LABELS
from sdk.results import FrameScore, VideoScore
from sdk.sinks.output import OutputOwner

_LATENCY: Final = ("queue", "pre", "infer", "post", "total")
COLUMNS: Final = (
    "schema",
    "source",
    "frame_index",
    "pts_s",
    "score",
    "mos",
    "sigma",
    "abstain",
    *(f"latency_ms.{part}" for part in _LATENCY),
    "dropped",
    "model",
    "backend",
    "precision",
)
"""Columns of every file, in order; `distortions.<label>`, `uncertainty.<label>` and
`scenes.<label>` for each of the model's labels follow."""


class CsvSink(OutputOwner):
    """Writes a header and a row for each frame; a value that is missing is an empty cell.

    The columns never change within a file. Summaries have no place in a tidy table: read them
    from JSONL or pool the column `score`.
    """

    def __init__(self, target: str | Path | TextIO | None = None) -> None:
        super().__init__(target)
        self._columns: list[str] = []

    def append(self, score: FrameScore) -> None:
        """Write the row of one frame, after the header if it is the first."""
        cells = _flatten(score.to_dict())
        if not self._columns:
            self._write_header(score)
        self._write_row([_text(cells.get(column)) for column in self._columns])

    def finish(self, videos: Sequence[VideoScore]) -> None:  # noqa: ARG002 (see the class)
        """Write the header if there was no frame: an empty table is still a table."""
        if not self._columns:
            self._write_header(None)

    def _write_header(self, score: FrameScore | None) -> None:
        self._columns = [*COLUMNS]
        if score is not None:
            for group in LABELS:
                self._columns += [f"{group}.{label}" for label in getattr(score, group)]
        self._write_row(self._columns)

    def _write_row(self, cells: Sequence[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._output.write(line.getvalue())


def _flatten(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
