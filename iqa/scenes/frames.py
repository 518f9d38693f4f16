"""Frames to learn scenes from: each photograph clean, and under faults that a camera may have."""

from __future__ import annotations

import numpy as np

from iqa.data.photos import Photo
from iqa.data.synthesis import Synthesis
from iqa.distortions.camera import FAULTS
from iqa.distortions.kadid import TYPES, Picture, distort
from iqa.evaluate import LEVELS

RATED = 2  # frames of a draw under KADID's distortions
DRAW = 1 + RATED + 1  # the clean frame first, a camera fault last


def frames_of(photo: Photo, draw: int, seed: int) -> list[Picture]:
    """A frame of a photograph, two distortions of it, and a camera fault.

    Args:
        photo: The content.
        draw: Its number; every draw has a scale, a crop and faults of its own.
        seed: Of the whole set.
    """
    rng = np.random.default_rng([seed, draw, *photo.path.name.encode()])
    frame = Synthesis([photo], {}, seed).frame(rng)
    out = [frame]
    for kind in rng.choice(list(TYPES), RATED, replace=False).tolist():
        out.append(distort(frame, kind, int(rng.choice(LEVELS)), rng))
    name = str(rng.choice(list(FAULTS)))
    return [*out, FAULTS[name][0](frame, float(rng.random()), rng)]
