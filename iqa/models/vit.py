"""Vision transformer whose tensors bear timm's names, with the outputs of chosen blocks.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words" (ICLR 2021). DeiT-III's two changes,
layer scale and positions for patches only, are options (Touvron et al., ECCV 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 16
SIDE = 224
GRID = SIDE // PATCH
POSITIONS = GRID * GRID
NORM_EPS = 1e-6
MLP_RATIO = 4
INIT_SD = 0.02


class Attention(nn.Module):
    """Multi-head self-attention on ``[B, N, D]`` tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        query, key, value = (
            part.reshape(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )  # [B, heads, N, D / heads] each
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two layers with an exact (erf) GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learnable factor for each channel of a residual branch."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block on ``[B, N, D]`` tokens."""

    def __init__(self, width: int, heads: int, layer_scale: float | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width)
        scaled = layer_scale is not None
        self.ls1 = LayerScale(width, layer_scale) if scaled else nn.Identity()
        self.ls2 = LayerScale(width, layer_scale) if scaled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """16x16 pixels to one token: ``[B, 3, 224, 224]`` -> ``[B, 196, D]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """ViT/16 at 224 pixels without pooling.

    Args:
        depth: Blocks that are built.
        width: Token width D.
        heads: Attention heads.
        layer_scale: Start of the residual factors (DeiT-III: 1e-4); None builds none.
        class_position: Whether the class token has a position too; DeiT-III's has none.
        final_norm: Build the norm after the last block.
        classes: Build a classifier of so many classes, which is never run: some checkpoints
            and published parameter counts have it.
    """

    def __init__(
        self,
        depth: int = 12,
        width: int = 384,
        heads: int = 6,
        *,
        layer_scale: float | None = None,
        class_position: bool = True,
        final_norm: bool = True,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.class_position = class_position
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 1e-6)
        self.pos_embed = nn.Parameter(torch.empty(1, POSITIONS + class_position, width))
        self.patch_embed = PatchEmbed(width)
        self.blocks = nn.ModuleList(Block(width, heads, layer_scale) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS) if final_norm else nn.Identity()
        self.head = nn.Linear(width, classes) if classes else nn.Identity()
        nn.init.trunc_normal_(self.pos_embed, std=INIT_SD)
        self.apply(_start)

    def forward(self, image: Tensor) -> Tensor:
        """All blocks and the norm: ``[B, 3, 224, 224]`` -> ``[B, 197, D]``, class token first."""
        return self.norm(self.outputs(image, len(self.blocks))[-1])

    def outputs(self, image: Tensor, depth: int) -> list[Tensor]:
        """Residual stream after each of the first ``depth`` blocks, ``[B, 197, D]`` each."""
        tokens, found = self.embed(image), []
        for block in list(self.blocks)[:depth]:
            tokens = block(tokens)
            found.append(tokens)
        return found

    def embed(self, image: Tensor) -> Tensor:
        """Class and patch tokens with their positions, ``[B, 197, D]``."""
        patches = self.patch_embed(image)  # [B, 196, D]
        first = self.cls_token.expand(patches.shape[0], -1, -1)
        if self.class_position:
            return torch.cat([first, patches], dim=1) + self.pos_embed
        return torch.cat([first, patches + self.pos_embed], dim=1)


def to_grid(tokens: Tensor) -> Tensor:
    """Patch tokens as a map, class token left out: ``[B, 197, D]`` -> ``[B, D, 14, 14]``."""
    batch, _, width = tokens.shape
    return tokens[:, 1:].transpose(1, 2).reshape(batch, width, GRID, GRID)


def _start(module: nn.Module) -> None:
    """timm's initial weights of linear layers."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INIT_SD)
        nn.init.zeros_(module.bias)
