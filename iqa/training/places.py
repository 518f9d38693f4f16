"""From a recipe's ``[data]`` and the files of the command line to sources."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from iqa.data.labels import read_type_level
from iqa.data.photos import Photo, read_folder
from iqa.data.store import Store
from iqa.data.synthesis import Synthesis
from iqa.datasets.columns import Columns
from iqa.datasets.entry import Entry, RatedSet
from iqa.datasets.registry import CSV, read_set
from iqa.datasets.splits import random_part
from iqa.distortions.kadid import TYPES
from iqa.saqt.pictures import find_pictures
from iqa.saqt.samples import TransferredSet
from iqa.saqt.scores import TOP
from iqa.training import recipe as tables
from iqa.training.redraw import Redraw
from iqa.training.sources import (
    CachedSource,
    RatedSource,
    Source,
    Sources,
    SynthesisSource,
    TransferSource,
    ViewsSource,
)
from iqa.training.takes import Takes
from sdk.errors import SourceError, UsageError

VAL_FOLDS = 10  # of photographs without an index, one in so many is validated on


@dataclass(frozen=True, slots=True)
class Places:
    """Where this machine has the files that a recipe needs.

    Attributes:
        work: Folder of the run; prepared frames lie there too.
        root: A rated set.
        photos: Folders of clean photographs.
        means: Human means of each (type, level).
        matches: A match table of ``python -m iqa.saqt match``.
        scores: The scores that these matches lead to.
        unlabelled: Folders or lists of pictures that teachers judge.
        teachers: Their weights, by the names of the recipe.
    """

    work: Path
    root: Path | None = None
    photos: Sequence[Path] = ()
    means: Path | None = None
    matches: Path | None = None
    scores: Path | None = None
    unlabelled: Sequence[Path] = ()
    teachers: Mapping[str, Path] = field(default_factory=dict)


def open_sources(data: tables.Data, places: Places, takes: Takes, seed: int) -> Sources:
    """Sources of a recipe's data.

    Raises:
        UsageError: A file that the data needs is not given, or one is too small to split.
        SourceError: A file is missing or damaged.
    """
    if isinstance(data, tables.Cached | tables.Views):
        return _prepared(data, places, seed)
    if isinstance(data, tables.Synthesis):
        return _synthesis(data, places, takes, seed)
    if isinstance(data, tables.Rated):
        return _rated(data, places, takes, seed)
    return _transfer(data, places, takes, seed)


def _needed(value: Path | None, option: str, kind: str) -> Path:
    if value is None:
        raise UsageError(f"The recipe's data are of kind {kind}, which needs {option}.")
    if not value.exists():
        raise SourceError(f"{option} {value} does not exist.")
    return value


def _prepared(data: tables.Cached | tables.Views, places: Places, seed: int) -> Sources:
    train: Source
    val: Source
    try:
        if isinstance(data, tables.Cached):
            train = CachedSource(places.work / "train", data.cutmix, seed)
            val = CachedSource(places.work / "val")
        else:
            store = Store.open(places.work / "train")
            train = ViewsSource(store, Redraw(store, data.mix), seed)
            val = ViewsSource(Store.open(places.work / "val"))
    except FileNotFoundError as error:
        raise SourceError(
            f"There are no prepared frames in {places.work}: {error}",
            hint="Run python -m iqa prepare with the same --work first.",
        ) from error
    return Sources(train, val, 1, 5, "MOS, 1 to 5")


def _synthesis(data: tables.Synthesis, places: Places, takes: Takes, seed: int) -> Sources:
    means = read_means(_needed(places.means, "--means", "synthesis"))
    if not places.photos:
        raise UsageError("The recipe's data are of kind synthesis, which needs --photos.")
    photos = [p for folder in places.photos for p in photos_of(folder)]
    parts = {split: [p for p in photos if p.split == split] for split in ("train", "val")}
    for split, found in parts.items():
        if not found:
            raise SourceError(
                f"--photos holds {len(photos)} photographs and none to {split} on.",
                hint="Say train or val in the column split of index.csv, or give more.",
            )
    train, val = (Synthesis(parts[p], means, seed + n) for n, p in enumerate(("train", "val")))
    return Sources(
        SynthesisSource(train, data.groups, takes, True),
        SynthesisSource(val, data.val_groups, takes, False),
        1, 5, "MOS, 1 to 5",
    )  # fmt: skip


def read_means(path: Path) -> dict[tuple[int, int], float]:
    """Human means of all of KADID's settings.

    Raises:
        SourceError: The file has other columns, other things than numbers, or not every setting.
    """
    try:
        means = read_type_level(path)
    except (KeyError, ValueError) as error:
        raise SourceError(
            f"--means {path} cannot be read: {error}.", hint="Its columns are type, level, mean."
        ) from error
    lost = [(t, n) for t in TYPES for n in range(1, 6) if (t, n) not in means]
    if lost:
        raise SourceError(
            f"--means {path} lacks {len(lost)} of KADID's settings, such as type {lost[0][0]}, "
            f"level {lost[0][1]}."
        )
    return means


def photos_of(folder: Path) -> list[Photo]:
    """Photographs of a folder with an ``index.csv``, or of any: there a tenth, by name, is val."""
    if not folder.is_dir():
        raise SourceError(f"--photos {folder} is not a folder.")
    if (folder / "index.csv").is_file():
        try:
            return read_folder(folder)
        except KeyError as error:
            raise SourceError(
                f"{folder / 'index.csv'} has no column {error}; it must have file, split, licence."
            ) from error
    return [
        Photo(p.path, "val" if zlib.crc32(p.name.encode()) % VAL_FOLDS == 0 else "train", "")
        for p in find_pictures(folder)
    ]


def _rated(data: tables.Rated, places: Places, takes: Takes, seed: int) -> Sources:
    root = _needed(places.root, "--root", "rated")
    rated = read_set(data.set, root, Columns.parse(data.csv) if data.set == CSV else None)
    train, val = split_rated(rated, data)
    values = [entry.quality for entry in train]
    low, high = min(values), max(values)
    if not high > low:
        raise SourceError(f"{rated.name}: all {len(train)} pictures to train on have one score.")
    names = {content: n for n, content in enumerate(sorted({e.content for e in (*train, *val)}))}

    def source(entries: list[Entry], training: bool) -> RatedSource:
        contents = [names[entry.content] for entry in entries]
        return RatedSource(
            entries, contents, takes, low, high, seed, training, data.crops, data.flips, data.resize
        )

    return Sources(source(train, True), source(val, False), low, high, rated.scale)


def split_rated(rated: RatedSet, data: tables.Rated) -> tuple[list[Entry], list[Entry]]:
    """Pictures to train and to validate on; the set's test part is in neither.

    The set's own parts count where it has some. Validation pictures share no content with those
    trained on.
    """
    entries = list(rated.entries)
    if data.part == "train" and any(entry.split for entry in entries):
        own = {part: [e for e in entries if e.split == part] for part in ("train", "val")}
        if own["train"] and own["val"]:
            return own["train"], own["val"]
        entries = own["train"]
    elif data.part == "train":
        entries = [entries[i] for i in random_part(entries, "train", data.split_seed)]
    contents = sorted({entry.content for entry in entries})
    order = np.random.default_rng([data.split_seed, 7]).permutation(len(contents))
    chosen = {contents[i] for i in order[: max(round(data.val_share * len(contents)), 1)]}
    train = [entry for entry in entries if entry.content not in chosen]
    val = [entry for entry in entries if entry.content in chosen]
    if len({entry.content for entry in train}) < 1 or len(val) < 3:
        raise UsageError(
            f"{rated.name}: {len(contents)} contents leave {len(train)} pictures to train on and "
            f"{len(val)} to validate on; these should be 3 at least.",
            hint="Raise val_share, or give the set a split of its own.",
        )
    return train, val


def _transfer(data: tables.Transfer, places: Places, takes: Takes, seed: int) -> Sources:
    files = (
        _needed(places.matches, "--matches", "transfer"),
        _needed(places.scores, "--scores", "transfer"),
    )
    if len(places.photos) != 1:
        raise UsageError(f"Data of kind transfer need one --photos; {len(places.photos)} given.")
    samples = TransferredSet.from_tables(places.photos[0], *files, seed)
    each, count = samples.labels[0].size, len(samples.pictures)
    order = np.random.default_rng([seed, 7]).permutation(count)
    held = max(math.ceil(data.val_share * count), 1)
    if held >= count:
        raise UsageError(f"{count} photographs are too few for val_share {data.val_share}.")
    train, val = (
        (np.sort(rows)[:, None] * each + np.arange(each)).ravel()
        for rows in (order[held:], order[:held])
    )
    stride = max(len(val) // data.val_pictures, 1)
    return Sources(
        TransferSource(samples, train.tolist(), takes, True, data.flips),
        TransferSource(samples, val[::stride][: data.val_pictures].tolist(), takes, False),
        0, TOP, "transferred scores, 0 to 9",
    )  # fmt: skip
