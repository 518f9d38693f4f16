"""The head on frozen features: a few hundred full-batch steps, seconds on a CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iqa.models.uncertainty_head import LOG_VARIANCE, UncertaintyHead
from iqa.uncertainty import losses
from iqa.uncertainty.samples import Samples

ANCHOR_WEIGHT = 0.25  # of frames nobody rated, as in training
LEAST_SPREAD = 0.05  # of a feature: one that hardly varies says nothing and must not explode


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Numbers of a fit; the weights of the losses are ours.

    Attributes:
        beta: Of the beta-NLL; 0 for the plain likelihood.
        consistency: Weight of the task's part staying what it is on the clean frame.
        decoupling: Weight of no cause growing under a foreign fault.
        decay: Weight of the square of the coefficients on standardised features.
        steps: Full-batch steps.
        rate: Of Adam at the start; it falls to nothing by half a cosine.
        seed: Of the start.
    """

    beta: float = 0.5
    consistency: float = 0.1
    decoupling: float = 1.0
    decay: float = 0.01
    steps: int = 400
    rate: float = 0.02
    seed: int = 0


def expected_square(samples: Samples) -> Tensor:
    """``[N]`` square points between the score and what people would give: the setting's mean,
    from which contents deviate.
    """
    error = samples.score - samples.opinion
    return torch.from_numpy(np.square(error) + np.square(samples.deviation))


def fit_head(samples: Samples, causes: int, settings: FitSettings) -> UncertaintyHead:
    """A head of ``causes`` parts for frames as in ``samples``; not calibrated yet."""
    mean, spread = _scale(samples)
    features = (torch.from_numpy(samples.hidden) - mean) / spread
    square, allowed = expected_square(samples), torch.from_numpy(samples.groups)
    clean = torch.from_numpy(samples.clean)
    trust = torch.where(torch.from_numpy(samples.rated), 1.0, ANCHOR_WEIGHT)
    generator = torch.Generator().manual_seed(settings.seed)
    weight = 0.01 * torch.randn(causes, features.shape[1], generator=generator)
    start = math.log(float((trust * square).sum() / trust.sum()) / 1e4 / causes)
    bias = torch.full((causes,), start)
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.Adam(parameters, lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        log_variance = (features @ weight.T + bias).clamp(*LOG_VARIANCE)
        variance = 1e4 * log_variance.exp().sum(dim=-1)  # square points
        task, others = log_variance[:, 0], log_variance[:, 1:]
        loss = losses.beta_nll(variance, square, trust, settings.beta)
        loss = loss + settings.consistency * losses.consistency(task, task[clean])
        loss = loss + settings.decoupling * losses.decoupling(others, allowed)
        loss = loss + settings.decay * weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return _folded(weight.detach(), bias.detach(), mean, spread)


def _scale(samples: Samples) -> tuple[Tensor, Tensor]:
    hidden = torch.from_numpy(samples.hidden)
    return hidden.mean(dim=0), hidden.std(dim=0).clamp_min(LEAST_SPREAD)


def _folded(weight: Tensor, bias: Tensor, mean: Tensor, spread: Tensor) -> UncertaintyHead:
    """The head on features as they are."""
    head = UncertaintyHead(weight.shape[1], len(weight))
    head.weight.copy_(weight / spread)
    head.bias.copy_(bias - (weight / spread) @ mean)
    return head
