from __future__ import annotations

import numpy as np

from iqa.uncertainty.samples import DRAW, Samples
from tests.iqa.second_stage.conftest import few_resamples, means, photographs

__all__ = ["few_resamples", "means", "photographs"]

WIDTH, GROUPS = 8, 5


def made_up(draws: int, seed: int, contents: int = 20) -> Samples:
    """Samples whose errors have a known spread: 4 points on clean frames, and feature k adds to it
    under fault k; the sixth of a draw is a fault that nobody rated.
    """
    rng = np.random.default_rng(seed)
    count = draws * DRAW
    groups = np.zeros((count, GROUPS), bool)
    faulty = np.arange(count) % DRAW > 0
    groups[faulty, rng.integers(0, GROUPS, faulty.sum())] = True
    strength = rng.uniform(0.3, 1, count) * faulty
    hidden = rng.standard_normal((count, WIDTH)).astype(np.float32) * 0.1
    hidden[:, :GROUPS] += groups * strength[:, None]
    sigma = np.hypot(4, 20 * strength)
    opinion = rng.uniform(20, 80, count)
    return Samples(
        hidden=hidden.astype(np.float32),
        score=(opinion + rng.normal(0, sigma)).astype(np.float32),
        old_sigma=np.full(count, 3, np.float32),
        posterior=rng.dirichlet(np.ones(12), count).astype(np.float32),
        opinion=opinion.astype(np.float32),
        deviation=np.full(count, 0.01, np.float32),
        rated=np.arange(count) % DRAW != DRAW - 1,
        groups=groups,
        content=np.array([f"{row // DRAW % contents}.png" for row in range(count)]),
    )


def true_sigma(samples: Samples) -> np.ndarray:
    """What :func:`made_up` drew errors with, but for the noise of the features."""
    return np.hypot(4, 20 * (samples.hidden[:, :GROUPS] * samples.groups).sum(axis=1))
