"""Networks whose features tell what pictures show, with weights that the user has."""

from __future__ import annotations

import hashlib
from enum import Enum
from pathlib import Path

from torch import nn

from iqa.models.checkpoints import load_resnet, read_checkpoint
from iqa.models.mobilenet import load_features, stages
from iqa.models.resnet import RESNET50, RESNET101, ResNet
from iqa.saqt.features import PooledBackbone

MOBILENET_LAST = 13


class BackboneName(str, Enum):
    """Networks whose features can be compared; the published pipeline has resnet101."""

    resnet101 = "resnet101"
    resnet50 = "resnet50"
    mobilenet_v2 = "mobilenet_v2"


def load_backbone(name: BackboneName, weights: Path) -> tuple[PooledBackbone, str]:
    """A backbone with the user's weights, and what tells it from others."""
    state = read_checkpoint(weights)
    identity = f"{name.value} {hashlib.sha256(weights.read_bytes()).hexdigest()}"
    if name is BackboneName.mobilenet_v2:
        blocks = stages(0, MOBILENET_LAST)
        load_features(blocks, state)
        network = nn.Sequential(*blocks.values())
        return PooledBackbone(network, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), identity
    resnet = ResNet(4, RESNET101 if name is BackboneName.resnet101 else RESNET50)
    load_resnet(resnet, state)
    return PooledBackbone(resnet), identity
