"""When what is trained: quality alone, then noise of growing strength, then averaging.

Rate, warm-up, decay and epochs are DEIQT's, which QFM-IQM builds on; the phases are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """Epochs are counted from 0 and may be fractions: 2.5 is the middle of the third.

    Attributes:
        epochs: All of them.
        lr: Peak rate.
        lr_start: Rate at the first step.
        warmup: Epochs from ``lr_start`` to ``lr``.
        decay_every: Epochs after the warm-up at which the rate falls to ``decay``.
        decay: Factor of such a fall.
        noise_from: Epoch of the first noise; quality alone before, while the memory fills.
        noise_full: Epoch at which the noise has grown to ``strength``.
        strength: Largest noise, in norms of the tokens.
    """

    epochs: int = 9
    lr: float = 2e-4
    lr_start: float = 2e-7
    warmup: float = 3
    decay_every: float = 3
    decay: float = 0.1
    noise_from: float = 2
    noise_full: float = 5
    strength: float = 0.3

    def rate(self, epoch: float) -> float:
        """Learning rate."""
        if epoch < self.warmup:
            return self.lr_start + (self.lr - self.lr_start) * epoch / self.warmup
        return self.lr * self.decay ** int((epoch - self.warmup) / self.decay_every)

    def noisy(self, epoch: float) -> bool:
        """Whether noise is trained with."""
        return epoch >= self.noise_from

    def largest_noise(self, epoch: float) -> float:
        """Upper end of the strengths that are drawn."""
        grown = (epoch - self.noise_from) / max(self.noise_full - self.noise_from, 1e-9)
        return self.strength * min(max(grown, 0.0), 1.0)

    def last(self, epoch: float) -> bool:
        """Whether it is the last epoch: the strength is drawn no more, weights are averaged."""
        return epoch >= self.epochs - 1
