"""Networks whose features tell what pictures show, with weights that the user has."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Final

from torch import nn

from iqa.models.checkpoints import State, load_resnet, read_checkpoint
from iqa.models.mobilenet import load_features, stages
from iqa.models.resnet import RESNET50, RESNET101, ResNet
from iqa.saqt.features import Backbone, PooledBackbone
from sdk.errors import UsageError

MOBILENET_LAST = 13
PUBLISHED: Final = "resnet101"
RESNETS: Final = {PUBLISHED: RESNET101, "resnet50": RESNET50}
MOBILENET: Final = "mobilenet_v2"


def load_backbone(name: str, weights: Path | None) -> tuple[Backbone, str]:
    """A backbone, and what tells it from others.

    Args:
        name: resnet101, resnet50, mobilenet_v2, or module:function of the user's. The function is
            given the weights' path, or nothing without one, and returns a torch network or any
            function of uint8 RGB ``[H, W, 3]`` to ``[D]``.
        weights: Checkpoint of the backbone.

    Raises:
        UsageError: The name is unknown, or the weights are missing or do not fit.
    """
    if name not in (*RESNETS, MOBILENET) and ":" not in name:
        raise UsageError(
            f"--backbone {name!r} is not known.",
            hint=f"Give {', '.join(RESNETS)}, {MOBILENET}, or module:function of your own.",
        )
    identity = name
    if weights is not None:
        if not weights.is_file():
            raise UsageError(f"--weights {weights} does not exist.")
        identity += f" {hashlib.sha256(weights.read_bytes()).hexdigest()}"
    if ":" in name:
        return _own(name, weights), identity
    if weights is None:
        raise UsageError(f"--backbone {name} needs --weights.")
    state = read_checkpoint(weights)
    if name == MOBILENET:
        return _mobilenet(state, weights), identity
    resnet = ResNet(4, RESNETS[name])
    load_resnet(resnet, state)
    return PooledBackbone(resnet), identity


def _mobilenet(state: State, weights: Path) -> PooledBackbone:
    blocks = stages(0, MOBILENET_LAST)
    try:
        load_features(blocks, dict(state))
    except (KeyError, RuntimeError) as error:
        raise UsageError(
            f"--weights {weights} are not of a MobileNetV2 with folded batch norm: {error}."
        ) from error
    return PooledBackbone(nn.Sequential(*blocks.values()), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _own(name: str, weights: Path | None) -> Backbone:
    module, _, function = name.partition(":")
    try:
        make = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"--backbone {name} cannot be loaded: {error}.",
            hint="module:function must be importable from where the command runs.",
        ) from error
    made = make() if weights is None else make(weights)
    if isinstance(made, nn.Module):
        return PooledBackbone(made)
    if not callable(made):
        raise UsageError(f"--backbone {name} gave {type(made).__name__}, which is no function.")
    return made
