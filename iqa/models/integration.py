"""GlintIQA's integration of local and global features, channel first throughout.

Source: GlintIQA (arXiv 2408.03885): channel-wise self-attention (CWSA) and spatial enhancement
(SIEM). Ours, not the authors': the depthwise-separable SIEM and its activation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqa.models.cwsa import ChannelAttention


class SpatialEnhancement(nn.Module):
    """Depthwise 3x3, pointwise ``inputs -> outputs`` and hard-swish on ``[B, inputs, H, W]``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(self.pointwise(self.depthwise(x)))


def dense_enhancement(inputs: int, outputs: int) -> nn.Conv2d:
    """SIEM as published: one 3x3 convolution without bias, norm or activation."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


class Integration(nn.Module):
    """One progressive step: join the running feature with a global tap, attend, enhance.

    Shapes: ``feature`` and ``tap`` ``[B, D, H, W]`` -> ``[B, D, H, W]``.

    Args:
        width: Channels D of either input.
        positions: H * W.
        attention: Over the ``2 * width`` joined channels; linearised by default.
        enhance: Makes the spatial part from its input and output channels.
    """

    def __init__(
        self,
        width: int,
        positions: int,
        attention: ChannelAttention | None = None,
        enhance: Callable[[int, int], nn.Module] = SpatialEnhancement,
    ) -> None:
        super().__init__()
        self.attention = attention or ChannelAttention(positions)
        self.enhance = enhance(2 * width, width)

    def forward(self, tap: Tensor, feature: Tensor) -> Tensor:
        joined = torch.cat([tap, feature], dim=1)  # [B, 2D, H, W]
        mixed = self.attention(joined.flatten(2)).reshape(joined.shape)
        return self.enhance(mixed)
