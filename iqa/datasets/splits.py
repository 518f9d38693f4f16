"""Parts of a set that share no content: the set's own, or random ones that a seed decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from iqa.datasets.entry import Entry, RatedSet
from sdk.errors import UsageError

TRAIN_SHARE: Final = 0.8
PARTS: Final = ("all", "train", "val", "test")


def random_part(entries: Sequence[Entry], part: str, seed: int, repeat: int = 0) -> list[int]:
    """Positions of one side of an 80/20 split by content.

    `round(0.8 n)` of the contents train, as published protocols have it. Contents are sorted first,
    so that the split depends on the seed and on names, not on the order of a label file.

    Args:
        entries: All of a set.
        part: "train" or "test".
        seed: Of the whole series.
        repeat: Which split of the series.
    """
    contents = sorted({entry.content for entry in entries})
    order = np.random.default_rng([seed, repeat]).permutation(len(contents))
    train = {contents[i] for i in order[: round(TRAIN_SHARE * len(contents))]}
    return [i for i, entry in enumerate(entries) if (entry.content in train) == (part == "train")]


def choose(rated: RatedSet, part: str, seed: int | None, repeats: int) -> list[list[int]]:
    """Positions to judge, one list a split.

    The set's own split counts where it has one and no random ones are asked for, by a seed or by
    more than one repeat.

    Args:
        rated: The set.
        part: One of `PARTS`; "all" is the whole set, once.
        seed: Of random splits; None where the user gave none.
        repeats: How many.

    Raises:
        UsageError: The set has no such part.
    """
    entries = rated.entries
    if part == "all":
        return [list(range(len(entries)))]
    if seed is None and repeats == 1 and any(entry.split for entry in entries):
        found = [i for i, entry in enumerate(entries) if entry.split == part]
        if not found:
            has = ", ".join(sorted({entry.split for entry in entries if entry.split}))
            raise UsageError(f"{rated.name} has no {part} part of its own; it has {has}.")
        return [found]
    if part == "val":
        raise UsageError(
            f"--split val: {rated.name} defines none, and random splits have train and test only.",
            hint="Use --split test.",
        )
    splits = [random_part(entries, part, seed or 0, repeat) for repeat in range(repeats)]
    if not splits[0]:
        raise UsageError(
            f"{rated.name} has {len({e.content for e in entries})} contents: too few to split."
        )
    return splits
