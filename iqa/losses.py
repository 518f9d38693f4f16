"""Training losses on quality in 0..1 (``(mos - 1) / 4``)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RANK_TEMPERATURE = 0.1
RANK_MARGIN = 0.03  # pairs closer than 0.12 MOS carry no order worth teaching
TRUSTED = 0.5  # labels below this weight are compared only inside their group


def regression(quality: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted smooth L1; all ``[B]``."""
    error = F.smooth_l1_loss(quality, target, beta=0.05, reduction="none")
    return (weight * error).sum() / weight.sum()


def comparable(target: Tensor, weight: Tensor, group: Tensor) -> Tensor:
    """``[B, B]`` mask of ordered pairs (i better than j) whose order the labels vouch for."""
    trusted = weight >= TRUSTED
    allowed = (trusted[:, None] & trusted[None]) | (group[:, None] == group[None])
    return allowed & (target[:, None] - target[None] > RANK_MARGIN)


def ranking(quality: Tensor, target: Tensor, weight: Tensor, group: Tensor) -> Tensor:
    """Logistic loss over every comparable pair of the batch (RankNet, Burges et al. 2005)."""
    pairs = comparable(target, weight, group)
    gap = (quality[:, None] - quality[None])[pairs] / RANK_TEMPERATURE
    return F.softplus(-gap).mean() if gap.numel() else quality.sum() * 0


def fidelity(quality: Tensor, target: Tensor, weight: Tensor, group: Tensor) -> Tensor:
    """Fidelity loss over every comparable pair and every tie of the batch (Tsai et al. 2007).

    The chance that one is better is the normal distribution function of their distance in MOS
    points (Thurstone's model), as in LIQE (Zhang et al., CVPR 2023). Unlike `ranking` it ends at 1,
    so a pair that is wholly wrong pulls no harder than others.
    """
    gap = 4 * (quality[:, None] - quality[None])  # [B, B]
    better = comparable(target, weight, group)
    tie = (target[:, None] == target[None]) & ((weight >= TRUSTED)[:, None] & (weight >= TRUSTED))
    tie = torch.triu(tie, diagonal=1)
    right, wrong = root_normal(gap), root_normal(-gap)
    found = torch.cat([1 - right[better], 1 - 0.5**0.5 * (right + wrong)[tie]])
    return found.mean() if found.numel() else quality.sum() * 0


def root_normal(value: Tensor) -> Tensor:
    """Square root of the normal distribution function, with finite gradients far out."""
    return torch.exp(0.5 * torch.special.log_ndtr(value))


def correlation(quality: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - weighted Pearson correlation over the batch."""
    share = weight / weight.sum()
    q = quality - (share * quality).sum()
    t = target - (share * target).sum()
    covariance = (share * q * t).sum()
    return 1 - covariance / ((share * q * q).sum() * (share * t * t).sum() + 1e-8).sqrt()


def spread(quality: Tensor, log_variance: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Gaussian negative log-likelihood of the error in MOS points; trains the variance alone."""
    error = 4 * (quality.detach() - target)
    nll = 0.5 * (error**2 * torch.exp(-log_variance) + log_variance)
    return (weight * nll).sum() / weight.sum()


def cause(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with a target posterior, ``[B, K]`` both."""
    return -(target * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


def cause_fidelity(logits: Tensor, target: Tensor) -> Tensor:
    """Fidelity loss of a posterior with one cause, or shares that sum to 1, ``[B, K]`` both."""
    root = torch.exp(0.5 * torch.log_softmax(logits, dim=-1))
    return (1 - (target.sqrt() * root).sum(dim=-1)).mean()


def label_fidelity(logits: Tensor, labels: Tensor) -> Tensor:
    """Fidelity loss of labels that may hold at once, 0 to 1, ``[B, K]`` both."""
    holds, fails = (torch.exp(0.5 * F.logsigmoid(sign * logits)) for sign in (1, -1))
    return (1 - labels.sqrt() * holds - (1 - labels).sqrt() * fails).mean()
