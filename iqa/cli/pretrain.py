"""``python -m iqa pretrain``: a network learns distortions and levels from unlabelled pictures."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress as Bar

from iqa.cli.outputs import check_outputs, check_work
from iqa.cli.train import find_recipe, starts_of
from iqa.contrast.frames import Frames
from iqa.contrast.pretraining import Pretraining
from iqa.contrast.run import batch_of, encoder
from iqa.contrast.run import pretrain as take_steps
from iqa.contrast.worth import features_of, worth
from iqa.models.uncertainty_head import state_without_head
from iqa.saqt.pictures import Picture, find_pictures
from iqa.tensor_file import write_tensors
from iqa.training.networks import build_network, freeze, start_from
from iqa.training.recipe import Recipe
from iqa.training.takes import Takes
from sdk.calibration.site import read_site
from sdk.cli.exits import exits_cleanly


@exits_cleanly
def pretrain(
    recipe: Annotated[str, typer.Argument(help="Recipe whose [model] is trained; a file or name")],
    clean: Annotated[Path, typer.Option(help="Folder of undistorted pictures")],
    work: Annotated[Path, typer.Option(help="Folder of the checkpoint; a stopped run goes on")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the weights go, safetensors")],
    footage: Annotated[
        Path | None, typer.Option(help="Folder of frames as they are, your own; no labels")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Rated pictures, as of framescore calibrate: judge before and after"),
    ] = None,
    start: Annotated[
        list[str] | None, typer.Option(help="PART=FILE, weights that the recipe starts from")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Length of the run")] = 2000,
    until: Annotated[int | None, typer.Option(min=1, help="Stop early at this step")] = None,
    classes: Annotated[int, typer.Option(min=2, help="Distortions and levels in a batch")] = 8,
    each: Annotated[int, typer.Option(min=1, help="Contents of each")] = 2,
    real: Annotated[int, typer.Option(min=0, help="Frames of the footage in a batch")] = 8,
    rate: Annotated[float, typer.Option(help="Of AdamW at the start")] = 3e-4,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make frames")] = 2,
) -> int:
    """Pretrain a network without opinions, on distortions and levels and on footage of your own."""
    check_work(work)
    if out.absolute().parent != work.absolute():  # which is made
        check_outputs(out=out)
    settings = Recipe.read(find_recipe(recipe))
    starts = starts_of(start or [])
    model, network = build_network(settings.model, settings.seed)
    start_from(model, settings.model, starts)
    freeze(model, settings.model.freeze)
    pictures = find_pictures(clean)
    own = find_pictures(footage) if footage else []
    site = read_site(labels, None, labels.parent) if labels else None
    takes = Takes(network.views)
    frames = Frames(pictures, own, takes, settings.seed, classes, each, real)
    encode = encoder(network, model)
    before = worth(features_of(model, encode, takes, site.paths), site) if site else 0.0
    width = encode(batch_of([frames.pair(0, 0)])[0]).shape[1]
    run = Pretraining(model, encode, width, steps, rate, settings.seed)
    numbers = [steps, classes, each, real, rate]
    identity = json.dumps(
        [msgspec.to_builtins(settings.model), settings.seed, numbers, _digests(starts.values()),
         _listing(pictures), _listing(own)]
    )  # fmt: skip
    with Bar(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("contrast", total=steps)

        def show(step: int, loss: float) -> None:
            bar.update(task, completed=step, description=f"contrast {loss:.3f}")

        take_steps(
            run, frames, steps, work, identity, workers=workers, until=until, progress=show
        )  # fmt: skip
    write_tensors(out, state_without_head(model))
    if site:
        after = worth(features_of(model, encode, takes, site.paths), site)
        print(
            f"ridge on {len(site.paths)} rated pictures, contents left out: SROCC {before:.3f} "
            f"before, {after:.3f} after"
        )
    print(f"{run.step} of {steps} steps; weights: {out}")
    return 0


def _digests(files: Sequence[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def _listing(pictures: Sequence[Picture]) -> str:
    names = "\n".join(f"{p.name} {p.path.stat().st_size}" for p in pictures)
    return hashlib.sha256(names.encode()).hexdigest()
