"""Norm-matched semantic noise. The formula is our choice; the authors' is not known to us."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-6


def semantic_noise(patches: Tensor, partner: Tensor, generator: torch.Generator) -> Tensor:
    """What is added at strength 1: the partner's tokens without their mean, at the sample's norm.

    Tokens are shuffled in each sample, so that content is injected and layout is not. Without their
    mean, so that the noise is no constant bias.

    Args:
        patches: ``[B, N, D]``, the samples' tokens.
        partner: ``[B, N, D]``, those of their partners.
        generator: Of the shuffling.

    Returns:
        ``[B, N, D]`` without gradient, each of the sample's Frobenius norm.
    """
    noise = partner.detach().to(patches.dtype)
    noise = noise - noise.mean(dim=1, keepdim=True)
    order = torch.rand(noise.shape[:2], generator=generator).argsort(dim=1)  # [B, N]
    noise = noise.gather(1, order[..., None].expand_as(noise))
    norm = patches.detach().flatten(1).norm(dim=1)  # [B]
    return noise * (norm / (noise.flatten(1).norm(dim=1) + TINY))[:, None, None]


def perturb(patches: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
    """``patches + strength * noise``; bit for bit ``patches`` where ``strength`` ``[B]`` is 0."""
    return patches + strength[:, None, None] * noise
