"""Frames to fit and judge the uncertainty on: each with its clean version and the fault it has."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iqa.data.labels import CAUSE_OF_TYPE, CAUSES_OF_FAULT, MOS_CLEAN, fault_label
from iqa.data.photos import Photo
from iqa.data.synthesis import Synthesis
from iqa.distortions.camera import FAULTS
from iqa.distortions.kadid import TYPES, Picture, distort
from iqa.evaluate import LEVELS
from iqa.uncertainty.causes import groups_of
from sdk.errors import UsageError

RATED = 4  # frames of a draw with a setting that people rated
DRAW = 1 + RATED + 1  # the clean frame first, a camera fault last
CLEAN_SETTING = (1, 1)  # changes next to nothing


@dataclass(frozen=True, slots=True)
class Opinion:
    """What people gave one KADID setting: mean and deviation over contents, MOS points."""

    mean: float
    deviation: float


Opinions = dict[tuple[int, int], Opinion]


@dataclass(frozen=True, slots=True)
class Case:
    """One frame and what is known of it.

    Attributes:
        image: float32 RGB ``[H, W, 3]``, 0..1.
        opinion: Of the setting; the deviation is what contents differ by.
        rated: Whether people rated the setting; a camera fault has an anchor of ours instead.
        groups: ``[K]``, which groups of faults the frame was given.
    """

    image: Picture
    opinion: Opinion
    rated: bool
    groups: NDArray[np.bool_]


def read_opinions(path: Path) -> Opinions:
    """Mean and deviation of each KADID (type, level) from rows ``type,level,mean,std``.

    Raises:
        UsageError: The file cannot be read, a column or a setting is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            found = {
                (int(r["type"]), int(r["level"])): Opinion(float(r["mean"]), float(r["std"]))
                for r in csv.DictReader(stream)
            }
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else error
        raise UsageError(
            f"Human scores {path} cannot be used: {reason}.",
            hint="Needed is a CSV with the columns type, level, mean, std.",
        ) from error
    missing = [(t, level) for t in TYPES for level in LEVELS if (t, level) not in found]
    if missing:
        raise UsageError(
            f"Human scores {path} lack {len(missing)} of 125 settings, the first type "
            f"{missing[0][0]} level {missing[0][1]}.",
            hint="Give a row for each of 25 types and 5 levels.",
        )
    return found


def cases(photo: Photo, draw: int, seed: int, opinions: Opinions) -> list[Case]:
    """A clean frame of a photograph, four rated settings of it and a camera fault.

    Args:
        photo: The content.
        draw: Its number; every draw has a scale, a crop and faults of its own.
        seed: Of the whole set.
        opinions: By KADID type and level.
    """
    rng = np.random.default_rng([seed, draw, *photo.path.name.encode()])
    frame = Synthesis([photo], {}, seed).frame(rng)
    clean = Opinion(MOS_CLEAN, opinions[CLEAN_SETTING].deviation)
    out = [Case(frame, clean, True, groups_of(()))]
    for kind in rng.choice(list(TYPES), RATED, replace=False).tolist():
        level = int(rng.choice(LEVELS))
        image = distort(frame, kind, level, rng)
        out.append(Case(image, opinions[kind, level], True, groups_of((CAUSE_OF_TYPE[kind],))))
    name = str(rng.choice(list(FAULTS)))
    severity = float(rng.random())
    image = FAULTS[name][0](frame, severity, rng)
    anchor = Opinion(fault_label(name, severity).mos, 0.0)
    return [*out, Case(image, anchor, False, groups_of(CAUSES_OF_FAULT[name]))]
