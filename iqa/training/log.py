"""Losses and validations of a run as CSV, and for TensorBoard where that is asked for."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdk.errors import UsageError


class Log:
    """Rows by step; a run that is resumed drops those past its checkpoint.

    Args:
        folder: Holds ``log.csv``, and ``tensorboard/``.
        names: Columns after the step.
        step: Where the run is.
        tensorboard: Write for TensorBoard too.
    """

    def __init__(self, folder: Path, names: Sequence[str], step: int, tensorboard: bool) -> None:
        path, self.columns = folder / "log.csv", ["step", *names]
        rows = _kept(path, self.columns, step)
        self._stream = path.open("w", newline="", encoding="utf-8")
        self._csv = csv.DictWriter(self._stream, self.columns)
        self._csv.writeheader()
        self._csv.writerows(rows)
        self._stream.flush()
        self._board = _board(folder / "tensorboard", step) if tensorboard else None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row; what is not known stays empty."""
        self._csv.writerow({"step": step, **{n: f"{v:.6g}" for n, v in values.items()}})
        self._stream.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()

    def close(self) -> None:
        """Finish the files."""
        self._stream.close()
        if self._board is not None:
            self._board.close()


def _kept(path: Path, columns: Sequence[str], step: int) -> list[dict[str, str]]:
    """Whole rows up to ``step``; the last may have been cut by a kill."""
    if step == 0 or not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream) if len(row) == len(columns)]
    return [dict(zip(columns, row, strict=True)) for row in rows[1:] if int(row[0]) <= step]


def _board(folder: Path, step: int) -> Any:
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)


def check_tensorboard() -> None:
    """Refuse now what would fail when the first row is written.

    Raises:
        UsageError: The package is not installed.
    """
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise UsageError(
            "--tensorboard needs the package tensorboard, which is not installed.",
            hint="pip install tensorboard, or read log.csv in the work folder.",
        )
