from __future__ import annotations

import numpy as np

from iqa.scenes.samples import DRAW, Samples
from tests.iqa.second_stage.conftest import few_resamples

__all__ = ["few_resamples"]

WIDTH = 8


def made_up(contents: int, signal: float, seed: int = 0) -> tuple[Samples, dict[str, tuple[str]]]:
    """Frames of two scenes, of which feature 0 of ``context`` tells, and ``hidden`` nothing."""
    rng = np.random.default_rng(seed)
    names = [f"{number:03}.png" for number in range(contents)]
    scenes = {name: (("a", "b")[number % 2],) for number, name in enumerate(names)}
    count = contents * DRAW
    context, hidden = rng.standard_normal((2, count, WIDTH)).astype(np.float32)
    context[:, 0] += signal * (np.arange(count) // DRAW % 2)
    clean = np.arange(count) % DRAW == 0
    return Samples(hidden, context, clean, np.repeat(names, DRAW)), scenes
