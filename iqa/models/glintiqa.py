"""GlintIQA: global and local features, integrated step by step by channel attention.

Source: GlintIQA (arXiv 2408.03885; published code SYSU-Video/GlintIQA, MIT), re-implemented from
its description. What differs from the published code stands in docs/models/glintiqa.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iqa.models.cwsa import ChannelAttention
from iqa.models.integration import Integration, dense_enhancement
from iqa.models.resnet import ResNet
from iqa.models.vit import POSITIONS, VisionTransformer, to_grid

VIEW = "crops:5x5@224"
MEAN = STD = (0.5, 0.5, 0.5)  # for both branches, though ImageNet ResNets are trained with others
# What the bare output spans. The published code regresses the raw labels of its training set; here
# labels are mapped to 0..1 first. A checkpoint trained on other labels needs its own range.
OUTPUT_RANGE = (0.0, 1.0)

WIDTH = 384
TAPS = (6, 7, 8, 9)  # blocks of the vision transformer, from 0
DEPTH = TAPS[-1] + 1
PUBLISHED_DEPTH, PUBLISHED_CLASSES = 12, 1000
# stage: (channels, kernel = stride onto the 14x14 grid)
LOCAL_TAPS = {1: (256, 4), 2: (512, 2), 3: (1024, 1)}
DROPOUT = 0.5
FROZEN_BLOCKS = 5


class LocalFeature(nn.Module):
    """ResNet-50 stages 1-3 brought to one grid and fused: CLFE, ``[B, 384, 14, 14]``."""

    def __init__(self, attention: ChannelAttention) -> None:
        super().__init__()
        self.trunk = ResNet(len(LOCAL_TAPS))
        self.embed = nn.ModuleList(nn.Conv2d(c, WIDTH, k, k) for c, k in LOCAL_TAPS.values())
        self.attention = attention
        self.project = nn.Conv2d(len(LOCAL_TAPS) * WIDTH, WIDTH, 1)

    def forward(self, image: Tensor) -> Tensor:
        taps = zip(self.embed, self.trunk(image), strict=True)
        joined = torch.cat([embed(tap) for embed, tap in taps], dim=1)  # [B, 1152, 14, 14]
        return self.project(self.attention(joined.flatten(2)).reshape(joined.shape))


class GlobalFeatures(nn.Module):
    """Outputs of ViT-S/16 blocks 6-9 without class token: VGFE, four ``[B, 384, 14, 14]``."""

    def __init__(self, as_published: bool) -> None:
        super().__init__()
        self.vit = VisionTransformer(
            PUBLISHED_DEPTH if as_published else DEPTH,
            final_norm=as_published,
            classes=PUBLISHED_CLASSES if as_published else 0,
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        outputs = self.vit.outputs(image, DEPTH)
        return [to_grid(outputs[tap]) for tap in TAPS]


class GlintIQA(nn.Module):
    """The network: RGB crops ``[B, 3, 224, 224]``, normalised, to one score each ``[B]``.

    Args:
        legacy_perm: Scramble the attention's output as the published code does.
        temperature: Learnable temperatures of the channel attention; ours.
        linear_attention: Linearised channel attention; ours, for inference.
        as_published: Build blocks 10, 11, norm and classifier too. They are never run: nothing
            of theirs reaches the score in the published code either.
    """

    def __init__(
        self,
        *,
        legacy_perm: bool = False,
        temperature: bool = False,
        linear_attention: bool = False,
        as_published: bool = False,
    ) -> None:
        super().__init__()

        def attention() -> ChannelAttention:
            return ChannelAttention(
                POSITIONS,
                exact=not linear_attention,
                legacy_perm=legacy_perm,
                temperature=temperature,
                dropout=DROPOUT,
            )

        self.context = GlobalFeatures(as_published)
        self.local = LocalFeature(attention())
        self.integrate = nn.ModuleList(
            Integration(WIDTH, POSITIONS, attention(), dense_enhancement) for _ in TAPS
        )
        self.head = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.score(self.features(self.local(image), self.context(image)))

    def features(self, feature: Tensor, taps: list[Tensor]) -> Tensor:
        """Local feature and global taps to the integrated map, ``[B, 384, 14, 14]``."""
        for step, tap in zip(self.integrate, taps, strict=True):
            feature = step(tap, feature)
        return feature

    def score(self, feature: Tensor) -> Tensor:
        """Integrated map ``[B, 384, 14, 14]`` to ``[B]``."""
        return self.head(feature.mean(dim=(2, 3))).squeeze(-1)

    def linearise(self) -> GlintIQA:
        """Use the linearised channel attention from now on; see :class:`ChannelAttention`.

        Raises:
            UsageError: A temperature is too high for it; nothing is changed then.
        """
        found = [m for m in self.modules() if isinstance(m, ChannelAttention)]
        for attention in sorted(found, key=ChannelAttention.logit_bound, reverse=True):
            attention.linearise()
        return self

    def freeze(self) -> GlintIQA:
        """Stop the gradients that the published recipe stops.

        Frozen are the patch embedding, the first five blocks, and the ResNet up to stage 2 with its
        affine norms. Running statistics of frozen norms still move while the model is in training
        mode, as in the published code.
        """
        vit, trunk = self.context.vit, self.local.trunk
        stem = (trunk.conv1, trunk.bn1, trunk.layer1, trunk.layer2)
        for part in (vit.patch_embed, *list(vit.blocks)[:FROZEN_BLOCKS], *stem):
            part.requires_grad_(False)
        return self


def build(**options: bool) -> GlintIQA:
    """A GlintIQA in evaluation mode with fresh weights; the options are those of the class."""
    return GlintIQA(**options).eval()
