"""Pictures without a score, for teachers to judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from iqa.data.photos import accepted
from iqa.datasets.tables import read_csv
from iqa.saqt.pictures import ENDINGS
from sdk.errors import SourceError, UsageError

INDEX = "index.csv"


def find_unlabelled(places: Iterable[Path], labelled: Iterable[Path]) -> dict[str, Path]:
    """Pictures by the number of the place that they come from and their names there, in order.

    A place is a folder, of which every picture is taken, those of its folders too; or a list of
    them: an ``index.csv`` or any CSV with the column ``file``, relative to it. Of a list with the
    column ``split`` only ``train`` is taken, of one with ``licence`` only accepted licences.

    Args:
        places: As said.
        labelled: Folders of the data that a run is trained, validated or judged on.

    Raises:
        SourceError: A place or a picture is missing, or there is no picture.
        UsageError: One lies in a labelled folder: validation or test pictures may be among them.
    """
    found: dict[str, Path] = {}
    for number, place in enumerate(places):
        one = dict(_pictures(place))
        if not one:
            raise SourceError(f"--unlabelled {place} holds no picture to train on.")
        if missing := [path for path in one.values() if not path.is_file()]:
            raise SourceError(f"--unlabelled {place}: {missing[0]} does not exist.")
        found |= {f"{number}/{name}": path for name, path in sorted(one.items())}
    for folder in labelled:
        inside = [p for p in found.values() if p.resolve().is_relative_to(folder.resolve())]
        if inside:
            raise UsageError(
                f"--unlabelled has {inside[0]}, which lies in the labelled data {folder}; pictures "
                "to validate or to test on may be among those.",
                hint="Give pictures of their own.",
            )
    return found


def _pictures(place: Path) -> Iterator[tuple[str, Path]]:
    if not place.exists():
        raise SourceError(f"--unlabelled {place} does not exist.")
    index = place / INDEX if place.is_dir() else place
    if index.is_file():
        for row in read_csv(index, ("file",)):
            if row.get("split", "train") == "train" and _usable(row.get("licence")):
                yield str(row["file"]), index.parent / str(row["file"])
        return
    for path in place.rglob("*"):
        if path.suffix.lower() in ENDINGS:
            yield path.relative_to(place).as_posix(), path


def _usable(licence: object) -> bool:
    return licence is None or accepted(str(licence))
