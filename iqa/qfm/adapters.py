"""Networks with an integration stage, cut before it so that noise can enter.

Local feature and global taps, side by side, are the tokens; the integration is the decoder. To cut
after it would be in vain: what follows is a mean over positions, and the noise has no mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iqa.models.glint_edge import GlintEdge
from iqa.models.glintiqa import GlintIQA
from iqa.qfm.protocol import Opinion, Tokens


class GlintIQATokens(nn.Module):
    """A GlintIQA as a token model; its inputs are normalised crops ``[B, 3, 224, 224]``."""

    def __init__(self, model: GlintIQA) -> None:
        super().__init__()
        self.model = model

    def tokens(self, image: Tensor) -> Tokens:
        """``[B, 196, 5 * 384]``."""
        return to_tokens(self.model.local(image), self.model.context(image))

    def head(self, tokens: Tokens) -> Opinion:
        """The bare score, whose labels must lie in 0..1."""
        feature, *taps = to_maps(tokens, 1 + len(self.model.integrate))
        feature = self.model.features(feature, taps)
        return Opinion(self.model.score(feature), feature.mean(dim=(2, 3)))


class GlintEdgeTokens(nn.Module):
    """A glint-edge as a token model; its inputs are what ``deep_logits`` takes."""

    def __init__(self, model: GlintEdge) -> None:
        super().__init__()
        self.model = model

    def tokens(self, trunk: tuple[Tensor, Tensor, Tensor]) -> Tokens:
        """``[B, 196, (1 + blocks) * 192]`` from the trunk's outputs."""
        local4, local8, context8 = trunk
        return to_tokens(self.model.local(local4, local8), self.model.context(context8))

    def head(self, tokens: Tokens) -> Opinion:
        """The quality, 0 to 1."""
        feature, *taps = to_maps(tokens, 1 + len(self.model.integrate))
        for step, tap in zip(self.model.integrate, taps, strict=True):
            feature = step(tap, feature)
        hidden = self.model.hidden(feature.mean(dim=(2, 3)))
        return Opinion(torch.sigmoid(self.model.quality(hidden)[:, 0]), hidden)


def to_tokens(feature: Tensor, taps: list[Tensor]) -> Tokens:
    """Maps ``[B, D, H, W]`` side by side as tokens ``[B, H * W, K * D]``."""
    return Tokens(torch.cat([feature, *taps], dim=1).flatten(2).transpose(1, 2).contiguous())


def to_maps(tokens: Tokens, count: int) -> list[Tensor]:
    """What :func:`to_tokens` joined."""
    batch, positions, width = tokens.patches.shape
    side = round(positions**0.5)
    maps = tokens.patches.transpose(1, 2).reshape(batch, width, side, side)
    return list(maps.chunk(count, dim=1))
