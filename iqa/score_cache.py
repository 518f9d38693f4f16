"""Scores that were computed once are kept, so that a run that was killed goes on where it stopped.

A line of the cache says which model, runtime and arithmetic scored which bytes. A picture is known
by its contents, whatever it is called and wherever it lies.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from sdk.errors import SinkError, SourceError

COLUMNS: Final = ("model", "backend", "precision", "sha256", "bytes", "score", "file")
CHUNK: Final = 2**20


class Key(NamedTuple):
    """What a score depends on, as it stands in the file."""

    model: str
    backend: str
    precision: str
    sha256: str
    bytes: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Which scorer computes: digest of the bundle, backend, precision."""

    model: str
    backend: str
    precision: str

    def key(self, path: Path) -> Key:
        """The key of a picture.

        Raises:
            SourceError: It cannot be read.
        """
        digest = hashlib.sha256()
        size = 0
        try:
            with path.open("rb") as file:
                while data := file.read(CHUNK):
                    digest.update(data)
                    size += len(data)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
        return Key(self.model, self.backend, self.precision, digest.hexdigest(), str(size))


class ScoreCache:
    """A CSV file that grows by a line a score.

    Args:
        path: The file; it and its folder are made where they are not there.

    Attributes:
        scores: What is known, by key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scores = dict(_read(path))

    @contextmanager
    def appending(self) -> Iterator[Appender]:
        """Open the file for more scores; each is on disk before the next is computed.

        Raises:
            SinkError: The file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as raw:  # a line cut short by a kill gets its end
                start = raw.seek(0, os.SEEK_END)
                raw.seek(max(start - 1, 0))
                torn = raw.read(1) not in (b"", b"\n")
            with self.path.open("a", newline="", encoding="utf-8") as stream:
                if torn:
                    stream.write("\n")
                appender = Appender(stream, self.scores)
                if not start:
                    appender.write_row(COLUMNS)
                yield appender
        except OSError as error:
            if isinstance(error, (SinkError, SourceError)):
                raise
            raise SinkError(
                f"Cannot write {self.path}: {error.strerror or error}.",
                hint="Choose a file in a writable folder: --cache FILE",
            ) from error


class Appender:
    """Writes scores to an open cache."""

    def __init__(self, stream: TextIO, scores: dict[Key, float]) -> None:
        self._stream = stream
        self._rows = csv.writer(stream, lineterminator="\n")
        self._scores = scores

    def write_row(self, row: tuple[str, ...]) -> None:
        """Append a line and hand it to the system."""
        self._rows.writerow(row)
        self._stream.flush()

    def add(self, key: Key, score: float, name: str) -> None:
        """Keep a score, to its last bit."""
        self._scores[key] = score
        self.write_row((*key, repr(score), name))


def _read(path: Path) -> Iterator[tuple[Key, float]]:
    """The whole lines of a cache; those that a kill or a hand spoilt are passed over."""
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        for row in csv.reader(
            line.replace("\0", "") for line in stream
        ):  # Python 3.10 stops at NUL
            if len(row) != len(COLUMNS) or len(row[3]) != hashlib.sha256().digest_size * 2:
                continue
            try:
                score = float(row[5])
            except ValueError:
                continue
            if math.isfinite(score):
                yield Key(*row[:5]), score
