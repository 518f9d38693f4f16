"""What a finished network makes of the frames, kept on disk: fitting a head needs nothing else."""

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
from iqa.uncertainty.frames import DRAW, Opinions, cases

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Samples:
    """``N`` frames, whole draws of one clean frame and its faulty versions one after the other."""

    hidden: Floats  # [N, D], the feature the score is read from
    score: Floats  # [N], 0..100
    old_sigma: Floats  # [N], score points: the spread that training shaped, never calibrated
    posterior: Floats  # [N, 12], over distortion labels
    opinion: Floats  # [N], people's mean for the setting, as a score
    deviation: Floats  # [N], what contents differ by in it, score points
    rated: NDArray[np.bool_]  # [N], people rated the setting
    groups: NDArray[np.bool_]  # [N, K], faults given
    content: NDArray[np.str_]  # [N]

    def __len__(self) -> int:
        return len(self.score)

    def where(self, chosen: NDArray[np.bool_]) -> Samples:
        """The chosen rows."""
        return Samples(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def clean(self) -> NDArray[np.int64]:
        """Row of each frame's clean version, ``[N]``."""
        return np.arange(len(self)) // DRAW * DRAW


@dataclass(frozen=True, slots=True)
class Plan:
    """Which frames to make: ``draws`` of each photograph."""

    photos: Sequence[Photo]
    draws: int
    seed: int
    opinions: Opinions

    def __len__(self) -> int:
        return len(self.photos) * self.draws

    def made(self, number: int) -> tuple[list[Views], dict[str, list[object]]]:
        """Views and labels of one draw."""
        photo, draw = self.photos[number // self.draws], number % self.draws
        some = cases(photo, draw, self.seed, self.opinions)
        labels: dict[str, list[object]] = {
            "opinion": [25 * (c.opinion.mean - 1) for c in some],
            "deviation": [25 * c.opinion.deviation for c in some],
            "rated": [c.rated for c in some],
            "groups": [c.groups for c in some],
            "content": [photo.path.name] * DRAW,
        }
        return [views_of(c.image) for c in some], labels

    def claim(self, weights: str) -> str:
        """What the samples depend on, as JSON."""
        opinions = sorted((*key, o.mean, o.deviation) for key, o in self.opinions.items())
        content = [f"{p.path.name} {p.path.stat().st_size}" for p in self.photos]
        text = json.dumps([content, opinions])
        digest = hashlib.sha256(text.encode()).hexdigest()
        return json.dumps([weights, digest, self.draws, self.seed])


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
    make = partial(_made, model, plan, workers, progress)
    return Samples(**kept_or_made(path, plan.claim(weights), make))


def _made(
    model: GlintEdge, plan: Plan, workers: int, progress: Callable[[int], object]
) -> dict[str, list[object]]:
    rows: dict[str, list[object]] = {field.name: [] for field in fields(Samples)}
    done = made_in_order(partial(Plan.made, plan), range(len(plan)), workers, chunk=2)
    for number, (views, labels) in enumerate(done):
        for name, values in (labels | _outputs(model, views)).items():
            rows[name].extend(values)
        progress(number + 1)
    return rows


@torch.inference_mode()
def _outputs(model: GlintEdge, views: list[Views]) -> dict[str, list[object]]:
    fragments, resize = (
        torch.from_numpy(np.stack(some)) for some in zip(*views, strict=True)
    )  # [DRAW, 224, 224, 3]
    hidden = model.embedding(fragments, resize)
    logit, log_variance = model.quality(hidden).unbind(-1)
    return {
        "hidden": list(hidden.numpy()),
        "score": list(100 * torch.sigmoid(logit).numpy()),
        "old_sigma": list(0.5 + 25 * torch.exp(0.5 * log_variance.clamp(-8, 4)).numpy()),
        "posterior": list(torch.softmax(model.cause(hidden), dim=-1).numpy()),
    }


def kept(path: Path) -> Samples:
    """What :func:`samples_of` kept, whatever it was made of."""
    with np.load(path) as file:
        return Samples(*(file[field.name] for field in fields(Samples)))
