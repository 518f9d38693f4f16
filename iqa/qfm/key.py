"""What a picture shows, told by a network that is not trained."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from iqa.models.vit import VisionTransformer


class FrozenKey:
    """Class token of a frozen copy of a vision transformer, of unit length.

    Frozen, since a key that learns with the student could satisfy the matching by forgetting what
    pictures show.
    """

    def __init__(self, vit: VisionTransformer) -> None:
        self.vit = copy.deepcopy(vit).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Normalised crops ``[B, 3, 224, 224]`` -> ``[B, D]``."""
        return F.normalize(self.vit(image)[:, 0], dim=-1)
