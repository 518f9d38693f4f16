"""Frames whose classes need no opinions: a distortion and its level, or the frame itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from iqa.distortions.camera import FAULTS
from iqa.distortions.kadid import TYPES, Picture, distort, from_bytes, to_bytes
from iqa.evaluate import LEVELS
from iqa.training.takes import Takes

SEVERITIES = 5  # steps of a camera fault, whose severity is continuous
CLEAN = 0
KADID = len(TYPES) * len(LEVELS)
SYNTHETIC = 1 + KADID + len(FAULTS) * SEVERITIES  # classes; those of real frames follow
HALF = 0.5  # scale of the second view, as in CONTRIQUE
LEAST_SIDE = 64  # of the smaller view; smaller frames keep their size

Picture8 = NDArray[np.uint8]


class Readable(Protocol):
    """A picture on disk; ``read`` gives uint8 RGB ``[H, W, 3]``."""

    def read(self) -> Picture8:
        """Decode it."""
        ...


class Pair(NamedTuple):
    """Both views of one frame, as a model takes them, and their class."""

    views: tuple[tuple[Picture8, ...], tuple[Picture8, ...]]
    label: int


@dataclass(frozen=True, slots=True)
class Frames:
    """Decides each batch by its step alone.

    Attributes:
        clean: Pictures to distort.
        footage: Frames as they are, each a class of its own; may be empty.
        takes: Gathers a model's inputs.
        seed: Of all draws.
        classes: Synthetic classes in a batch.
        each: Contents of each of them; with two views each has 2 * each - 1 positives.
        real: Frames of the footage in a batch.
    """

    clean: Sequence[Readable]
    footage: Sequence[Readable]
    takes: Takes
    seed: int
    classes: int = 8
    each: int = 2
    real: int = 8

    def __len__(self) -> int:
        """Frames of a batch, each seen twice."""
        return self.classes * self.each + (min(self.real, len(self.footage)))

    def label(self, step: int, place: int) -> int:
        """The class at one place of a batch."""
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.choice(SYNTHETIC, self.classes, replace=False)
        if place < self.classes * self.each:
            return int(chosen[place // self.each])
        real = rng.choice(len(self.footage), min(self.real, len(self.footage)), replace=False)
        return SYNTHETIC + int(real[place - self.classes * self.each])

    def pair(self, step: int, place: int) -> Pair:
        """Two views of the frame at one place: at its own scale and at half of it."""
        label = self.label(step, place)
        rng = np.random.default_rng([self.seed, step, place])
        if label >= SYNTHETIC:
            frame = self.footage[label - SYNTHETIC].read()
        else:
            picture = self.clean[int(rng.integers(len(self.clean)))].read()
            frame = to_bytes(synthetic(from_bytes(picture), label, rng))
        views = (self._view(frame, rng), self._view(halved(frame), rng))
        return Pair(views if rng.random() < 0.5 else views[::-1], label)

    def _view(self, frame: Picture8, rng: np.random.Generator) -> tuple[Picture8, ...]:
        frame = frame[:, ::-1] if rng.random() < 0.5 else frame
        return self.takes.draw(np.ascontiguousarray(frame), rng)


def synthetic(image: Picture, label: int, rng: np.random.Generator) -> Picture:
    """A picture with the distortion and level of a class.

    Args:
        image: float32 RGB ``[H, W, 3]``, 0..1.
        label: Below ``SYNTHETIC``.
        rng: Of what the distortion draws.
    """
    if label == CLEAN:
        return image
    if label <= KADID:
        kind, level = divmod(label - 1, len(LEVELS))
        return distort(image, kind + 1, level + 1, rng)
    number, step = divmod(label - 1 - KADID, SEVERITIES)
    fault, _ = list(FAULTS.values())[number]
    return fault(image, (step + float(rng.random())) / SEVERITIES, rng)


def halved(frame: Picture8) -> Picture8:
    """At half its size, unless that is too small."""
    if min(frame.shape[:2]) * HALF < LEAST_SIDE:
        return frame
    return cv2.resize(frame, None, fx=HALF, fy=HALF, interpolation=cv2.INTER_AREA)
