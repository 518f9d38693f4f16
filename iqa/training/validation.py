"""How well a model does on frames of contents that it is not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from iqa.losses import TRUSTED
from iqa.metrics import plcc, srocc
from iqa.training import objective
from iqa.training.batch import Batch
from iqa.training.objective import Outputs
from iqa.training.trainer import Trainer

LABELS = ("target", "weight", "causes", "group")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures of one validation.

    Attributes:
        loss: Weighted as in training, without semantic noise.
        srocc, plcc: Of the trusted labels, raw.
    """

    loss: float
    srocc: float
    plcc: float


@torch.no_grad()
def validate(trainer: Trainer, batches: Iterable[Batch], crops: int) -> Verdict:
    """Judge the averaged weights; scores of a frame's crops are averaged.

    Args:
        trainer: Its ``average`` is judged.
        batches: This process's share.
        crops: Of a frame.
    """
    world, network = trainer.world, trainer.network
    world.agree(trainer.model)
    world.agree(trainer.average)
    found: list[list[Tensor | None]] = []
    for batch in batches:
        batch = batch.to(trainer.device)
        # in fp32 whatever the training's precision is: that is what will be exported
        outputs = network.look(trainer.average, network.inputs(trainer.average, batch.inputs))
        outputs = outputs.map(lambda v: v.reshape(-1, crops, *v.shape[1:]).mean(1).cpu())
        labels = [getattr(batch, name).cpu() for name in LABELS]
        found.append([*(getattr(outputs, f.name) for f in fields(Outputs)), *labels])
    everybody = [rows for part in world.gather_objects(found) for rows in part]
    columns = [None if c[0] is None else torch.cat(c) for c in zip(*everybody, strict=True)]
    count = len(fields(Outputs))
    return _verdict(trainer, Outputs(*columns[:count]), Batch((), *columns[count:]))


def _verdict(trainer: Trainer, outputs: Outputs, batch: Batch) -> Verdict:
    weights = trainer.recipe.losses
    loss = objective.total(objective.parts(weights, outputs, batch), weights)
    trusted = batch.weight >= TRUSTED
    pair = outputs.quality[trusted].numpy(), batch.target[trusted].numpy()
    return Verdict(float(loss), srocc(*pair), plcc(*pair))
