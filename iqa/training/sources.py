"""Where frames and labels come from.

A source is a sequence of units, of one content each. What a unit holds depends on the seed, the
epoch and its number alone, never on the process that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from iqa.data.features import Features
from iqa.data.store import Store, Views
from iqa.data.synthesis import GROUP, Synthesis
from iqa.datasets.entry import Entry
from iqa.distortions.kadid import to_bytes
from iqa.saqt.pictures import Picture
from iqa.saqt.samples import TransferredSet
from iqa.training.batch import Rows
from iqa.training.cutmix import CutMix
from iqa.training.redraw import Redraw
from iqa.training.takes import Takes, flipped


class Source(Protocol):
    """Units of labelled frames.

    Attributes:
        frames: In a unit.
        causes: Whether it knows what is wrong with a frame.
    """

    frames: int
    causes: bool

    def __len__(self) -> int:
        """Units of an epoch."""
        ...

    def unit(self, index: int, epoch: int) -> Rows:
        """Unit ``index`` as it is in ``epoch``."""
        ...


class Sources(NamedTuple):
    """What is trained on and what is validated on.

    Attributes:
        train: Drawn afresh in every epoch where there is something to draw.
        val: The same frames every time.
        low, high: Labels in the data's own units at target 0 and 1.
        scale: What these are, in words.
    """

    train: Source
    val: Source
    low: float
    high: float
    scale: str


class CachedSource:
    """Groups of a store, with the outputs of glint-edge's frozen trunk as inputs.

    Args:
        folder: Of the store.
        cutmix: Share of the frames that take parts of others with the same label.
        seed: Of what they take.
    """

    frames, causes = GROUP, True

    def __init__(self, folder: Path, cutmix: float = 0, seed: int = 0) -> None:
        self.store, self.features = Store.open(folder), Features.open(folder)
        self.cutmix = CutMix(self.store, self.features, cutmix) if cutmix else None
        self.seed = seed

    def __len__(self) -> int:
        return len(self.store) // GROUP

    def unit(self, index: int, epoch: int) -> Rows:
        rows = slice(index * GROUP, (index + 1) * GROUP)
        inputs = tuple(np.array(m[rows]) for m in self.features.maps)
        if self.cutmix:
            rng = np.random.default_rng([self.seed, epoch, index])
            for row, own in enumerate(zip(*inputs, strict=True), rows.start):
                self.cutmix.mix(row, own, rng)
        return labelled(self.store, index, inputs)


class ViewsSource:
    """Groups of a store, with both views of its frames as inputs.

    Args:
        store: Frames and labels.
        redraw: How frames are put together anew each time; None leaves them as they are.
        seed: Of what is drawn.
    """

    frames, causes = GROUP, True

    def __init__(self, store: Store, redraw: Redraw | None = None, seed: int = 0) -> None:
        self.store, self.redraw, self.seed = store, redraw, seed

    def __len__(self) -> int:
        return len(self.store) // GROUP

    def unit(self, index: int, epoch: int) -> Rows:
        rng = np.random.default_rng([self.seed, epoch, index])
        rows = range(index * GROUP, (index + 1) * GROUP)
        draw = self.redraw.draw if self.redraw else self._whole
        inputs = tuple(np.stack(parts) for parts in zip(*(draw(r, rng) for r in rows), strict=True))
        return labelled(self.store, index, inputs)

    def _whole(self, row: int, _: np.random.Generator) -> Views:
        return self.store.fragments[row], self.store.resize[row]


def labelled(store: Store, index: int, inputs: tuple[NDArray[Any], ...]) -> Rows:
    """Group ``index`` of a store with these inputs."""
    rows = slice(index * GROUP, (index + 1) * GROUP)
    return Rows(
        inputs,
        (store.mos[rows] - 1) / 4,
        store.weight[rows],
        store.causes[rows],
        np.full(GROUP, index),
    )


@dataclass(frozen=True)
class SynthesisSource:
    """Groups of four distorted versions of a photograph; training never sees one twice."""

    synthesis: Synthesis
    groups: int
    takes: Takes
    training: bool
    frames: int = field(default=GROUP, init=False)
    causes: bool = field(default=True, init=False)

    def __len__(self) -> int:
        return self.groups

    def unit(self, index: int, epoch: int) -> Rows:
        number = index + (epoch * self.groups if self.training else 0)
        samples = self.synthesis.group(number)
        rng = np.random.default_rng([self.synthesis.seed, number, 1])
        pictures = [to_bytes(sample.image) for sample in samples]
        taken = [self.takes.draw(p, rng) if self.training else self.takes.grid(p) for p in pictures]
        labels = [sample.label for sample in samples]
        return Rows(
            tuple(np.concatenate(parts) for parts in zip(*taken, strict=True)),
            np.float32([(label.mos - 1) / 4 for label in labels]),
            np.float32([label.weight for label in labels]),
            np.stack([label.causes for label in labels]),
            np.full(GROUP, index),
        )


@dataclass(frozen=True)
class RatedSource:
    """Pictures that people rated, each ``crops`` times an epoch."""

    entries: Sequence[Entry]
    contents: Sequence[int]
    takes: Takes
    low: float
    high: float
    seed: int
    training: bool
    crops: int = 1
    flips: str = ""
    resize: tuple[int, int] | None = None
    frames: int = field(default=1, init=False)
    causes: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.entries) * (self.crops if self.training else 1)

    def unit(self, index: int, epoch: int) -> Rows:
        place = index % len(self.entries)
        entry = self.entries[place]
        rgb = Picture(entry.path.stem, entry.path).read()
        if self.resize is not None:
            import cv2

            rgb = cv2.resize(rgb, self.resize, interpolation=cv2.INTER_AREA)
        if self.training:
            rng = np.random.default_rng([self.seed, epoch, index])
            taken = self.takes.draw(flipped(rgb, self.flips, rng), rng)
        else:
            taken = self.takes.grid(rgb)
        quality = (entry.quality - self.low) / (self.high - self.low)
        return Rows.rated(taken, quality, self.contents[place])


@dataclass(frozen=True)
class TransferSource:
    """Photographs under KADID's settings with transferred labels, distorted when asked for."""

    samples: TransferredSet
    numbers: Sequence[int]
    takes: Takes
    training: bool
    flips: str = ""
    frames: int = field(default=1, init=False)
    causes: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.numbers)

    def unit(self, index: int, epoch: int) -> Rows:
        number = self.numbers[index]
        seed = self.samples.seed + (1_000_003 * (epoch + 1) if self.training else 0)
        sample = TransferredSet(self.samples.pictures, self.samples.labels, seed)[number]
        settings = self.samples.labels[0].size
        if self.training:
            rng = np.random.default_rng([seed, number, 1])
            taken = self.takes.draw(flipped(sample.image, self.flips, rng), rng)
        else:
            taken = self.takes.grid(sample.image)
        return Rows.rated(taken, sample.quality, number // settings)
