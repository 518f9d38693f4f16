"""One rated picture, as every reader gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture and what people thought of it.

    Attributes:
        path: The picture.
        raw: The opinion as the set gives it.
        quality: The same with higher = better, in the set's units: `raw`, or its mirror image
            where the set gives a DMOS.
        reference: Name of the undistorted picture it was made from; None where there is none.
        split: "train", "val" or "test" where the set defines that.
        std: Spread of the opinions where the set gives it, in the units the set gives it in.
        flipped: Whether `raw` is higher for worse pictures.
    """

    path: Path
    raw: float
    quality: float
    reference: str | None = None
    split: str | None = None
    std: float | None = None
    flipped: bool = False

    @property
    def content(self) -> str:
        """What must not stand on both sides of a split: the reference, else the picture."""
        return self.reference or str(self.path)


@dataclass(frozen=True, slots=True)
class RatedSet:
    """The pictures of one set.

    Attributes:
        name: What it is called in reports.
        entries: In the order of the set's label file.
        scale: What the labels are, in words.
        published: Pictures that the set should have; None where nobody can know.
    """

    name: str
    entries: tuple[Entry, ...]
    scale: str
    published: int | None = None

    @property
    def contents_repeat(self) -> bool:
        """Whether several pictures share a content."""
        counts = Counter(entry.content for entry in self.entries)
        return max(counts.values(), default=0) > 1

    def remarks(self) -> list[str]:
        """What whoever reads figures on this set should know."""
        said = []
        if self.published is not None and len(self.entries) != self.published:
            said.append(
                f"{self.name}: the labels name {len(self.entries)} pictures; "
                f"the published set has {self.published}"
            )
        if any(entry.flipped for entry in self.entries):
            said.append(f"{self.name}: labels were turned round, so that higher is better")
        return said


def contents_of(entries: Sequence[Entry]) -> list[str]:
    """The content of each entry."""
    return [entry.content for entry in entries]
