"""GlintIQA's integration of local and global features, channel first throughout.

Source: GlintIQA (arXiv 2408.03885): channel-wise self-attention (CWSA) with identity permutation,
and spatial enhancement (SIEM). Ours, not the authors': the linearised attention, the depthwise-
separable SIEM and its activation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6  # 1e-12 of the published code underflows in fp16


class ChannelAttention(nn.Module):
    """Self-attention between channels, each a vector of ``positions`` values.

    The logits are cosines / sqrt(positions), at most 1/14 for 196 positions, so exp(x) is
    replaced by 1 + x: the attention becomes two small products and no channels x channels matrix
    is formed. The error against the softmax is about 1e-5 of the output.

    Shapes: ``[B, C, N]`` in and out, with ``N = positions``.
    """

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(positions, 3 * positions)
        self.norm = nn.LayerNorm(positions)
        self.scale = positions**-0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.attend(*self.project(x))) + x

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit-length queries and keys, and values, each ``[B, C, N]``."""
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return (
            F.normalize(query, dim=-1, eps=NORM_EPS),
            F.normalize(key, dim=-1, eps=NORM_EPS),
            value,
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Linearised attention, ``[B, C, N]``."""
        context = key.transpose(-1, -2) @ value * self.scale  # [B, N, N]
        total = key.sum(dim=-2, keepdim=True).transpose(-1, -2) * self.scale  # [B, N, 1]
        numerator = value.sum(dim=-2, keepdim=True) + query @ context  # [B, C, N]
        return numerator / (value.shape[-2] + query @ total)

    def attend_exact(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The softmax that :meth:`attend` stands for; the reference of its tests."""
        logits = query @ key.transpose(-1, -2) * self.scale  # [B, C, C]
        return torch.softmax(logits, dim=-1) @ value


class SpatialEnhancement(nn.Module):
    """Depthwise 3x3, pointwise ``inputs -> outputs`` and hard-swish on ``[B, inputs, H, W]``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(self.pointwise(self.depthwise(x)))


class Integration(nn.Module):
    """One progressive step: join the running feature with a global tap, attend, enhance.

    Shapes: ``feature`` and ``tap`` ``[B, D, H, W]`` -> ``[B, D, H, W]``.
    """

    def __init__(self, width: int, positions: int) -> None:
        super().__init__()
        self.attention = ChannelAttention(positions)
        self.enhance = SpatialEnhancement(2 * width, width)

    def forward(self, tap: Tensor, feature: Tensor) -> Tensor:
        joined = torch.cat([tap, feature], dim=1)  # [B, 2D, H, W]
        mixed = self.attention(joined.flatten(2)).reshape(joined.shape)
        return self.enhance(mixed)
