"""What is kept of frames to fit and judge the uncertainty on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqa.data.photos import Photo
from iqa.models.glint_edge import GlintEdge
from iqa.second_stage.samples import Columns, Frame, Plan, digest, files_of
from iqa.uncertainty.causes import groups_of
from iqa.uncertainty.opinions import Opinions, opinion_of

RATED = 4  # frames of a draw with a setting that people rated
DRAW = 1 + RATED + 1  # the clean frame first, a camera fault last
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Samples:
    """``N`` frames, whole draws of one clean frame and its faulty versions one after the other."""

    hidden: Floats  # [N, D], the feature the score is read from
    score: Floats  # [N], 0..100
    old_sigma: Floats  # [N], score points: the spread that training shaped, never calibrated
    posterior: Floats  # [N, 12], over distortion labels
    opinion: Floats  # [N], people's mean for the setting, as a score
    deviation: Floats  # [N], what contents differ by in it, score points
    rated: NDArray[np.bool_]  # [N], people rated the setting
    groups: NDArray[np.bool_]  # [N, K], faults given
    content: NDArray[np.str_]  # [N]

    def __len__(self) -> int:
        return len(self.score)

    def where(self, chosen: NDArray[np.bool_]) -> Samples:
        """The chosen rows."""
        return Samples(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def clean(self) -> NDArray[np.int64]:
        """Row of each frame's clean version, ``[N]``."""
        return np.arange(len(self)) // DRAW * DRAW


def plan_of(photos: Sequence[Photo], draws: int, seed: int, opinions: Opinions) -> Plan:
    """Frames of photographs, of each ``draws`` times `DRAW`."""
    told = sorted((*setting, o.mean, o.deviation) for setting, o in opinions.items())
    claim = [digest([files_of(photos), told]), draws, seed]
    return Plan(photos, draws, seed, RATED, partial(_labels, opinions), _outputs, claim)


def _labels(opinions: Opinions, frames: Sequence[Frame]) -> Columns:
    given = [opinion_of(frame, opinions) for frame in frames]
    return {
        "opinion": [25 * (opinion.mean - 1) for opinion in given],
        "deviation": [25 * opinion.deviation for opinion in given],
        "rated": [frame.fault is None for frame in frames],
        "groups": [groups_of(frame.causes) for frame in frames],
    }


def _outputs(model: GlintEdge, fragments: Tensor, resize: Tensor) -> Columns:
    hidden = model.embedding(fragments, resize)
    logit, log_variance = model.quality(hidden).unbind(-1)
    return {
        "hidden": hidden.numpy(),
        "score": 100 * torch.sigmoid(logit).numpy(),
        "old_sigma": 0.5 + 25 * torch.exp(0.5 * log_variance.clamp(-8, 4)).numpy(),
        "posterior": torch.softmax(model.cause(hidden), dim=-1).numpy(),
    }
