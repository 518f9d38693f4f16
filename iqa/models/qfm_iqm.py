"""QFM-IQM's network: a vision transformer and six learned queries that form an opinion each.

Source: QFM-IQM (arXiv 2312.06158) corrects the base network DEIQT, whose shapes are public;
re-implemented from a description. What the paper adds happens in training only
(:mod:`iqa.qfm`). What is verified and what is our choice: docs/models/qfm-iqm.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqa.models.vit import Mlp, VisionTransformer
from iqa.qfm.protocol import Opinion, Tokens

VIEW = "crops:3x3@224"  # a fixed grid of 9 for DEIQT's 10 random crops
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
OUTPUT_RANGE = (0.0, 1.0)  # labels are mapped to 0..1 for training

WIDTH = 384
HEADS = 6
QUERIES = 6
QUERY_SD = 0.02
LAYER_SCALE = 1e-4


class MultiHead(nn.Module):
    """Attention of queries ``[B, Q, D]`` to a memory ``[B, N, D]``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        parts = (self.query(queries), *self.key_value(memory).chunk(2, dim=-1))
        query, key, value = (self._split(part) for part in parts)  # [B, heads, ., D / heads]
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(queries.shape))

    def _split(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        return x.reshape(batch, tokens, self.heads, width // self.heads).transpose(1, 2)


class Panel(nn.Module):
    """One pre-norm decoder layer: queries look at each other, then at the patches."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS, queries: int = QUERIES) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, queries, width) * QUERY_SD)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attend_self = MultiHead(width, heads)
        self.attend_patches = MultiHead(width, heads)
        self.mlp = Mlp(width)
        self.opinion = nn.Linear(width, 1, bias=False)

    def forward(self, patches: Tensor, context: Tensor) -> Tensor:
        """Patches ``[B, N, D]`` and class token ``[B, D]`` -> panel ``[B, 6, D]``."""
        x = self.queries + context[:, None]
        normed = self.norm1(x)
        x = x + self.attend_self(normed, normed)
        x = x + self.attend_patches(self.norm2(x), patches)
        return x + self.mlp(self.norm3(x))


class QfmIqm(nn.Module):
    """The network: RGB crops ``[B, 3, 224, 224]``, normalised, to one score each ``[B]``.

    Args:
        depth: Transformer blocks; 12 as described.
    """

    def __init__(self, depth: int = 12) -> None:
        super().__init__()
        self.vit = VisionTransformer(
            depth, WIDTH, HEADS, layer_scale=LAYER_SCALE, class_position=False
        )
        self.panel = Panel()

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.tokens(image)).score

    def opinions(self, image: Tensor) -> Tensor:
        """The six opinions ``[B, 6]``; their spread is not a calibrated uncertainty."""
        hidden = self.head(self.tokens(image)).hidden
        return self.panel.opinion(hidden).squeeze(-1)

    def tokens(self, image: Tensor) -> Tokens:
        """Patch tokens ``[B, 196, D]`` and class token ``[B, D]`` after the last norm."""
        tokens = self.vit(image)
        return Tokens(tokens[:, 1:].contiguous(), tokens[:, 0])

    def head(self, tokens: Tokens) -> Opinion:
        """The mean of six opinions, and the panel that they are read from."""
        panel = self.panel(*tokens)
        return Opinion(self.panel.opinion(panel).mean(dim=(1, 2)), panel)


def build(**options: int) -> QfmIqm:
    """A QFM-IQM network in evaluation mode with fresh weights."""
    return QfmIqm(**options).eval()
