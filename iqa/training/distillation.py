"""Scores of teachers on unlabelled pictures, which a run then follows.

Teachers score each picture once, before the first step, as at run time: the mean over their own
grid of crops. That one score holds for every crop the student draws, as an opinion of people does,
is our choice. The idea of following an ensemble where it agrees is QFM-IQM's (:mod:`iqa.qfm`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from iqa.datasets.entry import Entry
from iqa.models.checkpoints import read_checkpoint
from iqa.qfm.teacher import agreement
from iqa.training.loader import validation_batches
from iqa.training.networks import Network, build_network, load_whole
from iqa.training.parallel import World
from iqa.training.places import Places
from iqa.training.progress import Progress
from iqa.training.recipe import Distillation
from iqa.training.sources import RatedSource
from iqa.training.takes import Takes
from iqa.training.unlabelled import find_unlabelled
from iqa.whole_file import whole_file
from sdk.errors import SourceError, UsageError

SCORES = "teachers.json"  # in the work folder


class Teaching:
    """Teachers and the pictures that they judge.

    Args:
        settings: Of the recipe.
        places: Where pictures and weights are.
        world: The processes.

    Raises:
        FramescoreError: A file is not given, missing or of another network.
    """

    def __init__(self, settings: Distillation, places: Places, world: World) -> None:
        self.settings, self.world, self.work = settings, world, places.work
        if settings.batch % world.size:
            raise UsageError(
                f"[distillation] batch = {settings.batch} does not divide among {world.size} "
                "processes.",
                hint=f"Use a multiple of {world.size}.",
            )
        if not places.unlabelled:
            raise UsageError("The recipe has [distillation], which needs --unlabelled.")
        self.teachers = open_teachers(settings, places.teachers)
        labelled = [*places.photos, *([places.root] if places.root else [])]
        self.pictures = find_unlabelled(places.unlabelled, labelled)
        names = json.dumps([(name, p.stat().st_size) for name, p in self.pictures.items()])
        self.identity = {"--unlabelled": hashlib.sha256(names.encode()).hexdigest()}
        for name, path in places.teachers.items():
            self.identity[f"--teacher {name}"] = hashlib.sha256(path.read_bytes()).hexdigest()

    def source(self, takes: Takes, seed: int, device: torch.device, workers: int) -> RatedSource:
        """The pictures on which the teachers agree, with their scores; all are scored first.

        Raises:
            SourceError: They are fewer than a step needs, or one cannot be read.
        """
        scores = self._scores(device, workers)
        mean, agreed = agreement(scores, self.settings.limit)
        entries = [
            Entry(path, score, score)
            for path, score, used in zip(
                self.pictures.values(), mean.tolist(), agreed.tolist(), strict=True
            )
            if used
        ]
        if len(entries) < self.settings.batch:
            raise SourceError(
                f"The teachers agree on {len(entries)} of {len(self.pictures)} unlabelled "
                f"pictures; a step needs {self.settings.batch}.",
                hint="Give more --unlabelled, or change limit or batch of [distillation].",
            )
        contents = range(len(entries))
        return RatedSource(
            entries, contents, takes, 0.0, 1.0, seed, True, flips=self.settings.flips
        )

    def _scores(self, device: torch.device, workers: int) -> Tensor:
        """``[T, pictures]``; read again where the same teachers have scored the same pictures."""
        path = self.work / SCORES
        about = self.identity | {"teachers": msgspec.to_builtins(self.settings.teachers)}
        known = self.world.gather_objects(_known(path, about) if self.world.leads else None)[0]
        if known is None:
            known = [self._judged(*teacher, device, workers) for teacher in self.teachers]
            if self.world.leads:
                kept = {"about": about, "pictures": [*self.pictures], "scores": known}
                with whole_file(path) as stream:
                    stream.write(json.dumps(kept).encode())
        self.teachers = []  # their room is the student's
        return torch.tensor(known, dtype=torch.float64)

    @torch.inference_mode()
    def _judged(
        self, model: nn.Module, network: Network, device: torch.device, workers: int
    ) -> list[float]:
        """Of every picture; picture by picture, so that no score depends on others."""
        entries = [Entry(path, 0.0, 0.0) for path in self.pictures.values()]
        takes = Takes(network.views)
        source = RatedSource(entries, range(len(entries)), takes, 0.0, 1.0, 0, False)
        model, own = model.to(device).eval(), []
        total = len(range(self.world.rank, len(entries), self.world.size))
        with Progress(total, 0, self.world.leads, "teachers") as progress:
            for batch in validation_batches(source, 1, self.world, workers):
                inputs = network.inputs(model, batch.to(device).inputs)
                own.append(float(network.look(model, inputs).quality.float().mean()))
                progress.advance()
        found = [0.0] * len(entries)
        for rank, part in enumerate(self.world.gather_objects(own)):
            found[rank :: self.world.size] = part
        return found


def open_teachers(
    settings: Distillation, files: Mapping[str, Path]
) -> Sequence[tuple[nn.Module, Network]]:
    """The recipe's teachers with their weights.

    Raises:
        UsageError: A teacher has no file, or the other way round, or the file is of another.
    """
    if set(files) != set(settings.teachers) or not files:
        asked = ", ".join(f"--teacher {name}=FILE" for name in settings.teachers)
        raise UsageError(
            f"The recipe's [distillation] asks for {asked or 'no teacher'}; given are "
            f"{', '.join(files) or 'none'}.",
            hint="Name the networks in its teachers and give the weights of each.",
        )
    found = []
    for name, architecture in settings.teachers.items():
        model, network = build_network(architecture, 0)
        load_whole(model, read_checkpoint(files[name]), f"--teacher {name}={files[name]}")
        found.append((model, network))
    return found


def _known(path: Path, about: Mapping[str, object]) -> list[list[float]] | None:
    try:
        found = json.loads(path.read_text())
        return found["scores"] if found["about"] == json.loads(json.dumps(about)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
