"""The losses that a recipe can weigh, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from iqa import losses
from iqa.training.batch import Batch
from sdk.errors import UsageError


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model says of a batch; None for what it does not say.

    Attributes:
        quality: ``[B]``, 0 to 1, not clipped.
        log_variance: ``[B]``, of the error in MOS points.
        causes: ``[B, 12]`` logits of the kind of distortion.
    """

    quality: Tensor
    log_variance: Tensor | None = None
    causes: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Outputs:
        """``change`` applied to each, in float32: losses of half numbers would round away."""
        values = (getattr(self, field.name) for field in fields(self))
        return Outputs(*(None if v is None else change(v.float()) for v in values))


@dataclass(frozen=True, slots=True)
class Loss:
    """One term.

    Attributes:
        of: The value, from outputs and labels.
        output: The output that it needs.
        causes: Whether it needs labels of the kind of distortion.
    """

    of: Callable[[Outputs, Batch], Tensor]
    output: str = "quality"
    causes: bool = False


LOSSES: Mapping[str, Loss] = {
    "l1": Loss(lambda o, b: F.l1_loss(o.quality, b.target)),
    "smooth_l1": Loss(lambda o, b: F.smooth_l1_loss(o.quality, b.target)),
    "regression": Loss(lambda o, b: losses.regression(o.quality, b.target, b.weight)),
    "ranking": Loss(lambda o, b: losses.ranking(o.quality, b.target, b.weight, b.group)),
    "fidelity": Loss(lambda o, b: losses.fidelity(o.quality, b.target, b.weight, b.group)),
    "correlation": Loss(lambda o, b: losses.correlation(o.quality, b.target, b.weight)),
    "cause": Loss(lambda o, b: losses.cause(o.causes, b.causes), "causes", causes=True),
    "cause_fidelity": Loss(
        lambda o, b: losses.cause_fidelity(o.causes, b.causes), "causes", causes=True
    ),
    "spread": Loss(
        lambda o, b: losses.spread(o.quality, o.log_variance, b.target, b.weight), "log_variance"
    ),
}


def check_losses(weights: Mapping[str, float], outputs: frozenset[str], causes: bool) -> None:
    """Refuse losses that are not known, or that this model or these data cannot have.

    Raises:
        UsageError: Which, and which there are.
    """
    possible = [
        name
        for name, loss in LOSSES.items()
        if loss.output in outputs and (causes or not loss.causes)
    ]
    wrong = [name for name in weights if name not in possible]
    if wrong or not weights:
        raise UsageError(
            f"[losses] {'has ' + wrong[0] if wrong else 'is empty'}; with this model and these "
            f"data there are {', '.join(possible)}."
        )


def parts(weights: Mapping[str, float], outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
    """Unweighted losses by name."""
    return {name: LOSSES[name].of(outputs, batch) for name in weights}


def total(found: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Their weighted sum."""
    return torch.stack([weights[name] * value for name, value in found.items()]).sum()
