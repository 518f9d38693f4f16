"""Clean photographs to distort, from folders with an ``index.csv`` (file, split, licence)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from iqa.distortions.kadid import Picture, from_bytes
from sdk.errors import SourceError, UsageError

# Licences that name their terms for the picture itself. Left out: rows whose licence is only the
# repository's and lists that do not say which of several licences holds.
ACCEPTED = ("CC0", "CC-BY", "CC BY", "Public Domain", "Pexels", "Unsplash")
VAGUE = ("per image", "LICENSE.md list")


@dataclass(frozen=True, slots=True)
class Photo:
    """One clean photograph; ``split`` is train or val, by content."""

    path: Path
    split: str
    licence: str

    def read(self) -> Picture:
        """Decode to float32 RGB ``[H, W, 3]``, 0..1."""
        bgr = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise SourceError(f"{self.path} is missing or not a readable image.")
        return from_bytes(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def accepted(licence: str) -> bool:
    """Whether a licence cell names terms under which a model may be trained and shipped."""
    return any(name in licence for name in ACCEPTED) and not any(w in licence for w in VAGUE)


def read_folder(root: Path) -> list[Photo]:
    """All photographs of ``root/index.csv`` under an accepted licence, in the file's order."""
    with (root / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Photo(root / row["file"], row["split"], row["licence"])
        for row in rows
        if accepted(row["licence"])
    ]


def read_folders(folders: Sequence[Path]) -> list[Photo]:
    """The photographs of all folders.

    Raises:
        UsageError: A folder has no index.csv, or that lacks a column.
    """
    photos = []
    for folder in folders:
        try:
            photos += read_folder(folder)
        except (OSError, UnicodeDecodeError, KeyError) as error:
            reason = f"it has no column {error}" if isinstance(error, KeyError) else error
            raise UsageError(
                f"Photographs {folder} cannot be used: {reason}.",
                hint="Give a folder whose index.csv has the columns file, split and licence.",
            ) from error
    return photos
