"""Losses on quality in 0..1. Their forms and weights are our choice but for the smooth L1 of
DEIQT, which QFM-IQM builds on.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from iqa.qfm.protocol import Opinion

HIDDEN_WEIGHT = 0.1
TEACHER_FEATURE_WEIGHT = 0.5


def quality(score: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 of scores ``[B]``."""
    return F.smooth_l1_loss(score, target)


def consistency(noisy: Opinion, clean: Opinion) -> Tensor:
    """The noisy opinion follows the clean one, never the other way round."""
    moved = (noisy.score - clean.score.detach()).abs().mean()
    return moved + HIDDEN_WEIGHT * turned(noisy.hidden, clean.hidden.detach())


def turned(first: Tensor, second: Tensor) -> Tensor:
    """Mean of 1 - cosine along the last axis."""
    return (1 - F.cosine_similarity(first, second, dim=-1)).mean()


def correlation(score: Tensor, target: Tensor) -> Tensor:
    """1 - Pearson correlation of a batch; cheap, and no part of the paper."""
    s, t = score - score.mean(), target - target.mean()
    return 1 - (s * t).sum() / ((s * s).sum() * (t * t).sum() + 1e-8).sqrt()


def distillation(
    score: Tensor, target: Tensor, feature: Tensor | None = None, teacher: Tensor | None = None
) -> Tensor:
    """Follow a teacher's scores ``[B]``; its features ``[B, T]`` too where ``feature`` is given."""
    loss = quality(score, target)
    return loss if feature is None else loss + TEACHER_FEATURE_WEIGHT * turned(feature, teacher)


def mean_where(mask: Tensor, opinion: Opinion) -> Opinion:
    """The opinions of the chosen samples only."""
    return Opinion(opinion.score[mask], opinion.hidden[mask])


def total(parts: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Weighted sum."""
    return torch.stack([weights[name] * value for name, value in parts.items()]).sum()
