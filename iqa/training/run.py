"""A run from its recipe to the weights of its best validation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from iqa.models.uncertainty_head import state_without_head
from iqa.tensor_file import write_tensors
from iqa.training.batch import Batch
from iqa.training.checks import check_prepared, clock_of, identity_of
from iqa.training.distillation import Teaching
from iqa.training.loader import Batches, Order, validation_batches
from iqa.training.log import Log
from iqa.training.networks import build_network, freeze, start_from
from iqa.training.objective import check_losses
from iqa.training.parallel import World
from iqa.training.places import Places, open_sources
from iqa.training.progress import Progress
from iqa.training.recipe import Recipe
from iqa.training.sources import Source
from iqa.training.takes import Takes
from iqa.training.trainer import Trainer
from iqa.training.validation import Verdict, validate
from iqa.whole_file import whole_file
from sdk.cli.exits import say
from sdk.errors import FramescoreError, UsageError

CHECKPOINT, BEST = "checkpoint.pt", "best.safetensors"
NEVER = -math.inf


class TrainingError(FramescoreError):
    """A run that cannot go on."""


@dataclass
class Best:
    """The best validation so far.

    Attributes:
        srocc: Its figure.
        step: When.
        waited: Validations since.
    """

    srocc: float = NEVER
    step: int = 0
    waited: int = 0


class Run:
    """One training run; :meth:`finish` does it.

    Args:
        recipe: What to do.
        places: Where the data are.
        starts: Files of start weights, by part.
        world: The processes.
        device: To train on.
        workers: Processes of this one that make frames.
        tensorboard: Write its events too.

    Raises:
        FramescoreError: The recipe, the files and the model do not go together; nothing is written.
    """

    def __init__(
        self,
        recipe: Recipe,
        places: Places,
        starts: Mapping[str, Path],
        *,
        world: World | None = None,
        device: torch.device | None = None,
        workers: int = 0,
        tensorboard: bool = False,
    ) -> None:
        self.recipe, self.work, self.workers = recipe, places.work, workers
        self.world, self.tensorboard = world or World(), tensorboard
        check_prepared(recipe)
        model, network = build_network(recipe.model, recipe.seed)
        start_from(model, recipe.model, starts)
        freeze(model, recipe.model.freeze)
        self.takes = Takes(network.views)
        self.sources = open_sources(recipe.data, places, self.takes, recipe.seed)
        check_losses(recipe.losses, network.outputs, self.sources.train.causes)
        self.clock = clock_of(recipe, self.sources, self.world)
        self.trainer = Trainer(
            model, network, recipe, self.clock, self.world, device or torch.device("cpu")
        )
        self._val_batches = validation_batches(
            self.sources.val, self._val_batch(), self.world, workers
        )
        self.best = Best()
        self.identity = identity_of(recipe, self.sources, starts)
        self.teaching = self._teaching(places)
        if self.teaching is not None:
            self.identity |= self.teaching.identity

    def _teaching(self, places: Places) -> Teaching | None:
        if self.recipe.distillation is not None:
            return Teaching(self.recipe.distillation, places, self.world)
        if places.unlabelled or places.teachers:
            raise UsageError(
                "--unlabelled and --teacher are for recipes with [distillation]; this has none."
            )
        return None

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of this run.

        Raises:
            UsageError: It is of another recipe, other data or other start weights.
        """
        try:
            state = torch.load(path, map_location=self.trainer.device, weights_only=True)
            identity = json.loads(state["identity"])
        except Exception as error:  # torch raises whatever its unpickler meets
            raise UsageError(f"{path} is no checkpoint of framescore train: {error}") from error
        if changed := [k for k in self.identity if identity.get(k) != self.identity[k]]:
            raise UsageError(
                f"{path} is of another run; what differs: {', '.join(changed)}.",
                hint="Give another --work, or --restart to begin anew.",
            )
        self.trainer.restore(state["trainer"])
        self.best = Best(**state["best"])

    def finish(self, restart: bool = False, until: int | None = None) -> nn.Module:
        """Train to the end, from the last checkpoint if there is one.

        Args:
            restart: Begin anew whatever lies in the work folder.
            until: Stop after this step.

        Returns:
            The model with the weights that the recipe keeps, on the CPU.

        Raises:
            TrainingError: The loss is no number any more.
        """
        checkpoint = self.work / CHECKPOINT
        if checkpoint.is_file() and not restart:
            self.resume(checkpoint)
        self.world.wait()  # nobody may read what the first is about to write
        if self.world.leads:
            self.work.mkdir(parents=True, exist_ok=True)
        first, last = self.trainer.step, min(until or self.clock.total, self.clock.total)
        taught = self._unlabelled(wanted=first < last)
        batches = zip(self._batches(), taught, strict=False)
        with (
            Progress(self.clock.total, first, self.world.leads) as progress,
            closing(self._log()) as log,
        ):
            while self.trainer.step < last and not self._gave_up():
                self._step(*next(batches), log, progress)
            if self.trainer.step > first:
                self._save()
        return self._kept()

    def _step(self, batch: Batch, taught: Batch | None, log: Any, progress: Progress) -> None:
        recipe, trainer = self.recipe, self.trainer
        rate = trainer.rate()
        parts = trainer.update(
            batch.to(trainer.device), None if taught is None else taught.to(trainer.device)
        )
        step, row = trainer.step, {}
        progress.advance()
        if step % recipe.log_every == 0 or step == self.clock.total:
            row = self._row(parts, rate, progress)
        if step % self._every() == 0 or step == self.clock.total:
            row |= self._validate(progress)
        if row:
            log.write(step, row)
        if step % recipe.save_every == 0:
            self._save()

    def _row(
        self, parts: Mapping[str, Tensor], rate: float, progress: Progress
    ) -> dict[str, float]:
        values = {name: float(value) for name, value in parts.items()}
        if not math.isfinite(values["loss"]):
            raise TrainingError(
                f"The loss is {values['loss']} at step {self.trainer.step}.",
                hint="Lower the rate, or use bf16 or fp32; the last checkpoint is kept.",
            )
        progress.show(loss=values["loss"])
        frames = self.recipe.batch * self.sources.train.frames
        speed = frames * progress.steps_per_s
        return values | {
            "epoch": self.trainer.step / (len(self.sources.train) // self.recipe.batch),
            "lr": self.recipe.optimizer.lr * rate,
            "images_per_s": speed,
        }

    def _validate(self, progress: Progress) -> dict[str, float]:
        verdict = validate(self.trainer, self._val_batches, self.takes.crops)
        self._note(verdict)
        progress.say(
            f"step {self.trainer.step}: validation SROCC {verdict.srocc:.4f}, PLCC "
            f"{verdict.plcc:.4f}, loss {verdict.loss:.4f}; best {self.best.srocc:.4f} at step "
            f"{self.best.step}"
        )
        return {f"val_{name}": value for name, value in asdict(verdict).items()}

    def _note(self, verdict: Verdict) -> None:
        """Keep the weights if they are the best so far."""
        if verdict.srocc > self.best.srocc or self.best.step == 0:  # NaN at first is kept too
            figure = NEVER if math.isnan(verdict.srocc) else verdict.srocc
            self.best = Best(figure, self.trainer.step)
            if self.world.leads:
                write_tensors(self.work / BEST, self.trainer.average.state_dict())
        else:
            self.best.waited += 1

    def _gave_up(self) -> bool:
        return 0 < self.recipe.patience <= self.best.waited

    def _batches(self) -> Iterator[Batch]:
        # where pictures without labels are read too, their processes are half of all
        workers = self.workers - (self.workers // 2 if self.teaching else 0)
        return self._ordered(self.sources.train, self.recipe.batch, workers)

    def _unlabelled(self, *, wanted: bool) -> Iterator[Batch | None]:
        """Pictures with the teachers' scores for each step, which are made first; or nothing."""
        if self.teaching is None or not wanted:
            return repeat(None)
        source = self.teaching.source(
            self.takes, self.recipe.seed, self.trainer.device, self.workers
        )
        if self.world.leads:
            say(f"following teachers on {len(source)} of {len(self.teaching.pictures)} pictures")
        return self._ordered(source, self.teaching.settings.batch, self.workers // 2)

    def _ordered(self, source: Source, batch: int, workers: int) -> Iterator[Batch]:
        own, steps = self.world.share(batch), (self.trainer.step, self.clock.total)
        order = Order(len(source), batch, self.recipe.seed, *steps, own)
        return iter(Batches(source, order, workers))

    def _val_batch(self) -> int:
        frames = self.recipe.batch * self.sources.train.frames // self.world.size
        return max(frames // self.sources.val.frames // self.takes.crops, 1)

    def _every(self) -> int:
        every = self.recipe.validate_every
        if every is None:
            every = 1 if self.recipe.epochs else self.clock.total / 10
        return max(round(every * self.clock.unit), 1)

    def _log(self) -> Any:
        if not self.world.leads:
            return _NoLog()
        noise = ("noise", "consistency") if self.recipe.noise else ()
        taught = ("distillation",) if self.teaching else ()
        names = ("epoch", "lr", "loss", *self.recipe.losses, *noise, *taught, "images_per_s")
        names += ("val_loss", "val_srocc", "val_plcc")
        return Log(self.work, names, self.trainer.step, self.tensorboard)

    def _save(self) -> None:
        self.world.agree(self.trainer.model)
        if self.world.leads:
            state = {
                "identity": json.dumps(self.identity),
                "best": asdict(self.best),
                "trainer": self.trainer.state(),
            }
            with whole_file(self.work / CHECKPOINT) as stream:
                torch.save(state, stream)

    def _kept(self) -> nn.Module:
        """The best validation's weights, or the last."""
        self.world.wait()
        model = self.trainer.average.cpu()
        if self.recipe.keep == "best" and self.best.step:
            model.load_state_dict(load_file(self.work / BEST))
        return model

    def summary(self) -> str:
        """How the run ended, in words."""
        step, total = self.trainer.step, self.clock.total
        ended = "finished" if step == total else f"stopped after {step} of {total} steps"
        if self._gave_up():
            ended += f", {self.best.waited} validations after the best"
        if self.recipe.keep == "last" or not self.best.step:
            return f"{ended}; kept the last weights"
        return f"{ended}; kept step {self.best.step}, validation SROCC {self.best.srocc:.4f}"

    def write(self, model: nn.Module, path: Path) -> None:
        """Write weights for export, with what the score's ends mean."""
        half = self.recipe.weights == "fp16"
        state = {
            name: value.half() if half and value.is_floating_point() else value
            for name, value in state_without_head(model).items()
        }
        about = {
            "model": self.recipe.model.name,
            "label_at_0": f"{self.sources.low:.9g}",
            "label_at_1": f"{self.sources.high:.9g}",
            "label": self.sources.scale,
            "recipe": json.dumps(msgspec.to_builtins(self.recipe)),
        }
        write_tensors(path, state, about)


class _NoLog:
    """Of the processes that do not write."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
