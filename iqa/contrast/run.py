"""A run of pretraining: batches made ahead, a checkpoint, and the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iqa.contrast.frames import Frames, Pair
from iqa.contrast.pretraining import Pretraining
from iqa.data.workers import made_in_order
from iqa.training.networks import Network
from sdk.errors import UsageError

CHECKPOINT = "checkpoint.pt"


def encoder(network: Network, model: nn.Module) -> Callable[[Any], Tensor]:
    """The feature that a network's score is read from, ``[B, D]``, from its raw views."""
    cut = network.cut(model)

    def encode(raw: list[Tensor]) -> Tensor:
        return cut.head(cut.tokens(network.inputs(model, raw))).hidden.flatten(1)

    return encode


def batch_of(pairs: list[Pair]) -> tuple[list[Tensor], Tensor]:
    """Both views of every frame, the first ones first, and their classes."""
    seen = [pair.views[side] for side in (0, 1) for pair in pairs]
    raw = [torch.from_numpy(np.concatenate(some)) for some in zip(*seen, strict=True)]
    return raw, torch.tensor([pair.label for pair in pairs] * 2)


def batches(frames: Frames, first: int, last: int, workers: int) -> Iterator[Any]:
    """The batches of steps ``first`` to ``last``, the last excluded."""
    places = [(step, place) for step in range(first, last) for place in range(len(frames))]
    make = partial(_pair, frames)
    made = made_in_order(make, places, workers, chunk=4)
    for _ in range(first, last):
        yield batch_of([next(made) for _ in range(len(frames))])


def pretrain(
    run: Pretraining,
    frames: Frames,
    steps: int,
    folder: Path,
    identity: str,
    *,
    workers: int = 1,
    save_every: int = 50,
    until: int | None = None,
    progress: Callable[[int, float], object] = lambda *_: None,
) -> None:
    """Take the steps that are left, with a checkpoint in ``folder``.

    Raises:
        UsageError: The folder holds the checkpoint of another run.
    """
    path = folder / CHECKPOINT
    folder.mkdir(parents=True, exist_ok=True)
    if path.is_file() and not run.restore(path, identity):
        raise UsageError(
            f"{path} belongs to a run of other settings, pictures or weights.",
            hint="Give another --work folder, or delete that file.",
        )
    last = min(until or steps, steps)
    if run.step >= last:
        return
    for raw, classes in batches(frames, run.step, last, workers):
        loss = run.update(raw, classes)
        progress(run.step, loss)
        if run.step % save_every == 0 or run.step == last:
            run.save(path, identity)


def _pair(frames: Frames, where: tuple[int, int]) -> Pair:
    return frames.pair(*where)
