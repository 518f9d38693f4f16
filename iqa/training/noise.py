"""Semantic noise as a part of any run; :mod:`iqa.qfm` says what it is and where it comes from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from iqa.qfm.matching import match, match_at_random
from iqa.qfm.schedule import Schedule
from iqa.qfm.step import Seen, SemanticNoise
from iqa.training.networks import Key, Network
from iqa.training.parallel import World
from iqa.training.recipe import Noise
from iqa.training.schedule import Clock


class RecipeNoise(SemanticNoise):
    """The noise of a recipe's table.

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
        schedule = Schedule(
            epochs=max(clock.total // clock.unit, 1),
            noise_from=settings.start,
            noise_full=settings.full,
            strength=settings.strength,
        )
        matcher = match if settings.partners == "matched" else match_at_random
        super().__init__(settings.memory, schedule, matcher, world=world)
        self.network, self.key = network, key
        self.weights = {"noise": settings.noise, "consistency": settings.consistency}

    def look(self, model: nn.Module, inputs: Any, target: Tensor) -> Seen:
        """One pass, cut where noise can enter; ``target`` ``[B]`` is that of all processes."""
        cut = self.network.cut(model)
        tokens = cut.tokens(inputs)
        with torch.no_grad():
            key = self.world.gather(self.key(inputs).float())
        one = torch.zeros_like(target, dtype=torch.int64)  # a run has one data set
        return Seen(tokens, cut.head(tokens), target, key, one)
