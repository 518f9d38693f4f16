"""Semantic noise as a part of any run; :mod:`iqa.qfm` says what it is and where it comes from."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqa.qfm import losses as qfm
from iqa.qfm.matching import NO_PARTNER, MatchSettings, match, match_at_random
from iqa.qfm.memory import Memory
from iqa.qfm.noise import perturb, shuffled_noise
from iqa.qfm.protocol import Opinion, Tokens
from iqa.qfm.schedule import Schedule
from iqa.training.networks import Key, Network
from iqa.training.parallel import World
from iqa.training.recipe import Noise
from iqa.training.schedule import Clock


class Seen(NamedTuple):
    """What a step knows of its samples.

    Attributes:
        tokens, opinion: Of this process.
        key: ``[B, K]``, what the pictures of all processes show.
    """

    tokens: Tokens
    opinion: Opinion
    key: Tensor


class SemanticNoise:
    """The memory of a run, and the losses that it adds.

    Every draw is made for the whole batch, so that it does not matter how many processes share it;
    each keeps the whole memory.

    Args:
        settings: Of the recipe.
        network: How to cut the model.
        key: Frozen; what pictures show.
        clock: Of the run.
        world: The processes.
    """

    def __init__(
        self, settings: Noise, network: Network, key: Key, clock: Clock, world: World
    ) -> None:
        self.settings, self.network, self.key, self.world = settings, network, key, world
        self.clock = clock
        self.memory = Memory(settings.memory)
        self.matching = MatchSettings()
        self.matcher = match if settings.partners == "matched" else match_at_random
        self.schedule = Schedule(
            epochs=max(clock.total // clock.unit, 1),
            noise_from=settings.start,
            noise_full=settings.full,
            strength=settings.strength,
        )
        self.weights = {"noise": settings.noise, "consistency": settings.consistency}

    def look(self, model: nn.Module, inputs: Any) -> Seen:
        """One pass, cut where noise can enter."""
        cut = self.network.cut(model)
        tokens = cut.tokens(inputs)
        with torch.no_grad():
            key = self.world.gather(self.key(inputs).float())
        return Seen(tokens, cut.head(tokens), key)

    def losses(
        self, model: nn.Module, seen: Seen, target: Tensor, step: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The head's second opinion, on perturbed tokens of the samples that have a partner.

        Args:
            model: What is trained.
            seen: Of this process.
            target: ``[B]``, of all processes.
            step: Of the run.
            generator: Of every draw, in the same state in every process.
        """
        at = self.clock.at(step)
        if not self.schedule.noisy(at) or not len(self.memory):
            return {}
        count, own = len(target), self.world.share(len(target))
        rows = self.matcher(
            target, seen.key, self._dataset(target), self.memory, self.matching, generator
        )
        shape = (count, seen.tokens.patches.shape[1])
        draws, strength = (
            torch.rand(size, generator=generator, device=generator.device)
            for size in (shape, (count,))
        )
        if self.schedule.last(at):
            strength = torch.ones_like(strength)
        strength = strength * self.schedule.largest_noise(at)
        patches = seen.tokens.patches
        noise = shuffled_noise(patches, self.memory.patches[rows[own]], draws[own])
        noisy = self.network.cut(model).head(
            seen.tokens._replace(patches=perturb(patches, noise, strength[own].to(patches.dtype)))
        )
        found = rows != NO_PARTNER
        if not found.any():
            return {}
        noisy, clean = (qfm.mean_where(found, self._gathered(o)) for o in (noisy, seen.opinion))
        return {
            "noise": F.smooth_l1_loss(noisy.score, target[found]),
            "consistency": qfm.consistency(noisy, clean),
        }

    def push(self, seen: Seen, target: Tensor) -> None:
        """Remember a step's samples, after it."""
        patches = self.world.gather(seen.tokens.patches.detach().float())
        self.memory.push(patches, seen.key, target, self._dataset(target))

    def _gathered(self, opinion: Opinion) -> Opinion:
        return Opinion(*(self.world.gather(value.float()) for value in opinion))

    @staticmethod
    def _dataset(target: Tensor) -> Tensor:
        return torch.zeros_like(target, dtype=torch.int64)  # a run has one
