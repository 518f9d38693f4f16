"""ResNet-50 and -101 with torchvision's tensor names, with the outputs of their stages.

Source: He et al., "Deep Residual Learning" (CVPR 2016), with the stride of a stage in the 3x3
convolution of its first bottleneck, as torchvision and timm have it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RESNET50 = (3, 4, 6, 3)  # bottlenecks of stages 1-4
RESNET101 = (3, 4, 23, 3)
STEM = 64
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, each with batch norm; residual."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """Stem and the first ``stages`` stages, without pooling or classifier.

    Shapes: ``[B, 3, 224, 224]`` -> one map a stage, ``[B, 256, 56, 56]``, ``[B, 512, 28, 28]``,
    ``[B, 1024, 14, 14]``, ``[B, 2048, 7, 7]``.
    """

    def __init__(self, stages: int = 3, depths: tuple[int, ...] = RESNET50) -> None:
        super().__init__()
        self.stages = stages
        self.conv1 = nn.Conv2d(3, STEM, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for index in range(stages):
            self.add_module(f"layer{index + 1}", _stage(index, depths[index]))
        self.apply(_start)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        found = []
        for index in range(self.stages):
            x = self.get_submodule(f"layer{index + 1}")(x)
            found.append(x)
        return found


def _stage(index: int, depth: int) -> nn.Sequential:
    width, stride = STEM * 2**index, 1 if index == 0 else 2
    inputs = STEM if index == 0 else STEM * 2 ** (index - 1) * EXPANSION
    blocks = [Bottleneck(inputs, width, stride)]
    blocks += [Bottleneck(width * EXPANSION, width, 1) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def _start(module: nn.Module) -> None:
    """torchvision's initial weights of convolutions."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
