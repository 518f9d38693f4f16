"""Groups of faults that each have a part of the uncertainty of their own; the grouping is ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iqa.models.glint_edge import DISTORTION_LABELS, UNCERTAINTY_LABELS

GROUPS = UNCERTAINTY_LABELS[1:]
LABELS_OF_GROUP = {
    "blur": ("blur", "smoothing", "pixelation"),
    "noise": ("noise",),
    "compression": ("compression", "banding"),
    "colour": ("colour",),
    "exposure": ("exposure", "contrast"),
}  # "sharpening" and "corruption" have none: what they add is the task's


def groups_of(names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which groups ``[K]`` distortion labels belong to."""
    return np.array([bool(set(LABELS_OF_GROUP[g]) & set(names)) for g in GROUPS])


def membership() -> NDArray[np.float32]:
    """``[12, K]``, which sums a posterior over distortion labels into one over groups."""
    return np.array([groups_of((label,)) for label in DISTORTION_LABELS], np.float32)
