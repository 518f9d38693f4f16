"""What is kept of frames to learn scenes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from iqa.data.photos import Photo
from iqa.models.glint_edge import GlintEdge
from iqa.second_stage.samples import Columns, Frame, Plan, digest, files_of

RATED = 2  # frames of a draw under KADID's distortions
DRAW = 1 + RATED + 1  # the clean frame first, a camera fault last
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Samples:
    """``N`` frames."""

    hidden: Floats  # [N, D], the feature the score is read from
    context: Floats  # [N, D], mean of the global branch's last tap
    clean: NDArray[np.bool_]  # [N], not distorted
    content: NDArray[np.str_]  # [N], name of the photograph

    def __len__(self) -> int:
        return len(self.content)


def plan_of(photos: Sequence[Photo], draws: int, seed: int) -> Plan:
    """Frames of photographs, of each ``draws`` times `DRAW`."""
    claim = [digest(files_of(photos)), draws, seed, DRAW]
    return Plan(photos, draws, seed, RATED, _labels, _outputs, claim)


def _labels(frames: Sequence[Frame]) -> Columns:
    return {"clean": [not frame.causes for frame in frames]}


def _outputs(model: GlintEdge, fragments: Tensor, resize: Tensor) -> Columns:
    hidden, context = model.both_features(fragments, resize)
    return {"hidden": hidden.numpy(), "context": context.numpy()}
