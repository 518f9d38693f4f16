"""What a finished network makes of the frames: fitting and judging a head needs nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from iqa.data.kept import kept_or_made
from iqa.data.photos import Photo
from iqa.data.store import Views, views_of
from iqa.data.workers import made_in_order
from iqa.models.glint_edge import GlintEdge
from iqa.scenes.frames import DRAW, frames_of

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Samples:
    """``N`` frames."""

    hidden: Floats  # [N, D], the feature the score is read from
    context: Floats  # [N, D], mean of the global branch's last tap
    clean: NDArray[np.bool_]  # [N], not distorted
    content: NDArray[np.str_]  # [N], name of the photograph

    def __len__(self) -> int:
        return len(self.content)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which frames to make: ``draws`` of each photograph."""

    photos: Sequence[Photo]
    draws: int
    seed: int

    def __len__(self) -> int:
        return len(self.photos) * self.draws

    def made(self, number: int) -> tuple[list[Views], str]:
        """Views of one draw, and the name of its photograph."""
        photo, draw = self.photos[number // self.draws], number % self.draws
        frames = frames_of(photo, draw, self.seed)
        return [views_of(frame) for frame in frames], photo.path.name

    def claim(self, weights: str) -> str:
        """What the samples depend on, as JSON."""
        content = [f"{p.path.name} {p.path.stat().st_size}" for p in self.photos]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return json.dumps([weights, digest, self.draws, self.seed, DRAW])


def samples_of(
    model: GlintEdge,
    plan: Plan,
    path: Path,
    weights: str,
    workers: int = 1,
    progress: Callable[[int], object] = lambda _: None,
) -> Samples:
    """Make the frames and run the network, or read what an earlier call kept.

    Args:
        model: In evaluation mode.
        plan: Which frames.
        path: Where the result is kept, npz.
        weights: Digest of the model's weights.
        workers: Processes that distort.
        progress: Told the draws done.

    Raises:
        UsageError: ``path`` holds samples of other frames or of another network.
    """
    return Samples(
        **kept_or_made(path, plan.claim(weights), partial(_made, model, plan, workers, progress))
    )


def _made(
    model: GlintEdge, plan: Plan, workers: int, progress: Callable[[int], object]
) -> dict[str, list[object]]:
    rows: dict[str, list[object]] = {field.name: [] for field in fields(Samples)}
    done = made_in_order(partial(Plan.made, plan), range(len(plan)), workers, chunk=2)
    for number, (views, content) in enumerate(done):
        fragments, resize = (
            torch.from_numpy(np.stack(some)) for some in zip(*views, strict=True)
        )  # [DRAW, 224, 224, 3]
        with torch.inference_mode():
            hidden, context = model.both_features(fragments, resize)
        rows["hidden"].extend(hidden.numpy())
        rows["context"].extend(context.numpy())
        rows["clean"].extend([True] + [False] * (DRAW - 1))
        rows["content"].extend([content] * DRAW)
        progress(number + 1)
    return rows
