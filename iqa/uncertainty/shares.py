"""Which photographs the head is fitted, calibrated and judged on: no content serves twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from iqa.data.photos import Photo
from sdk.errors import UsageError

SHARES = ("fit", "calibrate", "report")
FEWEST = 4  # validation photographs


def share_out(photos: Sequence[Photo]) -> dict[str, list[Photo]]:
    """Training photographs to fit on; half of the validation ones each to calibrate and report.

    The halves follow from the files' names, so that they stay the same wherever the files lie.

    Raises:
        UsageError: There are no training photographs, or too few for validation.
    """
    fit = [photo for photo in photos if photo.split == "train"]
    held_out = [photo for photo in photos if photo.split == "val"]
    if not fit or len(held_out) < FEWEST:
        raise UsageError(
            f"There are {len(fit)} photographs for training and {len(held_out)} for validation; "
            f"needed are at least 1 and {FEWEST}.",
            hint="Give folders whose index.csv has the splits train and val.",
        )
    held_out.sort(key=lambda photo: hashlib.sha256(photo.path.name.encode()).digest())
    return {"fit": fit, "calibrate": held_out[::2], "report": held_out[1::2]}
