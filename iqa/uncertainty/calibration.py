"""One temperature on the variance, so that intervals hold what they promise on unseen content."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray

from iqa.models.uncertainty_head import UncertaintyHead, total
from iqa.uncertainty.samples import Samples

Floats = NDArray[np.float64]
AIM = 0.9  # the level whose coverage decides
HALVINGS = 60


def coverage(samples: Samples, sigma: Floats, level: float) -> Floats:
    """How likely an opinion lies in the central ``level`` interval of each score, ``[N]``.

    The opinions of a setting are taken as normal with the mean and deviation that people gave it
    over contents, so nothing is drawn.

    Args:
        samples: Scores and opinions.
        sigma: Standard deviation of each score, ``[N]`` points.
        level: 0 to 1.
    """
    from scipy.stats import norm

    half = norm.ppf(0.5 + level / 2) * sigma
    spread = np.maximum(samples.deviation, 1e-3)
    above, below = samples.score + half, samples.score - half
    return norm.cdf((above - samples.opinion) / spread) - norm.cdf(
        (below - samples.opinion) / spread
    )


def sigma_of(head: UncertaintyHead, samples: Samples) -> Floats:
    """Sigma of each score, ``[N]`` points."""
    with torch.inference_mode():
        return total(head(torch.from_numpy(samples.hidden))).numpy().astype(np.float64)


def calibrated(head: UncertaintyHead, samples: Samples) -> UncertaintyHead:
    """The head with its variances scaled so that 90 % intervals cover 90 % of the rated frames.

    The factor is part of the bias, and the weights are what fp16 leaves of them, as they are kept.
    """
    rated = samples.where(samples.rated)
    low, high = -8.0, 8.0  # logarithm of the factor
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found = coverage(rated, sigma_of(_scaled(head, middle), rated), AIM).mean()
        low, high = (middle, high) if found < AIM else (low, middle)
    return _scaled(head, (low + high) / 2)


def constant_sigma(samples: Samples) -> float:
    """The one sigma for all frames whose 90 % intervals cover 90 % of the rated ones."""
    rated = samples.where(samples.rated)
    low, high = 0.0, 100.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found = coverage(rated, np.full(len(rated), middle), AIM).mean()
        low, high = (middle, high) if found < AIM else (low, middle)
    return (low + high) / 2


def temperature(before: UncertaintyHead, after: UncertaintyHead) -> float:
    """The factor on the variance between two states of a head."""
    return math.exp(float((after.bias - before.bias).mean()))


def _scaled(head: UncertaintyHead, log_factor: float) -> UncertaintyHead:
    out = copy.deepcopy(head)
    out.bias.add_(log_factor)
    for value in out.parameters():
        value.copy_(value.half().float())
    return out
