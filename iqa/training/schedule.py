"""Learning rates, as shares of their peaks.

Durations are in the unit of the run's length, epochs or steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct


@dataclass(frozen=True, slots=True)
class Clock:
    """What counts as how long.

    Attributes:
        total: Steps of the run.
        unit: Steps in one unit of a recipe's durations: those of an epoch, or 1.
    """

    total: int
    unit: int

    def at(self, step: int) -> float:
        """Where ``step`` is, in units."""
        return step / self.unit


class Schedule(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A rate for every step: ``share`` is that of the peak rate at a step, from 0."""


Length = Annotated[float, Meta(ge=0)]


def _warm(step: int, warmup: float, clock: Clock) -> float:
    return min((step + 1) / max(warmup * clock.unit, 1), 1.0)


class Trapezoid(Schedule, tag="trapezoid"):
    """Linear warm-up, plateau, linear decay to zero over the last ``decay_share`` of the run."""

    warmup: Length = 0
    decay_share: Annotated[float, Meta(ge=0, le=1)] = 0.3

    def share(self, step: int, clock: Clock) -> float:
        decay = max(int(clock.total * self.decay_share), 1)
        return min(_warm(step, self.warmup, clock), (clock.total - step) / decay)


class Cosine(Schedule, tag="cosine"):
    """Linear warm-up, then half a cosine to zero at the end of the run."""

    warmup: Length = 0

    def share(self, step: int, clock: Clock) -> float:
        return _warm(step, self.warmup, clock) * (1 + math.cos(math.pi * step / clock.total)) / 2


class Cycle(Schedule, tag="cycle"):
    """A cosine down to zero and up again, without end.

    GlintIQA's published code runs so with a period of 60 steps: its cosine annealing over 30 is
    stepped in every iteration.
    """

    period_steps: Annotated[int, Meta(ge=2)]

    def share(self, step: int, clock: Clock) -> float:  # noqa: ARG002
        return (1 + math.cos(2 * math.pi * step / self.period_steps)) / 2


class Stairs(Schedule, kw_only=True, tag="stairs"):
    """Warm-up from ``warmup_from`` (a share of the peak), then ``factor`` after every ``every``."""

    warmup: Length = 0
    warmup_from: Annotated[float, Meta(ge=0, le=1)] = 0.0
    every: Annotated[float, Meta(gt=0)]
    factor: Annotated[float, Meta(gt=0, le=1)] = 0.1

    def share(self, step: int, clock: Clock) -> float:
        at = clock.at(step)
        if at < self.warmup:
            return self.warmup_from + (1 - self.warmup_from) * at / self.warmup
        return self.factor ** int((at - self.warmup) / self.every)


AnySchedule = Trapezoid | Cosine | Cycle | Stairs
SCHEDULES = {kind.__struct_config__.tag: kind for kind in (Trapezoid, Cosine, Cycle, Stairs)}
