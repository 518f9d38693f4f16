"""Losses of the uncertainty head; standard deviations and errors in score points.

Sources: beta-NLL, Seitzer et al., ICLR 2022; the split by cause and the pull towards the clean
picture, the decoupled uncertainty model (Shaw et al., MELBA 2021:010), whose exact terms are not
known to us: the forms here are ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SMALL = -6.0  # log-variance of quality in 0..1 from which a foreign branch is pushed: 5 points


def gaussian_nll(variance: Tensor, square_error: Tensor) -> Tensor:
    """Expected negative log-likelihood ``[B]`` in nats.

    Args:
        variance: ``[B]``.
        square_error: ``[B]``, expected square distance between score and opinion.
    """
    return 0.5 * (square_error / variance + variance.log() + math.log(2 * math.pi))


def beta_nll(variance: Tensor, square_error: Tensor, weight: Tensor, beta: float) -> Tensor:
    """Weighted mean of the likelihood, each frame scaled by its variance to the power of beta.

    With beta 0 this is the likelihood itself, whose gradient small variances rule.
    """
    scaled = variance.detach() ** beta * gaussian_nll(variance, square_error)
    return (weight * scaled).sum() / (weight * variance.detach() ** beta).sum()


def consistency(task: Tensor, clean: Tensor) -> Tensor:
    """The task's part stays what it is on the clean frame; log-variances ``[B]``."""
    return (task - clean.detach()).abs().mean()


def decoupling(causes: Tensor, allowed: Tensor) -> Tensor:
    """A cause may grow only under its own fault.

    Args:
        causes: Log-variances ``[B, K]`` of quality in 0..1.
        allowed: Bool ``[B, K]``, the faults a frame was given.
    """
    return torch.where(allowed, 0.0, F.softplus(causes - SMALL)).sum(dim=-1).mean()
