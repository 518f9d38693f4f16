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
    draws = torch.rand(partner.shape[:2], generator=generator, device=generator.device)
    return shuffled_noise(patches, partner, draws)


def shuffled_noise(patches: Tensor, partner: Tensor, draws: Tensor) -> Tensor:
    """:func:`semantic_noise` with the order of tokens by numbers ``[B, N]`` drawn elsewhere."""
    noise = partner.detach().to(patches.dtype)
    noise = noise - noise.mean(dim=1, keepdim=True)
    order = draws.argsort(dim=1)  # [B, N]
    noise = noise.gather(1, order[..., None].expand_as(noise))
    norm = patches.detach().flatten(1).norm(dim=1)  # [B]
    return noise * (norm / (noise.flatten(1).norm(dim=1) + TINY))[:, None, None]


def perturb(patches: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
    """``patches + strength * noise``; bit for bit ``patches`` where ``strength`` ``[B]`` is 0."""
    return patches + strength[:, None, None] * noise
