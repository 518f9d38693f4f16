"""Training with semantic noise matching, for any model with tokens before a head.

Source: QFM-IQM (arXiv 2312.06158): partners of similar quality and different semantics are noise
that the quality must not depend on. The paper's thresholds, weights and loss forms are not known to
us; those here are our choices. At inference none of this is left: the model is its own student.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from iqa.qfm import losses
from iqa.qfm.matching import Matcher, MatchSettings, match
from iqa.qfm.protocol import Batch, TokenModel
from iqa.qfm.schedule import Schedule
from iqa.qfm.step import Seen, SemanticNoise
from iqa.whole_file import whole_file

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
        self.model, self.settings = model.train(), settings
        self.adapter = adapter or nn.Identity()
        self.distils_features = adapter is not None
        self.average = copy.deepcopy(model).eval()
        self.noise = SemanticNoise(settings.memory, settings.schedule, matcher, settings.matching)
        self.memory = self.noise.memory
        trained = [*model.parameters(), *self.adapter.parameters()]
        self.parameters = [p for p in trained if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, weight_decay=settings.weight_decay)
        self.step = 0

    @property
    def epoch(self) -> float:
        """Where the run is, as a fraction."""
        return self.step / self.settings.steps_per_epoch

    @property
    def _cut(self) -> TokenModel:
        return self.model  # type: ignore[return-value]

    def update(self, batch: Batch, unlabelled: Batch | None = None) -> dict[str, float]:
        """One optimisation step; returns the loss and its parts."""
        draws = self.settings.seed * 1_000_003 + self.step
        torch.manual_seed(draws)  # dropout, reproducible on resume
        generator = torch.Generator().manual_seed(draws)
        seen = [self._look(b) for b in (batch, unlabelled) if b is not None]
        parts = self._losses(seen[0], generator)
        if unlabelled is not None and self.settings.schedule.noisy(self.epoch):
            parts["distillation"] = self._distillation(seen[1], unlabelled.teacher)
        loss = losses.total(parts, self.settings.weights)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.schedule.rate(self.epoch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        for one in seen:
            self.noise.push(one)
        self._average()
        self.step += 1
        return {n: float(v.detach()) for n, v in {"loss": loss, **parts}.items()}

    def _look(self, batch: Batch) -> Seen:
        tokens = self._cut.tokens(batch.inputs)
        return Seen(tokens, self._cut.head(tokens), batch.quality, batch.key, batch.dataset)

    def _losses(self, seen: Seen, generator: torch.Generator) -> dict[str, Tensor]:
        score, target = seen.opinion.score, seen.quality
        parts = {"quality": losses.quality(score, target)}
        if not self.settings.schedule.noisy(self.epoch):
            return parts
        parts["rank"] = losses.correlation(score, target)
        return parts | self.noise.losses(self._cut, seen, self.epoch, generator)

    def _distillation(self, seen: Seen, teacher: Tensor | None) -> Tensor:
        feature = None
        if self.distils_features and teacher is not None:
            context, patches = seen.tokens.context, seen.tokens.patches
            feature = self.adapter(patches.mean(dim=1) if context is None else context)
        return losses.distillation(seen.opinion.score, seen.quality, feature, teacher)

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
        with whole_file(path) as stream:
            torch.save(state, stream)

    def restore(self, path: Path) -> None:
        """Continue from what :meth:`save` wrote."""
        state = torch.load(path, weights_only=True)
        for name in ("model", "average", "adapter", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.memory.restore(state["memory"])
        self.step = state["step"]


def _floats(module: nn.Module) -> list[Tensor]:
    """Weights and running statistics."""
    return [v for v in module.state_dict().values() if v.is_floating_point()]
