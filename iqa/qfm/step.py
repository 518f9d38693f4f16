"""What semantic noise adds to a training step, whoever runs the loop.

Every draw is made for the whole batch, so that it does not matter how many processes share it; each
keeps the whole memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from iqa.qfm import losses
from iqa.qfm.matching import NO_PARTNER, Matcher, MatchSettings, match
from iqa.qfm.memory import Memory
from iqa.qfm.noise import perturb, shuffled_noise
from iqa.qfm.protocol import Opinion, TokenModel, Tokens
from iqa.qfm.schedule import Schedule
from iqa.training.parallel import World


class Seen(NamedTuple):
    """What a step knows of its samples.

    Attributes:
        tokens, opinion: Of this process.
        quality: ``[B]``, 0 to 1, of all processes.
        key: ``[B, K]``, what the pictures of all processes show.
        dataset: ``[B]`` integers, of all processes; qualities are compared within one only.
    """

    tokens: Tokens
    opinion: Opinion
    quality: Tensor
    key: Tensor
    dataset: Tensor


class SemanticNoise:
    """The memory of a run, and the losses that it adds.

    Args:
        memory: Samples that it holds.
        schedule: When noise begins, and how strong it is.
        matcher: Chooses partners.
        matching: How.
        world: The processes.
    """

    def __init__(
        self,
        memory: int,
        schedule: Schedule,
        matcher: Matcher = match,
        matching: MatchSettings | None = None,
        world: World | None = None,
    ) -> None:
        self.memory, self.schedule, self.matcher = Memory(memory), schedule, matcher
        self.matching, self.world = matching or MatchSettings(), world or World()

    def losses(
        self, model: TokenModel, seen: Seen, epoch: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The head's second opinion, on perturbed tokens of the samples that have a partner.

        Args:
            model: What is trained.
            seen: Its samples.
            epoch: Where the run is.
            generator: Of every draw, in the same state in every process.

        Returns:
            ``noise`` and ``consistency``; nothing before the noise begins or without a partner.
        """
        if not self.schedule.noisy(epoch) or not len(self.memory):
            return {}
        rows = self.matcher(
            seen.quality, seen.key, seen.dataset, self.memory, self.matching, generator
        )
        if not (found := rows != NO_PARTNER).any():
            return {}
        noisy = model.head(self._perturbed(seen.tokens, rows, epoch, generator))
        noisy, clean = (losses.mean_where(found, self._gathered(o)) for o in (noisy, seen.opinion))
        return {
            "noise": losses.quality(noisy.score, seen.quality[found]),
            "consistency": losses.consistency(noisy, clean),
        }

    def push(self, seen: Seen) -> None:
        """Remember a step's samples, after it."""
        patches = self.world.gather(seen.tokens.patches.detach().float())
        self.memory.push(patches, seen.key, seen.quality, seen.dataset)

    def _perturbed(
        self, tokens: Tokens, rows: Tensor, epoch: float, generator: torch.Generator
    ) -> Tokens:
        patches, own = tokens.patches, self.world.share(len(rows))
        strength = self._strength(len(rows), epoch, generator)[own].to(patches)
        shape = (len(rows), patches.shape[1])
        draws = torch.rand(shape, generator=generator, device=generator.device)
        noise = shuffled_noise(patches, self.memory.patches[rows[own]], draws[own])
        return tokens._replace(patches=perturb(patches, noise, strength))

    def _strength(self, count: int, epoch: float, generator: torch.Generator) -> Tensor:
        """``[B]``, even between 0 and the schedule's largest; the largest in the last epoch."""
        drawn = torch.rand(count, generator=generator, device=generator.device)
        share = torch.ones_like(drawn) if self.schedule.last(epoch) else drawn
        return share * self.schedule.largest_noise(epoch)

    def _gathered(self, opinion: Opinion) -> Opinion:
        return Opinion(*(self.world.gather(value.float()) for value in opinion))
