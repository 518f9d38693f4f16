"""What a frame shows: a linear head on a pooled feature, a probability for each scene.

Scenes beside quality are LIQE's idea (Zhang et al., CVPR 2023), which reads them from CLIP's text
embeddings; a linear head on the features of the quality network is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class SceneHead(nn.Linear):
    """Probability of each scene. Several may hold at once, so they need not sum to 1.

    It is fitted on a network that is finished (``python -m iqa scenes``), so its weights are frozen
    in every other training, which does not write them either. Until then it has no scenes and no
    place in a state dictionary; one that knows scenes gives it theirs.

    Args:
        width: Of the feature.
        scenes: How many.
    """

    def __init__(self, width: int, scenes: int = 0) -> None:
        nn.Module.__init__(self)
        self.in_features = width
        self._take(scenes)

    @property
    def fitted(self) -> bool:
        """Whether it knows any scene."""
        return self.out_features > 0

    def forward(self, feature: Tensor) -> Tensor:
        """``[B, D]`` -> probabilities ``[B, S]``."""
        return torch.sigmoid(super().forward(feature))

    def make_room_for(self, state: Mapping[str, Any], prefix: str) -> None:
        """Take on as many scenes as ``state`` has under ``prefix``, if it has any."""
        if prefix + "bias" in state:
            self._take(len(state[prefix + "bias"]))

    def _take(self, scenes: int) -> None:
        self.out_features = scenes
        weight, bias = torch.zeros(scenes, self.in_features), torch.zeros(scenes)
        for name, value in (("weight", weight), ("bias", bias)):
            self.register_parameter(
                name, nn.Parameter(value, requires_grad=False) if scenes else None
            )

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        self.make_room_for(state_dict, prefix)
        if prefix + "bias" not in state_dict:
            for name, value in self.named_parameters():
                state_dict.setdefault(prefix + name, value)
        super()._load_from_state_dict(state_dict, prefix, *rest)
