"""The head on frozen features: a few hundred full-batch steps, seconds on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from iqa.losses import label_fidelity
from iqa.models.scene_head import SceneHead

Floats = NDArray[np.float32]
LEAST_SPREAD = 1e-3  # of a feature: one that hardly varies says nothing and must not explode

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "fidelity": label_fidelity,  # of each scene alone, as LIQE has it
    "cross-entropy": F.binary_cross_entropy_with_logits,
}


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Numbers of a fit, all ours.

    Attributes:
        loss: A key of `LOSSES`.
        decay: Weight of the mean square of the coefficients on standardised features.
        steps: Full-batch steps.
        rate: Of Adam at the start; it falls to nothing by half a cosine.
    """

    loss: str = "cross-entropy"
    decay: float = 0.3
    steps: int = 300
    rate: float = 0.05


def fit_head(features: Floats, labels: Floats, settings: FitSettings) -> SceneHead:
    """A head for features ``[N, D]`` with labels ``[N, S]`` of 0 and 1."""
    found, target = torch.from_numpy(features), torch.from_numpy(labels)
    mean, spread = found.mean(dim=0), found.std(dim=0).clamp_min(LEAST_SPREAD)
    found = (found - mean) / spread
    share = target.mean(dim=0).clamp(1e-3, 1 - 1e-3)
    weight = torch.zeros(target.shape[1], found.shape[1], requires_grad=True)
    bias = torch.logit(share).requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        loss = LOSSES[settings.loss](found @ weight.T + bias, target)
        loss = loss + settings.decay * weight.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    head = SceneHead(found.shape[1], target.shape[1])
    with torch.no_grad():
        head.weight.copy_(weight / spread)
        head.bias.copy_(bias - (weight / spread) @ mean)
    return head
