"""`framescore train`: from a recipe and data to the weights of a quality model."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from iqa.cli import train_options as opt
from iqa.cli.outputs import check_outputs, check_work
from sdk.cli.exits import EXIT_OK, exits_cleanly, say
from sdk.errors import UsageError

if TYPE_CHECKING:
    import torch

    from iqa.training.places import Places
    from iqa.training.recipe import Recipe

app = typer.Typer(add_completion=False)

RECIPES = Path(__file__).parents[1] / "recipes"


@app.command()
@exits_cleanly
def train(
    recipe: opt.Recipe,
    work: opt.Work = None,
    out: opt.Out = None,
    start: opt.Start = None,
    restart: opt.Restart = False,
    until: opt.Until = None,
    tensorboard: opt.TensorBoard = False,
    root: opt.Root = None,
    photos: opt.Photos = None,
    means: opt.Means = None,
    matches: opt.Matches = None,
    scores: opt.Scores = None,
    unlabelled: opt.Unlabelled = None,
    teacher: opt.Teacher = None,
    workers: opt.Workers = None,
    device: opt.DeviceChoice = opt.Device.auto,
) -> int:
    """Train a quality model from a recipe.

    A run that was stopped goes on where it was when the same command is given again, and ends with
    the same weights. On several processes: torchrun --nproc-per-node N -m -- sdk.cli train …

    Exit status: 0 trained, 1 the data cannot be read or the run failed, 2 usage.
    """
    path = find_recipe(recipe)
    work = work or Path("runs") / path.stem
    out = out or work / "weights.safetensors"
    check_work(work)
    if work.is_dir() or out.absolute().parent != work.absolute():
        check_outputs(out=out)
    _need_libraries()
    from iqa.training.places import Places
    from iqa.training.recipe import Recipe

    settings = Recipe.read(path)
    places = Places(
        work, root, tuple(photos or ()), means, matches, scores, tuple(unlabelled or ()),
        starts_of(teacher or [], "--teacher NAME", "one=first.safetensors"),
    )  # fmt: skip
    _run(
        settings, places, starts_of(start or []), out, restart=restart, until=until,
        tensorboard=tensorboard, workers=workers, device=device,
    )  # fmt: skip
    return EXIT_OK


def _run(
    recipe: Recipe,
    places: Places,
    starts: dict[str, Path],
    out: Path,
    *,
    restart: bool,
    until: int | None,
    tensorboard: bool,
    workers: int | None,
    device: opt.Device,
) -> None:
    from iqa.training.log import check_tensorboard
    from iqa.training.parallel import world
    from iqa.training.recipe import Cached, Views
    from iqa.training.run import Run

    if tensorboard:
        check_tensorboard()
    place = _device(device)
    with world(place) as processes:
        if workers is None:
            workers = 0 if isinstance(recipe.data, Cached | Views) else _cores() // processes.size
        run = Run(
            recipe, places, starts, world=processes, device=place, workers=workers,
            tensorboard=tensorboard,
        )  # fmt: skip
        model = run.finish(restart, until)
        if processes.leads:
            run.write(model, out)
            say(f"{run.summary()}; weights: {out}")
    if processes.size > 1:
        _end_at_once()


def _end_at_once() -> None:
    """Skip the interpreter's end, in which gloo's threads now and then abort a finished process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_OK)


def find_recipe(name: str) -> Path:
    """A recipe file, or one of ours by its name.

    Raises:
        UsageError: There is neither.
    """
    own = RECIPES / f"{name.replace('-', '_')}.toml"
    if Path(name).is_file() or not own.is_file():
        path = Path(name)
        if not path.is_file():
            names = ", ".join(sorted(p.stem.replace("_", "-") for p in RECIPES.glob("*.toml")))
            raise UsageError(f"There is no recipe {name}; those that come with iqa are {names}.")
        return path
    return own


def starts_of(
    words: Sequence[str],
    option: str = "--start PART",
    example: str = "vit=vit_small_patch16_224.safetensors",
) -> dict[str, Path]:
    """Parse ``PART=FILE``.

    Raises:
        UsageError: Another form, a part twice, or no such file.
    """
    found: dict[str, Path] = {}
    flag, _, what = option.partition(" ")
    for word in words:
        part, _, file = word.partition("=")
        if not part or not file or part in found:
            raise UsageError(
                f"{flag} {word!r} must be {what}=FILE, each {what.lower()} once.",
                hint=f"For example {flag} {example}",
            )
        found[part] = Path(file)
        if not found[part].is_file():
            raise UsageError(f"{flag} {word}: there is no such file.")
    return found


def _need_libraries() -> None:
    from importlib.util import find_spec

    lost = [name for name in ("torch", "scipy", "safetensors", "msgspec") if not find_spec(name)]
    if lost:
        raise UsageError(
            f"Training needs {', '.join(lost)}, which is not installed.",
            hint="pip install 'framescore[train]'",
        )


def _device(choice: opt.Device) -> torch.device:
    import torch

    if choice is opt.Device.cpu or (choice is opt.Device.auto and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no GPU here.", hint="Use --device cpu.")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
