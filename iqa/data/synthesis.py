"""Training frames: groups of four distorted versions of one frame, each decided by its index alone.

Frames of a group share content, so a comparison inside it is about quality only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from iqa.data.labels import CAUSE_OF_TYPE, MOS_CLEAN, Label, both, causes, fault_label
from iqa.data.photos import Photo
from iqa.distortions.camera import FAULTS
from iqa.distortions.kadid import Picture, distort

GROUP = 4
MIN_LONG_SIDE = 480
CROP_SHARE = 0.35
SHARES = (("kadid", 0.62), ("camera", 0.24), ("mixed", 0.14))
MILD_LEVELS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Sample:
    """One distorted frame (float32 RGB ``[H, W, 3]``) and its label."""

    image: Picture
    label: Label


class Synthesis:
    """Makes group ``index`` of an endless, seeded sequence."""

    def __init__(self, photos: list[Photo], means: dict[tuple[int, int], float], seed: int) -> None:
        self.photos = photos
        self.means = means
        self.seed = seed

    def group(self, index: int) -> list[Sample]:
        """Four samples of one frame. The same index always gives the same pixels."""
        rng = np.random.default_rng([self.seed, index])
        frame = self.frame(rng)
        names, shares = zip(*SHARES, strict=True)
        kind = str(rng.choice(names, p=shares))
        make = {"kadid": self._kadid, "camera": self._camera, "mixed": self._mixed}[kind]
        return make(frame, rng)

    def frame(self, rng: np.random.Generator) -> Picture:
        """A photograph at a random scale, sometimes cropped, half the time mirrored."""
        image = self.photos[int(rng.integers(len(self.photos)))].read()
        longest = max(image.shape[:2])
        target = math.exp(rng.uniform(math.log(min(MIN_LONG_SIDE, longest)), math.log(longest)))
        scale = min(target / longest, 1.0)
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if rng.random() < CROP_SHARE:
            image = crop(image, rng)
        return np.ascontiguousarray(image[:, ::-1]) if rng.random() < 0.5 else image

    def _rated(
        self, image: Picture, levels: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Picture, int, float]:
        kind, level = int(rng.integers(1, 26)), int(rng.choice(levels))
        return distort(image, kind, level, rng), kind, self.means[kind, level]

    def _kadid(self, frame: Picture, rng: np.random.Generator) -> list[Sample]:
        out = []
        for _ in range(GROUP):
            image, kind, mos = self._rated(frame, (1, 2, 3, 4, 5), rng)
            out.append(Sample(image, Label(mos, 1.0, causes(mos, (CAUSE_OF_TYPE[kind],)))))
        return out

    def _camera(self, frame: Picture, rng: np.random.Generator) -> list[Sample]:
        name = str(rng.choice(list(FAULTS)))
        draws = int(rng.integers(2**32))  # the same cast, veil or kernel at every severity
        steps = (np.arange(GROUP) + rng.random(GROUP)) / GROUP
        return [
            Sample(
                FAULTS[name][0](frame, float(s), np.random.default_rng(draws)),
                fault_label(name, float(s)),
            )
            for s in steps
        ]

    def _mixed(self, frame: Picture, rng: np.random.Generator) -> list[Sample]:
        """The clean frame and three with two mild faults at once."""
        out = [Sample(frame, Label(MOS_CLEAN, 1.0, causes(MOS_CLEAN, ())))]
        for _ in range(GROUP - 1):
            image, first, mos1 = self._rated(frame, MILD_LEVELS, rng)
            image, second, mos2 = self._rated(image, MILD_LEVELS, rng)
            mos = both(mos1, mos2)
            names = (CAUSE_OF_TYPE[first], CAUSE_OF_TYPE[second])
            out.append(Sample(image, Label(mos, 0.5, causes(mos, names))))
        return out


def crop(image: Picture, rng: np.random.Generator) -> Picture:
    """A random window of 55-100 % of each side, at least 224 pixels where the picture has them."""
    sides = [min(max(round(n * rng.uniform(0.55, 1)), 224), n) for n in image.shape[:2]]
    top, left = (
        int(rng.integers(0, n - s + 1)) for n, s in zip(image.shape[:2], sides, strict=True)
    )
    return np.ascontiguousarray(image[top : top + sides[0], left : left + sides[1]])
