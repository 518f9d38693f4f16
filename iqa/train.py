"""Train ``glint-edge`` from a recipe on cached trunk features; stops and resumes without a trace.

The order of samples depends on (seed, step) only and the whole state is saved, so a run that was
killed and resumed gives the weights of one that was not.
"""

from __future__ import annotations

import copy
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqa import losses
from iqa.data.features import Features
from iqa.data.store import Store
from iqa.data.synthesis import GROUP
from iqa.models.glint_edge import GlintEdge
from iqa.recipe import Recipe

LOG_FIELDS = (
    "step",
    "loss",
    "regression",
    "ranking",
    "correlation",
    "cause",
    "spread",
    "images_per_s",
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Trunk features and labels of one step."""

    features: tuple[Tensor, Tensor, Tensor]
    target: Tensor  # [B], 0..1
    weight: Tensor  # [B]
    causes: Tensor  # [B, 12]
    group: Tensor  # [B]


class Batches:
    """Whole groups in an order drawn anew every epoch from (seed, epoch)."""

    def __init__(self, store: Store, features: Features, groups: int, seed: int) -> None:
        self.store, self.features = store, features
        self.groups, self.seed = groups, seed
        self.per_epoch = len(store) // GROUP // groups

    def rows(self, step: int) -> NDArray[np.int64]:
        """Sample indices ``[groups * 4]`` of one step."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.store) // GROUP)
        chosen = np.sort(order[place * self.groups : (place + 1) * self.groups])
        return (chosen[:, None] * GROUP + np.arange(GROUP)).ravel()

    def __getitem__(self, step: int) -> Batch:
        rows = self.rows(step)
        target = (torch.from_numpy(self.store.mos[rows]) - 1) / 4
        labels = (
            torch.from_numpy(self.store.weight[rows]),
            torch.from_numpy(self.store.causes[rows]),
        )
        return Batch(self.features.batch(rows), target, *labels, torch.from_numpy(rows // GROUP))


def learning_rate(step: int, recipe: Recipe) -> float:
    """Share of the peak rate: linear warm-up, plateau, linear decay over the last part."""
    decay = max(int(recipe.steps * recipe.decay_share), 1)
    return min((step + 1) / recipe.warmup, (recipe.steps - step) / decay, 1.0)


def parameter_groups(model: GlintEdge, recipe: Recipe) -> list[dict[str, object]]:
    """Pretrained stages learn slower; biases, norms and positions are not decayed."""
    split: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            split.setdefault((".deep." in name, value.ndim > 1), []).append(value)
    return [
        {
            "params": values,
            "peak": recipe.lr_pretrained if pretrained else recipe.lr,
            "weight_decay": recipe.weight_decay if decayed else 0.0,
        }
        for (pretrained, decayed), values in split.items()
    ]


class Trainer:
    """Model, averaged model, optimiser and step, saved and restored together."""

    def __init__(self, model: GlintEdge, recipe: Recipe) -> None:
        self.model = model.to(memory_format=torch.channels_last).train()
        self.model.trunk.requires_grad_(False)
        self.average = copy.deepcopy(self.model).eval()
        self.recipe = recipe
        self.optimizer = torch.optim.AdamW(parameter_groups(self.model, recipe))
        self.step = 0

    def update(self, batch: Batch) -> dict[str, float]:
        """One optimisation step; returns the loss and its parts."""
        torch.manual_seed(
            self.recipe.seed * 1_000_003 + self.step
        )  # dropout, reproducible on resume
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate(self.step, self.recipe)
        parts = self.losses(batch)
        total = sum(
            (self.recipe.weights[name] * value for name, value in parts.items()), torch.zeros(())
        )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.step += 1
        self._average()
        return {name: float(value.detach()) for name, value in {"loss": total, **parts}.items()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Unweighted losses by name."""
        logit, log_variance, causes = self.model.deep_logits(*batch.features)
        quality, target, weight = torch.sigmoid(logit), batch.target, batch.weight
        return {
            "regression": losses.regression(quality, target, weight),
            "ranking": losses.ranking(quality, target, weight, batch.group),
            "correlation": losses.correlation(quality, target, weight),
            "cause": losses.cause(causes, batch.causes),
            "spread": losses.spread(quality, log_variance, target, weight),
        }

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)

    def save(self, path: Path) -> None:
        """Write the whole state; a kill leaves the former file whole."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def restore(self, path: Path) -> None:
        """Continue from what :meth:`save` wrote."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def trim_log(path: Path, step: int) -> None:
    """Drop rows after ``step``: a run killed past its checkpoint takes those steps again."""
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    kept = [head, *(row for row in rows if int(row.split(",")[0]) <= step)]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


def fit(trainer: Trainer, batches: Batches, folder: Path, until: int | None = None) -> None:
    """Train up to ``until`` steps (default: all) with a checkpoint and a log in ``folder``."""
    checkpoint, recipe = folder / "checkpoint.pt", trainer.recipe
    if checkpoint.is_file():
        trainer.restore(checkpoint)
        trim_log(folder / "log.csv", trainer.step)
    started, first = time.perf_counter(), trainer.step
    last = min(until or recipe.steps, recipe.steps)
    with (folder / "log.csv").open("a", newline="", encoding="utf-8") as stream:
        log = csv.DictWriter(stream, LOG_FIELDS)
        if stream.tell() == 0:
            log.writeheader()
        while trainer.step < last:
            parts = trainer.update(batches[trainer.step])
            if trainer.step % recipe.log_every == 0:
                rate = (
                    (trainer.step - first)
                    * batches.groups
                    * GROUP
                    / (time.perf_counter() - started)
                )
                row = {name: round(value, 5) for name, value in parts.items()}
                log.writerow({"step": trainer.step, **row, "images_per_s": round(rate, 1)})
                stream.flush()
            if trainer.step % recipe.save_every == 0 or trainer.step == last:
                trainer.save(checkpoint)
