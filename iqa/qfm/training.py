"""Training with semantic noise matching, for any model with tokens before a head.

Source: QFM-IQM (arXiv 2312.06158): partners of similar quality and different semantics are noise
that the quality must not depend on. The paper's thresholds, weights and loss forms are not known to
us; those here are our choices. At inference none of this is left: the model is its own student.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from iqa.qfm import losses
from iqa.qfm.matching import NO_PARTNER, Matcher, MatchSettings, match
from iqa.qfm.memory import Memory
from iqa.qfm.noise import perturb, semantic_noise
from iqa.qfm.protocol import Batch, Opinion, TokenModel, Tokens
from iqa.qfm.schedule import Schedule

WEIGHTS = {"quality": 1.0, "noise": 0.5, "consistency": 0.5, "distillation": 1.0, "rank": 0.2}


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers of a run.

    Attributes:
        steps_per_epoch: Of the labelled data.
        memory: Samples that the memory holds.
        weights: Of the losses, by name.
        weight_decay: Of AdamW.
        clip: Largest gradient norm.
        average: Decay of the averaged weights in the last epoch.
        seed: Decides every draw together with the step.
    """

    steps_per_epoch: int
    schedule: Schedule = field(default_factory=Schedule)
    matching: MatchSettings = field(default_factory=MatchSettings)
    memory: int = 2048
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    weight_decay: float = 0.05
    clip: float = 5.0
    average: float = 0.999
    seed: int = 0


class Seen(NamedTuple):
    """Tokens and opinion of a batch, for the losses and then the memory."""

    batch: Batch
    tokens: Tokens
    opinion: Opinion


class NoiseTraining:
    """A model, its memory, optimiser and averaged weights, saved and restored together.

    Args:
        model: An ``nn.Module`` that is a :class:`~iqa.qfm.protocol.TokenModel`.
        settings: Numbers of the run.
        matcher: Chooses partners; :func:`~iqa.qfm.matching.match_at_random` is the control.
        adapter: Maps the student's context to the teacher's feature, ``[B, C]`` -> ``[B, T]``;
            trained too, and left behind. None follows the teacher's scores alone.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        matcher: Matcher = match,
        adapter: nn.Module | None = None,
    ) -> None:
        self.model, self.settings, self.matcher = model.train(), settings, matcher
        self.adapter = adapter or nn.Identity()
        self.distils_features = adapter is not None
        self.average = copy.deepcopy(model).eval()
        self.memory = Memory(settings.memory)
        trained = [*model.parameters(), *self.adapter.parameters()]
        self.parameters = [p for p in trained if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, weight_decay=settings.weight_decay)
        self.step = 0

    @property
    def epoch(self) -> float:
        """Where the run is, as a fraction."""
        return self.step / self.settings.steps_per_epoch

    def update(self, batch: Batch, unlabelled: Batch | None = None) -> dict[str, float]:
        """One optimisation step; returns the loss and its parts."""
        draws = self.settings.seed * 1_000_003 + self.step
        torch.manual_seed(draws)  # dropout, reproducible on resume
        generator = torch.Generator().manual_seed(draws)
        seen = [self._look(b) for b in (batch, unlabelled) if b is not None]
        parts = self._losses(seen, generator)
        loss = losses.total(parts, self.settings.weights)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.schedule.rate(self.epoch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        for one in seen:
            self.memory.push(one.tokens.patches, one.batch.key, *_labels(one.batch))
        self._average()
        self.step += 1
        return {n: float(v.detach()) for n, v in {"loss": loss, **parts}.items()}

    def _look(self, batch: Batch) -> Seen:
        model: TokenModel = self.model  # type: ignore[assignment]
        tokens = model.tokens(batch.inputs)
        return Seen(batch, tokens, model.head(tokens))

    def _losses(self, seen: list[Seen], generator: torch.Generator) -> dict[str, Tensor]:
        labelled = seen[0]
        score, target = labelled.opinion.score, labelled.batch.quality
        parts = {"quality": losses.quality(score, target)}
        if not self.settings.schedule.noisy(self.epoch):
            return parts
        parts["rank"] = losses.correlation(score, target)
        parts |= self._noise_losses(labelled, generator)
        if len(seen) > 1:
            parts["distillation"] = self._distillation(seen[1])
        return parts

    def _noise_losses(self, seen: Seen, generator: torch.Generator) -> dict[str, Tensor]:
        """The head's second opinion, on perturbed tokens of the samples that have a partner."""
        if not len(self.memory):
            return {}
        quality, dataset = _labels(seen.batch)
        rows = self.matcher(
            quality, seen.batch.key, dataset, self.memory, self.settings.matching, generator
        )
        if not (found := rows != NO_PARTNER).any():
            return {}
        strength = self._strength(len(rows), generator)
        partner = self.memory.patches[rows]
        noise = semantic_noise(seen.tokens.patches, partner, generator)
        patches = perturb(seen.tokens.patches, noise, strength)
        noisy: Opinion = self.model.head(seen.tokens._replace(patches=patches))
        noisy, clean = losses.mean_where(found, noisy), losses.mean_where(found, seen.opinion)
        return {
            "noise": losses.quality(noisy.score, quality[found]),
            "consistency": losses.consistency(noisy, clean),
        }

    def _strength(self, count: int, generator: torch.Generator) -> Tensor:
        """``[B]``, even between 0 and the schedule's largest; the largest in the last epoch."""
        schedule = self.settings.schedule
        drawn = torch.rand(count, generator=generator)
        share = torch.ones(count) if schedule.last(self.epoch) else drawn
        return share * schedule.largest_noise(self.epoch)

    def _distillation(self, seen: Seen) -> Tensor:
        feature = None
        if self.distils_features and seen.batch.teacher is not None:
            context, patches = seen.tokens.context, seen.tokens.patches
            feature = self.adapter(patches.mean(dim=1) if context is None else context)
        batch = seen.batch
        return losses.distillation(seen.opinion.score, batch.quality, feature, batch.teacher)

    @torch.no_grad()
    def _average(self) -> None:
        keep = self.settings.average if self.settings.schedule.last(self.epoch) else 0.0
        for mean, value in zip(_floats(self.average), _floats(self.model), strict=True):
            mean.lerp_(value, 1 - keep)

    def save(self, path: Path) -> None:
        """Write the whole state; a kill leaves the former file whole."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "adapter": self.adapter.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "memory": self.memory.state(),
            "step": self.step,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def restore(self, path: Path) -> None:
        """Continue from what :meth:`save` wrote."""
        state = torch.load(path, weights_only=True)
        for name in ("model", "average", "adapter", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.memory.restore(state["memory"])
        self.step = state["step"]


def _labels(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.quality, batch.dataset


def _floats(module: nn.Module) -> list[Tensor]:
    """Weights and running statistics."""
    return [v for v in module.state_dict().values() if v.is_floating_point()]
