"""What must hold before a run, and before a checkpoint is continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from iqa.training.parallel import World
from iqa.training.recipe import Cached, Recipe, Views
from iqa.training.schedule import Clock
from iqa.training.sources import Sources
from sdk.errors import UsageError

MAY_CHANGE = ("log_every", "save_every", "patience", "keep", "weights")  # in the middle of a run


def clock_of(recipe: Recipe, sources: Sources, world: World) -> Clock:
    """The run's length in steps.

    Raises:
        UsageError: A batch is more than an epoch, or does not divide among the processes.
    """
    units = len(sources.train)
    if recipe.batch > units:
        raise UsageError(f"batch = {recipe.batch}; the data hold {units} units to train on.")
    if recipe.batch % world.size:
        raise UsageError(
            f"batch = {recipe.batch} does not divide among {world.size} processes.",
            hint=f"Use a multiple of {world.size}.",
        )
    per_epoch = units // recipe.batch
    if recipe.epochs is not None:
        return Clock(recipe.epochs * per_epoch, per_epoch)
    assert recipe.steps is not None  # one of the two; Recipe.read sees to it
    return Clock(recipe.steps, 1)


def check_prepared(recipe: Recipe) -> None:
    """Refuse prepared frames for any model that they are not for.

    Raises:
        UsageError: Another model, or a trunk that learns from its own cached outputs.
    """
    if isinstance(recipe.data, Views) and recipe.model.name != "glint-edge":
        raise UsageError(
            f"Data of kind views are glint-edge's; the model is {recipe.model.name}.",
            hint='Use name = "glint-edge", or data of kind synthesis.',
        )
    if isinstance(recipe.data, Cached) and (
        recipe.model.name != "glint-edge" or "trunk" not in recipe.model.freeze
    ):
        raise UsageError(
            "Data of kind cached are outputs of glint-edge's trunk, which must be frozen.",
            hint='Use name = "glint-edge" and freeze = ["trunk"], or data of kind views.',
        )


def identity_of(recipe: Recipe, sources: Sources, starts: Mapping[str, Path]) -> dict[str, Any]:
    """What must be the same for a checkpoint to be continued, key by key."""
    settings = msgspec.to_builtins(recipe)
    found = {f"recipe's {n}": v for n, v in settings.items() if n not in MAY_CHANGE}
    found["number of frames"] = [len(sources.train), len(sources.val)]
    for part, path in starts.items():
        found[f"--start {part}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return json.loads(json.dumps(found))
