from __future__ import annotations

from pathlib import Path

import pytest

from iqa.datasets.entry import Entry, RatedSet
from iqa.datasets.splits import choose, random_part
from sdk.errors import UsageError


def entries(references: int, each: int) -> list[Entry]:
    return [
        Entry(Path(f"{r}_{i}.png"), r, r, reference=f"r{r:02d}")
        for r in range(references)
        for i in range(each)
    ]


def rated(items: list[Entry]) -> RatedSet:
    return RatedSet("some", tuple(items), "mos")


@pytest.mark.parametrize(("references", "train"), [(29, 23), (30, 24), (25, 20), (81, 65)])
def test_references_are_split_four_to_one(references: int, train: int) -> None:
    """The counts are those of LIVE, CSIQ, TID2013 and KADID-10k: round(0.8 n)."""
    items = entries(references, 5)
    for repeat in range(3):
        sides = [
            {items[i].reference for i in random_part(items, part, 7, repeat)}
            for part in ("train", "test")
        ]
        assert not sides[0] & sides[1]
        assert [len(side) for side in sides] == [train, references - train]
    both = random_part(items, "train", 7) + random_part(items, "test", 7)
    assert sorted(both) == list(range(len(items)))


def test_splits_depend_on_seed_and_repeat_and_nothing_else() -> None:
    items = entries(20, 3)
    names = lambda some, found: {some[i].path.name for i in found}  # noqa: E731
    first = names(items, random_part(items, "test", 1, 0))
    assert first == names(items[::-1], random_part(items[::-1], "test", 1, 0))
    others = [(2, 0), (1, 1)]
    assert all(names(items, random_part(items, "test", s, r)) != first for s, r in others)


def test_pictures_without_reference_are_split_one_by_one() -> None:
    items = [Entry(Path(f"{i}.png"), i, i) for i in range(10)]
    assert len(random_part(items, "train", 0)) == 8


def test_the_sets_own_split_counts_until_random_ones_are_asked_for() -> None:
    own = [Entry(Path(f"{i}.png"), i, i, split="test" if i % 2 else "train") for i in range(20)]
    assert choose(rated(own), "test", None, 1) == [list(range(1, 20, 2))]
    assert choose(rated(own), "all", None, 1) == [list(range(20))]
    several = choose(rated(own), "test", None, 5)
    assert [len(part) for part in several] == [4] * 5
    assert len({tuple(part) for part in several}) == 5
    assert choose(rated(own), "test", 0, 1) == several[:1]


def test_parts_that_are_not_there_are_refused() -> None:
    own = [Entry(Path("a.png"), 1, 1, split="train"), Entry(Path("b.png"), 1, 1, split="test")]
    with pytest.raises(UsageError, match="no val part of its own; it has test, train"):
        choose(rated(own), "val", None, 1)
    with pytest.raises(UsageError, match="random splits have train and test only"):
        choose(rated(entries(5, 1)), "val", None, 1)
    with pytest.raises(UsageError, match="2 contents: too few"):
        choose(rated(entries(2, 3)), "test", None, 1)
