"""What a distorted frame is worth: human means for KADID types, weak anchors for camera faults."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iqa.distortions.camera import FAULTS
from iqa.models.glint_edge import DISTORTION_LABELS

MOS_CLEAN = 4.62  # what KADID's raters gave settings that change nothing (type 1 level 1: 4.61)

_KADID_CAUSE = {
    "blur": (1, 2, 3), "colour": (4, 5, 7, 8), "banding": (6, 22), "compression": (9, 10),
    "noise": (11, 12, 13, 14), "smoothing": (15,), "exposure": (16, 17, 18),
    "corruption": (19, 20, 23), "pixelation": (21,), "sharpening": (24,), "contrast": (25,),
}  # fmt: skip
CAUSE_OF_TYPE = {kind: cause for cause, kinds in _KADID_CAUSE.items() for kind in kinds}
CAUSES_OF_FAULT: dict[str, tuple[str, ...]] = {
    "haze": ("contrast",), "underwater": ("colour", "contrast"), "low_contrast": ("contrast",),
    "defocus": ("blur",), "upscale": ("pixelation", "blur"), "banding": ("banding",),
    "low_light": ("exposure", "noise"), "over_exposure": ("exposure",),
    "colour_cast": ("colour",), "weak_stream": ("compression", "blur"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Label:
    """Target of one frame.

    Attributes:
        mos: 1..5.
        weight: Trust in ``mos``: 1 for human means, less for anchors.
        causes: ``[12]`` target posterior over the distortion labels.
    """

    mos: float
    weight: float
    causes: NDArray[np.float32]


def read_type_level(path: Path) -> dict[tuple[int, int], float]:
    """Mean human score 1..5 of each KADID (type, level) from ``type,level,mean,...`` rows."""
    with path.open(newline="", encoding="utf-8") as stream:
        return {(int(r["type"]), int(r["level"])): float(r["mean"]) for r in csv.DictReader(stream)}


def causes(mos: float, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Posterior target: ``names`` share a visible fault's mass, "none" has the rest."""
    clean = float(np.clip((mos - 4.0) / (MOS_CLEAN - 4.0), 0, 1))
    target = np.zeros(len(DISTORTION_LABELS), dtype=np.float32)
    target[0] = clean if names else 1.0
    for name in names:
        target[DISTORTION_LABELS.index(name)] += (1 - clean) / len(names)
    return target


def both(first: float, second: float) -> float:
    """MOS of two faults at once: what each leaves of a clean frame's quality, multiplied."""
    share = (first - 1) / (MOS_CLEAN - 1) * (second - 1) / (MOS_CLEAN - 1)
    return 1 + (MOS_CLEAN - 1) * min(share, 1.0)


def fault_label(name: str, severity: float) -> Label:
    """Anchor of a camera fault: clean at 0, its prior at 1; a quarter of a human mean's trust."""
    mos = MOS_CLEAN - (MOS_CLEAN - FAULTS[name][1]) * severity**0.8
    return Label(mos, 0.25, causes(mos, CAUSES_OF_FAULT[name]))
