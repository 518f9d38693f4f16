"""A training recipe: every number that decides the outcome, read from a TOML file.

Where files lie is no part of it; that stands on the command line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from iqa.training.schedule import SCHEDULES, AnySchedule
from sdk.errors import SourceError, UsageError

Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Amount = Annotated[float, Meta(ge=0)]
Triple = tuple[float, float, float]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every table: a misspelt key is an error, not a default."""


class Architecture(Strict):
    """A network.

    Attributes:
        name: glint-edge, glintiqa, qfm-iqm, or ``package.module:function`` of one's own network.
        options: Arguments of the function that builds it.
        views: Of one's own network: what it sees, such as ``["crops:3x3@224"]``.
        mean, std: Of one's own network: normalisation of RGB in 0..1.
    """

    name: str
    options: dict[str, Any] = {}
    views: list[str] = []
    mean: Triple = (0.5, 0.5, 0.5)
    std: Triple = (0.5, 0.5, 0.5)


class Model(Architecture):
    """What is trained.

    Attributes:
        start: Weights that the run starts from, by part; the command line has the files.
        freeze: Parts that keep their weights, by the names of modules.
    """

    start: list[str] = []
    freeze: list[str] = []


class Cached(Strict, tag_field="kind", tag="cached"):
    """Frames of ``python -m iqa prepare``, with the outputs of glint-edge's frozen trunk.

    Attributes:
        groups: Of four frames each, that are prepared.
        cutmix: Share of the frames with a human mean that take fragments of other photographs with
            the same label, and share of those that take another reduced view.
    """

    groups: Count
    cutmix: Share = 0.0


class Views(Strict, tag_field="kind", tag="views"):
    """Frames of ``python -m iqa prepare``, their views put together anew in every epoch.

    Attributes:
        mix: Share of the frames with a human mean that take fragments of other photographs with
            the same label, and share of those whose reduced view, or a part of it, is another's.
    """

    mix: Share = 0.0


class Synthesis(Strict, tag_field="kind", tag="synthesis"):
    """Photographs distorted afresh in every epoch, labelled by human means of (type, level).

    Attributes:
        groups: Of four frames each, that make an epoch.
        val_groups: That the run is validated on, from validation photographs.
    """

    groups: Count
    val_groups: Count = 64


class Rated(Strict, tag_field="kind", tag="rated"):
    """A data set with human scores.

    Attributes:
        set: Name of its reader, as of ``framescore evaluate --set``.
        csv: Of the set csv: its columns, as of ``framescore evaluate --csv``.
        part: "train" leaves the set's own test part, or a random fifth of the contents, alone;
            "all" trains on everything, to be judged on other sets.
        val_share: Share of the contents that are validated on, where the set has no such part.
        split_seed: Of the random split.
        crops: Random crops of a picture in an epoch.
        flips: "", "h" or "hv": how pictures may be mirrored.
        resize: Width and height that pictures are brought to first.
    """

    set: str
    csv: str = ""
    part: Literal["train", "all"] = "train"
    val_share: Share = 0.1
    split_seed: Natural = 0
    crops: Count = 1
    flips: Literal["", "h", "hv"] = "h"
    resize: tuple[Count, Count] | None = None


class Transfer(Strict, tag_field="kind", tag="transfer"):
    """Photographs under KADID's distortions with labels from the rated references they resemble.

    Attributes:
        val_share: Share of the photographs that are validated on.
        val_pictures: Frames that are validated on, evenly spaced.
        flips: As for rated sets.
    """

    val_share: Share = 0.02
    val_pictures: Count = 500
    flips: Literal["", "h", "hv"] = "h"


Data = Cached | Views | Synthesis | Rated | Transfer


class Optimizer(Strict, kw_only=True):
    """How weights move.

    Attributes:
        name: adamw, or adam, whose decay is part of the gradient.
        lr: Peak rate.
        weight_decay: Of the matrices.
        decay_all: Decay biases and norms too.
        slower: Factor of the rate by the names of modules.
        clip: Largest gradient norm; 0 for no limit.
    """

    name: Literal["adamw", "adam"] = "adamw"
    lr: Positive
    weight_decay: Amount = 0.05
    decay_all: bool = False
    slower: dict[str, Positive] = {}
    clip: Amount = 1.0


class Noise(Strict, kw_only=True):
    """Semantic noise; without this table there is none. Durations as those of the run.

    Attributes:
        partners: "matched" by quality and content, or "random", the negative control.
        memory: Samples that partners are drawn from.
        start: When noise begins; the memory fills before.
        full: When it has grown to its strength.
        strength: Largest noise, in norms of the tokens.
        noise: Weight of the loss of the noisy opinion.
        consistency: Weight of its distance from the clean one.
    """

    partners: Literal["matched", "random"] = "matched"
    memory: Count = 2048
    start: Amount
    full: Amount
    strength: Positive = 0.3
    noise: Amount = 0.5
    consistency: Amount = 0.5


class Distillation(Strict, kw_only=True):
    """Scores of teachers on unlabelled pictures; without this table there are none.

    Attributes:
        teachers: Networks by names of one's own; the command line has their weights.
        batch: Unlabelled pictures a step, beside the labelled ones; of all processes.
        weight: Of the distance from the teachers' mean score.
        limit: Pictures on which their standard deviation is not below it are left out.
        start: When the student begins to follow, in the run's durations.
        flips: As for rated sets.
    """

    teachers: dict[str, Architecture]
    batch: Count
    weight: Positive = 1.0
    limit: Positive = 0.05
    start: Amount = 0.0
    flips: Literal["", "h", "hv"] = "h"


class Recipe(Strict, kw_only=True):
    """One training run. Durations are counted in epochs or in steps, as the run's length is.

    Attributes:
        seed: Decides every draw together with the step.
        epochs, steps: Length of the run, one of the two.
        batch: Pictures a step, or groups of four where frames are synthesised; of all processes.
        model, data, optimizer, schedule, noise, distillation: Tables of their own.
        losses: Weights by the names in :data:`iqa.training.objective.LOSSES`.
        precision: fp32, bf16 or fp16 (with scaled losses).
        average: Decay of the averaged weights, which are what is validated and kept; 0 for none.
        average_from: When averaging begins.
        validate_every: How often; by default every epoch, or a tenth of the steps.
        patience: Validations without a better SROCC that end the run; 0 for none.
        keep: Write the weights of the best validation, or the last.
        weights: Number type of the file that is written.
        log_every, save_every: In steps.
    """

    seed: Natural
    epochs: Count | None = None
    steps: Count | None = None
    batch: Count
    model: Model
    data: Data
    losses: dict[str, Positive]
    optimizer: Optimizer
    schedule: AnySchedule
    noise: Noise | None = None
    distillation: Distillation | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    average: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    average_from: Amount = 0.0
    validate_every: Positive | None = None
    patience: Natural = 0
    keep: Literal["best", "last"] = "best"
    weights: Literal["fp32", "fp16"] = "fp32"
    log_every: Count = 25
    save_every: Count = 250

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Parse a recipe file.

        Raises:
            SourceError: The file cannot be read.
            UsageError: It is not TOML, or a key is missing, unknown or of the wrong kind; the
                message names it and what is allowed.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SourceError(f"Recipe {path} cannot be read: {error.strerror}.") from error
        try:
            raw = msgspec.toml.decode(data)
            recipe = msgspec.convert(raw, cls)
        except msgspec.ValidationError as error:
            raise UsageError(f"Recipe {path}: {error}.", hint=_allowed(raw, str(error))) from error
        except (msgspec.DecodeError, ValueError) as error:
            raise UsageError(f"Recipe {path} is not TOML: {error}.") from error
        if (recipe.epochs is None) == (recipe.steps is None):
            raise UsageError(f"Recipe {path} must have one of the keys epochs and steps.")
        return recipe


KINDS = {kind.__struct_config__.tag: kind for kind in (Cached, Views, Synthesis, Rated, Transfer)}


def _allowed(raw: dict[str, Any], message: str) -> str:
    """What the table that ``message`` is about may hold."""
    found = re.search(r"at `\$\.?(\w*)", message)
    name = found[1] if found else ""
    tables: dict[str, Any] = {
        "model": Model,
        "optimizer": Optimizer,
        "noise": Noise,
        "distillation": Distillation,
    }
    kinds = {"data": KINDS, "schedule": SCHEDULES}
    if name in kinds and isinstance(raw.get(name), dict):
        kind = raw[name].get("kind")
        if kind not in kinds[name]:
            return f"Kinds of [{name}] are {', '.join(kinds[name])}."
        tables[name] = kinds[name][kind]
    table = tables.get(name, Recipe)
    where = f"[{name}]" if name in tables else "a recipe"
    return f"Keys of {where} are {', '.join(f.encode_name for f in msgspec.structs.fields(table))}."
