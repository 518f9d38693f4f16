"""Everything that changes in a run: model, averaged model, optimiser, noise; saved together.

A step's draws depend on (seed, step) alone, so a run that was killed and resumed gives the weights
of one that was not, bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from iqa.qfm import losses as qfm
from iqa.qfm.step import Seen
from iqa.training import objective
from iqa.training.batch import Batch
from iqa.training.networks import Network, within
from iqa.training.noise import RecipeNoise
from iqa.training.objective import Outputs
from iqa.training.parallel import World
from iqa.training.recipe import Optimizer, Recipe
from iqa.training.schedule import Clock

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SEEDS = 1_000_003  # steps of one seed before they would meet those of the next


def parameter_groups(model: nn.Module, settings: Optimizer) -> list[dict[str, Any]]:
    """Trained parameters by rate and decay; biases and norms are not decayed unless asked for."""
    split: dict[tuple[float, bool], list[Tensor]] = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            factors = [f for part, f in settings.slower.items() if within(name, part)]
            decayed = settings.decay_all or value.ndim > 1
            split.setdefault((min(factors, default=1.0), decayed), []).append(value)
    return [
        {
            "params": values,
            "peak": settings.lr * factor,
            "weight_decay": settings.weight_decay if decayed else 0.0,
        }
        for (factor, decayed), values in split.items()
    ]


class Trainer:
    """The state of a run and its step.

    Args:
        model: With its start weights, frozen where it is to be.
        network: How to meet it.
        recipe: Of the run.
        clock: Its length.
        world: The processes.
        device: Of the model.
    """

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        recipe: Recipe,
        clock: Clock,
        world: World,
        device: torch.device,
    ) -> None:
        self.network, self.recipe, self.clock = network, recipe, clock
        self.world, self.device = world, device
        self.model = model.to(device, memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.noise: RecipeNoise | None = None
        if recipe.noise is not None:
            key = network.key(self.model)
            self.noise = RecipeNoise(recipe.noise, network, key, clock, world)
        self.weights = recipe.losses | (self.noise.weights if self.noise else {})
        if recipe.distillation is not None:
            self.weights |= {"distillation": recipe.distillation.weight}
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
        groups = parameter_groups(self.model, recipe.optimizer)
        self.optimizer = kinds[recipe.optimizer.name](groups, lr=recipe.optimizer.lr)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self.step = 0

    def update(self, batch: Batch, unlabelled: Batch | None = None) -> dict[str, Tensor]:
        """One optimisation step; the loss and its parts.

        Args:
            batch: This process's share.
            unlabelled: Its share of pictures with a teacher's scores.
        """
        draws = self.recipe.seed * SEEDS + self.step
        torch.manual_seed(draws + (self.world.rank << 40))  # dropout
        generator = torch.Generator(self.device).manual_seed(draws)
        with self.autocast():
            seen, parts = self._labelled(batch, generator)
            taught, more = self._taught(unlabelled) if unlabelled is not None else (None, {})
        parts |= more
        loss = objective.total(parts, self.weights)
        self._descend(loss)
        for one in (seen, taught):
            if self.noise and one:
                self.noise.push(one)
        self.step += 1
        self._average()
        return {n: v.detach() for n, v in {"loss": loss, **parts}.items()}

    def _labelled(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[Seen | None, dict[str, Tensor]]:
        everything = self._gathered(batch)
        seen, outputs = self._look(batch, everything.target)
        parts = objective.parts(self.recipe.losses, outputs, everything)
        if self.noise and seen:
            cut, at = self.network.cut(self.model), self.clock.at(self.step)
            parts |= self.noise.losses(cut, seen, at, generator)
        return seen, parts

    def _taught(self, batch: Batch) -> tuple[Seen | None, dict[str, Tensor]]:
        """As for labelled pictures; before its time distillation fills the memory alone."""
        target = self._gathered(batch).target
        seen, outputs = self._look(batch, target)
        if self.clock.at(self.step) < self.recipe.distillation.start:
            return seen, {}
        return seen, {"distillation": qfm.distillation(outputs.quality, target)}

    def autocast(self) -> torch.autocast:
        """The recipe's precision for what is run inside."""
        kind = TYPES[self.recipe.precision]
        lower = self.recipe.precision != "fp32"
        return torch.autocast(self.device.type, kind if lower else torch.bfloat16, enabled=lower)

    def rate(self) -> float:
        """Share of the peak rates at this step."""
        return self.recipe.schedule.share(self.step, self.clock)

    def _look(self, batch: Batch, target: Tensor) -> tuple[Seen | None, Outputs]:
        """What the model says of the pictures of all processes, whose labels are ``target``."""
        inputs = self.network.inputs(self.model, batch.inputs)
        if self.noise is None:
            return None, self.network.look(self.model, inputs).map(self.world.gather)
        seen = self.noise.look(self.model, inputs, target)
        outputs = self.network.of_opinion(self.model, seen.opinion)
        return seen, outputs.map(self.world.gather)

    def _descend(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.world.sum_gradients(self.parameters)
        self.scaler.unscale_(self.optimizer)
        if self.recipe.optimizer.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.optimizer.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _gathered(self, batch: Batch) -> Batch:
        """The labels of every process."""
        if self.world.size == 1:
            return batch
        names = ("target", "weight", "causes", "group")
        return Batch(batch.inputs, *(self.world.gather(getattr(batch, n)) for n in names))

    @torch.no_grad()
    def _average(self) -> None:
        """Young averages forget faster, or they would be made of the start weights."""
        since = self.step - self.recipe.average_from * self.clock.unit
        keep = min(self.recipe.average, (1 + since) / (10 + since)) if since > 0 else 0.0
        for mean, value in zip(_tensors(self.average), _tensors(self.model), strict=True):
            if value.is_floating_point():
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "noise": self.noise.memory.state() if self.noise else {},
            "step": self.step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""
        for name in ("model", "average", "optimizer", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        if self.noise:
            self.noise.memory.restore(state["noise"])
        self.step = state["step"]


def _tensors(module: nn.Module) -> Sequence[Tensor]:
    return list(module.state_dict().values())
