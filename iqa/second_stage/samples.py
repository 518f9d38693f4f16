"""What a finished network makes of frames, kept on disk: fitting a head needs nothing else.

Frames are a photograph clean, under distortions that people rated, and under a camera's fault.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress as Bar
from torch import Tensor

from iqa.data.kept import Arrays, kept_or_made
from iqa.data.labels import CAUSE_OF_TYPE, CAUSES_OF_FAULT
from iqa.data.photos import Photo
from iqa.data.store import Views, views_of
from iqa.data.synthesis import Synthesis
from iqa.data.workers import made_in_order
from iqa.distortions.camera import FAULTS
from iqa.distortions.kadid import TYPES, Picture, distort
from iqa.evaluate import LEVELS
from iqa.models.glint_edge import GlintEdge

Columns = dict[str, Sequence[Any]]  # by name, a value a frame


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame and what was done to it."""

    image: Picture  # [H, W, 3]
    setting: tuple[int, int] | None = None  # KADID's type and level
    fault: tuple[str, float] | None = None  # a camera's, and its severity

    @property
    def causes(self) -> tuple[str, ...]:
        """Distortion labels of what was done."""
        if self.fault:
            return CAUSES_OF_FAULT[self.fault[0]]
        return (CAUSE_OF_TYPE[self.setting[0]],) if self.setting else ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Which frames to make, and what a stage keeps of them; its functions can be pickled."""

    photos: Sequence[Photo]
    draws: int  # of each photograph
    seed: int
    rated: int  # settings in a draw; before them comes the clean frame, behind them a fault
    labels: Callable[[Sequence[Frame]], Columns]  # what is known of a draw's frames
    outputs: Callable[[GlintEdge, Tensor, Tensor], Columns]  # what the network makes of both views
    claim: Sequence[object]  # what the samples depend on beside the weights, for JSON

    def __len__(self) -> int:
        return len(self.photos) * self.draws

    def made(self, number: int) -> tuple[list[Views], Columns]:
        """Views and labels of one draw."""
        photo = self.photos[number // self.draws]
        frames = frames_of(photo, number % self.draws, self.seed, self.rated)
        labels = self.labels(frames) | {"content": [photo.path.name] * len(frames)}
        return [views_of(frame.image) for frame in frames], labels


def frames_of(photo: Photo, draw: int, seed: int, rated: int) -> list[Frame]:
    """A draw; each has a scale, a crop and faults of its own, and depends on its number alone."""
    rng = np.random.default_rng([seed, draw, *photo.path.name.encode()])
    clean = Synthesis([photo], {}, seed).frame(rng)
    out = [Frame(clean)]
    for kind in rng.choice(list(TYPES), rated, replace=False).tolist():
        level = int(rng.choice(LEVELS))
        out.append(Frame(distort(clean, kind, level, rng), setting=(kind, level)))
    name, severity = str(rng.choice(list(FAULTS))), float(rng.random())
    return [*out, Frame(FAULTS[name][0](clean, severity, rng), fault=(name, severity))]


def files_of(photos: Sequence[Photo]) -> list[str]:
    """The photographs' files as a claim tells them apart."""
    return [f"{photo.path.name} {photo.path.stat().st_size}" for photo in photos]


def digest(facts: object) -> str:
    """SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def samples_of(
    model: GlintEdge, weights: str, plans: Mapping[str, Plan], work: Path, workers: int
) -> dict[str, Arrays]:
    """Make the frames and run the network, or read what an earlier call kept.

    Args:
        model: In evaluation mode.
        weights: Digest of the model's weights.
        plans: By the name of the file in `work` that keeps the result.
        work: A folder.
        workers: Processes that distort.

    Raises:
        UsageError: A file holds samples of other frames or of another network.
    """
    out = {}
    with Bar(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        for name, plan in plans.items():
            label = f"frames to {name}" if len(plans) > 1 else "frames"
            advance = partial(bar.advance, bar.add_task(label, total=len(plan)))
            claim = json.dumps([weights, *plan.claim])
            make = partial(_made, model, plan, workers, advance)
            out[name] = kept_or_made(work / f"{name}.npz", claim, make)
    return out


@torch.inference_mode()
def _made(
    model: GlintEdge, plan: Plan, workers: int, advance: Callable[[], object]
) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {}
    for views, labels in made_in_order(plan.made, range(len(plan)), workers, chunk=2):
        stacked = (torch.from_numpy(np.stack(some)) for some in zip(*views, strict=True))
        for name, values in (labels | plan.outputs(model, *stacked)).items():
            rows.setdefault(name, []).extend(values)
        advance()
    return rows
