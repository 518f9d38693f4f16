"""Supervised contrast: features of one class together, of different classes apart.

Source: the loss of Khosla et al., NeurIPS 2020, on classes of distortion and level as in CONTRIQUE
(Madhusudana et al., TIP 2022) and SaTQA (Shi et al., AAAI 2024), from their formulae alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.1


def contrast(projected: Tensor, classes: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """NT-Xent with several positives, over the samples that have one.

    Args:
        projected: ``[B, D]``, of any length.
        classes: Integers ``[B]``.
        temperature: Cosines are divided by it.

    Returns:
        The mean over samples of log sum over others of exp(s) minus the mean s to those of its
        class; 0 where no sample has a positive.
    """
    unit = F.normalize(projected.float(), dim=-1)
    same = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    cosine = (unit @ unit.T / temperature).masked_fill(same, -torch.inf)
    positive = (classes[:, None] == classes[None]) & ~same
    count = positive.sum(dim=1)
    nearness = torch.where(positive, cosine, 0.0).sum(dim=1) / count.clamp_min(1)
    found = torch.logsumexp(cosine, dim=1) - nearness
    chosen = count > 0
    return found[chosen].mean() if bool(chosen.any()) else unit.sum() * 0
