"""Batches in an order that (seed, epoch) decides, made ahead by worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from iqa.training.batch import Batch, Rows, collate
from iqa.training.parallel import World
from iqa.training.sources import Source
from sdk.errors import FramescoreError

Place = tuple[int, int]  # unit, epoch


class _Units(Dataset[Rows | Exception]):
    """A source behind torch's interface; errors of ours travel as values."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, place: Place) -> Rows | Exception:
        try:
            return self.source.unit(*place)
        except FramescoreError as error:
            return error


@dataclass(frozen=True, slots=True)
class Order:
    """Units of each step; an epoch visits every unit at most once.

    Attributes:
        units: Of an epoch.
        batch: Units a step.
        seed: Of the order, together with the epoch.
        first, last: Steps to take, ``last`` excluded.
        own: The part of each step that this process takes.
    """

    units: int
    batch: int
    seed: int
    first: int
    last: int
    own: slice

    def __iter__(self) -> Iterator[list[Place]]:
        epoch, order = -1, np.array([], np.int64)
        for step in range(self.first, self.last):
            now, place = divmod(step, self.units // self.batch)
            if now != epoch:
                epoch, order = now, np.random.default_rng([self.seed, now]).permutation(self.units)
            # sorted, since memory maps like that
            chosen = np.sort(order[place * self.batch : (place + 1) * self.batch])[self.own]
            yield [(int(unit), epoch) for unit in chosen]


class Batches:
    """Batches of a source; iterate as often as you like.

    Args:
        source: Of the units.
        places: The units of each batch.
        workers: Processes that make them; they stay until this is forgotten.
    """

    def __init__(self, source: Source, places: Iterable[list[Place]], workers: int) -> None:
        self._loader = DataLoader(
            _Units(source),
            batch_sampler=places,
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=_quiet if workers else None,
            # a fork would share locked threads
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            if isinstance(batch, Exception):
                raise batch
            yield batch


def validation_batches(source: Source, batch: int, world: World, workers: int) -> Batches:
    """This process's share of all units, in their order."""
    units = range(world.rank, len(source), world.size)
    places = [[(unit, 0) for unit in units[i : i + batch]] for i in range(0, len(units), batch)]
    return Batches(source, places, workers)


def _quiet(_worker: int) -> None:
    """One thread a worker: there are as many workers as the user wants busy cores."""
    import signal

    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
