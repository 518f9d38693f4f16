"""``glint-edge``: a small two-view descendant of GlintIQA for camera frames of any resolution.

A local branch sees native-resolution fragments (noise, blur, blocking as they are), a global
branch sees the whole frame reduced (content, exposure, haze). Features meet by progressive
integration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqa.models.integration import ChannelAttention, Integration
from iqa.models.mobilenet import load_features, stages
from iqa.models.scene_head import SceneHead
from iqa.models.uncertainty_head import UncertaintyHead, total

VIEWS = {"fragments": "fragments:7x32", "resize": "resize:224x224"}
OUTPUTS = ("score", "mos", "sigma", "distortions", "uncertainty", "features")
DISTORTION_LABELS = (
    "none", "blur", "noise", "compression", "colour", "exposure",
    "contrast", "banding", "smoothing", "sharpening", "pixelation", "corruption",
)  # fmt: skip
UNCERTAINTY_LABELS = ("task", "blur", "noise", "compression", "colour", "exposure")

WIDTH = 192
TAP_WIDTH = 96  # of each local tap; GlintIQA gives every tap the full width
HEADS = 3
GRID = 14  # a 224 pixel side at stride 16
POSITIONS = GRID * GRID
SHARED_LAST = 6  # trunk blocks up to here serve both views
TRUNK_LAST = 13
TAPS = {
    3: (24, 4),
    6: (32, 2),
    13: (96, 1),
}  # block: (channels, kernel = stride onto the 14x14 grid)


class Block(nn.Module):
    """Pre-norm transformer block on ``[B, N, D]`` tokens (ViT, Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def attend(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [B, heads, N, 64] each
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class PatchConv(nn.Conv2d):
    """Convolution of patches side by side: stride = kernel, as a 1x1 over each patch's values.

    The same numbers as ``nn.Conv2d``. oneDNN, in torch 2.13 and in OpenVINO 2026.4 alike, computes
    the direct form wrongly in bf16 on AMX where there are 16 to 31 input channels and the kernel
    is 4: its values were off by several standard deviations.
    """

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, size, size)

    def forward(self, x: Tensor) -> Tensor:
        patches = F.pixel_unshuffle(x, self.kernel_size[0])  # [B, C * k * k, H / k, W / k]
        return F.conv2d(patches, self.weight.flatten(1)[..., None, None], self.bias)


class LocalBranch(nn.Module):
    """Trunk taps at strides 4, 8 and 16 of the fragments -> one feature ``[B, D, 14, 14]``."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = stages(SHARED_LAST + 1, TRUNK_LAST)
        self.embed = nn.ModuleList(PatchConv(c, TAP_WIDTH, k) for c, k in TAPS.values())
        self.attention = ChannelAttention(POSITIONS)
        self.project = nn.Conv2d(len(TAPS) * TAP_WIDTH, WIDTH, 1)

    def forward(self, stride4: Tensor, stride8: Tensor) -> Tensor:
        stride16 = run(self.deep, stride8)  # [B, 96, 14, 14]
        taps = (stride4, stride8, stride16)
        joined = torch.cat([embed(t) for embed, t in zip(self.embed, taps, strict=True)], dim=1)
        return self.project(self.attention(joined.flatten(2)).reshape(joined.shape))


class GlobalBranch(nn.Module):
    """Tokens of the resized view through transformer blocks; each block's output is a tap."""

    def __init__(self, blocks: int, mlp_ratio: int) -> None:
        super().__init__()
        self.deep = stages(SHARED_LAST + 1, TRUNK_LAST)
        self.embed = nn.Conv2d(TAPS[TRUNK_LAST][0], WIDTH, 1)
        self.position = nn.Parameter(torch.randn(1, POSITIONS, WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, mlp_ratio) for _ in range(blocks))

    def forward(self, stride8: Tensor) -> list[Tensor]:
        grid = self.embed(run(self.deep, stride8))  # [B, D, 14, 14]
        tokens = grid.flatten(2).transpose(1, 2) + self.position  # [B, 196, D]
        taps = []
        for block in self.blocks:
            tokens = block(tokens)
            taps.append(tokens.transpose(1, 2).reshape(grid.shape))
        return taps


class GlintEdge(nn.Module):
    """The network. Inputs are uint8 ``[B, 224, 224, 3]`` RGB views; normalisation is inside.

    Returns:
        score: ``[B]``, 0-100, higher is better.
        mos: ``[B]``, 1-5, the same opinion on the five-point scale.
        sigma: ``[B]``, standard deviation of the score in score points.
        distortions: ``[B, 12]`` posterior over :data:`DISTORTION_LABELS`.
        uncertainty: ``[B, 6]``, sigma by :data:`UNCERTAINTY_LABELS`: the root of the sum of their
            squares is sigma. Fitted after training; see :mod:`iqa.uncertainty`.
        features: ``[B, 192]``, what all of these are read from.
        scenes: ``[B, S]``, probability of each scene; only where a head for them was fitted, see
            :mod:`iqa.scenes`.
    """

    fitted_later: ClassVar = {
        "uncertainty.": "Fit the uncertainty to them first: python -m iqa uncertainty WEIGHTS …"
    }

    def __init__(self, blocks: int = 2, mlp_ratio: int = 2) -> None:
        super().__init__()
        self.trunk = stages(0, SHARED_LAST)
        self.local = LocalBranch()
        self.context = GlobalBranch(blocks, mlp_ratio)
        self.integrate = nn.ModuleList(Integration(WIDTH, POSITIONS) for _ in range(blocks))
        self.hidden = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(0.1))
        # Logit of the score, and a log-variance of the score / 25 that shapes training alone.
        self.quality = nn.Linear(WIDTH, 2)
        self.cause = nn.Linear(WIDTH, len(DISTORTION_LABELS))
        self.uncertainty = UncertaintyHead(WIDTH, len(UNCERTAINTY_LABELS))
        self.scenes = SceneHead(WIDTH)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it returns, in order."""
        return (*OUTPUTS, "scenes") if self.scenes.fitted else OUTPUTS

    def make_room_for(self, state: Mapping[str, Tensor]) -> None:
        """Take on the form of weights that are to be loaded: with the scenes that they know."""
        self.scenes.make_room_for(state, "scenes.")

    def forward(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, ...]:
        hidden, context = self.both_features(fragments, resize)
        quality = torch.sigmoid(self.quality(hidden)[:, 0])
        distortions = torch.softmax(self.cause(hidden), dim=-1)
        uncertainty = self.uncertainty(hidden)
        sigma = total(uncertainty)
        found = (100 * quality, 1 + 4 * quality, sigma, distortions, uncertainty, hidden)
        return (*found, self.scenes(context)) if self.scenes.fitted else found

    def embedding(self, fragments: Tensor, resize: Tensor) -> Tensor:
        """What every output but the scenes is read from, ``[B, 192]``."""
        return self.both_features(fragments, resize)[0]

    def both_features(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding, and what the global branch alone makes of the frame, ``[B, 192]`` both."""
        # One pass of the trunk over both views: a tenth faster on two cores than two passes.
        stride4, stride8 = self.shallow(torch.cat([fragments.float(), resize.float()]))
        frames = fragments.shape[0]  # slices, not chunk(2), so that a free batch can be exported
        feature, context = self.pooled(stride4[:frames], stride8[:frames], stride8[frames:])
        return self.hidden(feature), context

    def deep_logits(
        self, local4: Tensor, local8: Tensor, context8: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quality logit ``[B]``, log-variance ``[B]`` and cause logits ``[B, 12]``.

        Args:
            local4: The trunk's outputs, which training with a frozen trunk caches.
            local8: Likewise.
            context8: Likewise.
        """
        pooled = self.hidden(self.features(local4, local8, context8))
        logit, log_variance = self.quality(pooled).unbind(-1)
        return logit, log_variance.clamp(-8, 4), self.cause(pooled)

    def features(self, local4: Tensor, local8: Tensor, context8: Tensor) -> Tensor:
        """Integrated feature averaged over positions, ``[B, D]``."""
        return self.pooled(local4, local8, context8)[0]

    def pooled(self, local4: Tensor, local8: Tensor, context8: Tensor) -> tuple[Tensor, Tensor]:
        """Averages over positions of the integrated feature and of the last tap, ``[B, D]``."""
        feature = self.local(local4, local8)
        taps = self.context(context8)
        for step, tap in zip(self.integrate, taps, strict=True):
            feature = step(tap, feature)
        return feature.mean(dim=(2, 3)), taps[-1].mean(dim=(2, 3))

    def shallow(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Shared trunk: uint8 view ``[B, 224, 224, 3]`` -> strides 4 and 8, 24 and 32 channels."""
        x = (view.float() - 127.5) / 127.5  # cast first: TensorRT refuses to transpose uint8
        x = x.permute(0, 3, 1, 2)
        for index, block in self.trunk.items():
            x = block(x)
            if index == "3":
                stride4 = x
        return stride4, x

    def load_imagenet(self, weights: dict[str, Tensor]) -> None:
        """Start every MobileNetV2 stage from folded ImageNet weights (torchvision names)."""
        for part in (self.trunk, self.local.deep, self.context.deep):
            load_features(part, weights)


def run(blocks: nn.ModuleDict, x: Tensor) -> Tensor:
    """Apply ``blocks`` in order."""
    for block in blocks.values():
        x = block(x)
    return x


def build(**options: int) -> GlintEdge:
    """A ``glint-edge`` in evaluation mode with fresh weights; the entry point for the exporter."""
    return GlintEdge(**options).eval()
