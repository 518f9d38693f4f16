"""Pretraining without opinions, for any network that gives one feature a frame.

Source: CONTRIQUE and SaTQA, from what their papers say; no code of theirs was used. Ours are the
global instead of local features, no colour spaces, a projector without batch norm, so that no
sample's feature depends on its batch, AdamW and every number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iqa.contrast.loss import contrast
from iqa.whole_file import whole_file

PROJECTED = 128

Encode = Callable[[Any], Tensor]


class Pretraining:
    """A network, its projector and optimiser, saved and restored together.

    Args:
        model: What is trained, but for parts that are frozen.
        encode: The network's feature of a batch of inputs, ``[B, D]``.
        width: D.
        steps: Length of the run, over which the rate falls by half a cosine.
        rate: Of AdamW at the start.
        seed: Of the projector and of dropout.
    """

    def __init__(
        self,
        model: nn.Module,
        encode: Encode,
        width: int,
        steps: int,
        rate: float = 3e-4,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self.model, self.encode, self.seed = model.train(), encode, seed
        self.projector = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTED)
        )
        trained = [*model.parameters(), *self.projector.parameters()]
        self.parameters = [p for p in trained if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=0.05)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)
        self.step = 0

    def update(self, inputs: Any, classes: Tensor) -> float:
        """One step on a batch; returns the loss.

        Args:
            inputs: What ``encode`` takes, of both views of every frame.
            classes: Integers ``[B]``.
        """
        torch.manual_seed(self.seed * 1_000_003 + self.step)  # dropout, the same on resume
        loss = contrast(self.projector(self.encode(inputs)), classes)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        return float(loss.detach())

    def save(self, path: Path, identity: str) -> None:
        """Write everything; a kill leaves the former file whole."""
        names = ("model", "projector", "optimizer", "schedule")
        state = {name: getattr(self, name).state_dict() for name in names}
        with whole_file(path) as stream:
            torch.save({**state, "step": self.step, "identity": identity}, stream)

    def restore(self, path: Path, identity: str) -> bool:
        """Continue from what :meth:`save` wrote; False where that was another run."""
        state = torch.load(path, weights_only=True)
        if state["identity"] != identity:
            return False
        for name in ("model", "projector", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]
        return True
