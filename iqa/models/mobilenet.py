"""MobileNetV2 up to stride 16, batch norm folded, with TensorFlow's SAME padding.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018).
Layer names follow torchvision's, so a folded torchvision-style state dict loads unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Per block 1..13: expansion, output channels, stride (table 2 of the paper, rows unrolled).
BLOCKS = (
    (1, 16, 1),
    (6, 24, 2), (6, 24, 1),
    (6, 32, 2), (6, 32, 1), (6, 32, 1),
    (6, 64, 2), (6, 64, 1), (6, 64, 1), (6, 64, 1),
    (6, 96, 1), (6, 96, 1), (6, 96, 1),
)  # fmt: skip
STEM_CHANNELS = 32


class SameConv(nn.Conv2d):
    """3x3 convolution padded as in TensorFlow: stride 2 pads even sizes right and below only."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride, 1 if stride == 1 else 0, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 2:
            x = F.pad(x, (0, 1, 0, 1))
        return super().forward(x)


def conv_relu6(conv: nn.Module) -> nn.Sequential:
    """A convolution and its ReLU6, named ``.0`` and ``.1`` as in torchvision."""
    return nn.Sequential(conv, nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1; residual where shapes agree."""

    def __init__(self, inputs: int, expansion: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [conv_relu6(nn.Conv2d(inputs, hidden, 1))]
        layers.append(conv_relu6(SameConv(hidden, hidden, stride, groups=hidden)))
        self.conv = nn.Sequential(*layers, nn.Conv2d(hidden, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


def stages(first: int, last: int) -> nn.ModuleDict:
    """Blocks ``first``..``last`` of MobileNetV2 by their torchvision index (0 is the stem)."""
    built = nn.ModuleDict()
    if first == 0:
        built["0"] = conv_relu6(SameConv(3, STEM_CHANNELS, 2))
    for index in range(max(first, 1), last + 1):
        inputs = STEM_CHANNELS if index == 1 else BLOCKS[index - 2][1]
        expansion, outputs, stride = BLOCKS[index - 1]
        built[str(index)] = InvertedResidual(inputs, expansion, outputs, stride)
    return built


def load_features(module: nn.ModuleDict, weights: dict[str, Tensor]) -> None:
    """Copy ``features.<index>.*`` tensors of a folded MobileNetV2 into ``module``.

    Args:
        module: What :func:`stages` built.
        weights: State dict with torchvision names, batch norm folded.

    Raises:
        KeyError: A tensor that ``module`` needs is absent; the message names it.
    """
    wanted = {name: weights[f"features.{name}"].to(torch.float32) for name in module.state_dict()}
    module.load_state_dict(wanted, strict=True)
