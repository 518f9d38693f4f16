"""How far a score may be off, split by cause: a linear head on the feature the score is read from.

The variance is a sum, var = var_task + sum_k var_k, as in the decoupled uncertainty model of MRI
segmentation (Shaw et al., MELBA 2021:010); a cause for each group of camera faults is ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from iqa.models.scene_head import SceneHead

LOG_VARIANCE = (-12.0, -1.4)  # of quality in 0..1: standard deviations of 0.25 to 50 score points


class UncertaintyHead(nn.Linear):
    """Standard deviations of the score, one a cause.

    It is fitted on a network that is finished (``python -m iqa uncertainty``), so its weights are
    frozen in every other training, which does not write them either. Until then they are zero,
    which claims nothing: 50 points a cause. A state dictionary without them leaves them as they
    are.

    Args:
        width: Of the feature.
        causes: How many; the first is the task itself.
    """

    def __init__(self, width: int, causes: int) -> None:
        super().__init__(width, causes)
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, LOG_VARIANCE[1])
        self.requires_grad_(False)

    @property
    def fitted(self) -> bool:
        """Whether the head says more than that it knows nothing."""
        return bool(self.weight.any())

    def forward(self, feature: Tensor) -> Tensor:
        """``[B, D]`` -> standard deviations ``[B, causes]`` in score points."""
        return 100 * torch.exp(0.5 * super().forward(feature).clamp(*LOG_VARIANCE))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name, value in self.named_parameters():
            state_dict.setdefault(prefix + name, value)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def total(uncertainty: Tensor) -> Tensor:
    """Sigma ``[B]`` of the parts ``[B, causes]``, which are independent of each other."""
    return uncertainty.square().sum(dim=-1).sqrt()


def state_without_head(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network but for those of heads that were fitted on another state of it."""
    heads = heads_of(network)
    return {name: v for name, v in network.state_dict().items() if not name.startswith(heads)}


def heads_of(network: nn.Module) -> tuple[str, ...]:
    """How the names of tensors start that are fitted after training."""
    kinds = UncertaintyHead | SceneHead
    return tuple(name + "." for name, part in network.named_modules() if isinstance(part, kinds))
