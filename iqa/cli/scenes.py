"""``python -m iqa scenes``: fit and judge what finished weights say a frame shows."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from iqa.cli import second_stage as opt
from iqa.cli.outputs import check_outputs, check_work
from iqa.data.photos import Photo, read_folders
from iqa.scenes.description import read_description, renew
from iqa.scenes.fit import FitSettings
from iqa.scenes.labels import Scenes, read_scenes, scene_names
from iqa.scenes.samples import Samples, plan_of
from iqa.scenes.stage import fit_and_judge
from iqa.second_stage.files import write_json
from iqa.second_stage.samples import samples_of
from iqa.second_stage.weights import read_weights, write_weights
from sdk.cli.exits import exits_cleanly
from sdk.errors import UsageError


class Loss(str, Enum):
    """Keys of `iqa.scenes.fit.LOSSES`."""

    fidelity = "fidelity"
    cross_entropy = "cross-entropy"


@exits_cleanly
def scenes(
    weights: opt.Weights,
    work: Annotated[Path, typer.Option(help="Folder for the features, which are kept")],
    photos: opt.Photos,
    out: opt.Out,
    table: Annotated[
        Path | None,
        typer.Option("--scenes", help="CSV of file,scene; without, the column of each index.csv"),
    ] = None,
    report: opt.Report = None,
    description: Annotated[
        Path | None, typer.Option(help="Description for the export, whose labels are renewed")
    ] = None,
    loss: Annotated[Loss, typer.Option(help="Of the fit")] = Loss.cross_entropy,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the photographs to judge on")] = 5,
    draws: Annotated[int, typer.Option(min=1, help="Of each photograph")] = 1,
    workers: opt.Workers = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of frames and folds")] = 0,
) -> int:
    """Fit what finished weights say a frame shows; scores and all else stay as they are."""
    check_work(work)
    check_outputs(out=out, report=report, description=description)
    if description:
        read_description(description)  # refuse before minutes of frames
    model, digest = read_weights(weights)
    known = read_scenes([table] if table else [folder / "index.csv" for folder in photos])
    chosen = with_scenes(read_folders(photos), known)
    plans = {"scenes": plan_of(chosen, draws, seed)}
    samples = Samples(**samples_of(model, digest, plans, work, workers)["scenes"])
    settings = FitSettings(loss=loss.value)
    unseen = [photo.path.name for photo in chosen if photo.split == "val"]
    head, found = fit_and_judge(samples, known, settings, folds, seed, unseen)
    found = {"weights": digest[:12], **found}
    write_weights(weights, "scenes", head, out)
    if report:
        write_json(report, found)
    if description:
        renew(description, found["labels"])
    print(summary(found))
    return 0


def with_scenes(photos: Sequence[Photo], scenes: Scenes) -> list[Photo]:
    """The photographs whose scenes are known.

    Raises:
        UsageError: None, or they show fewer than two scenes.
    """
    chosen = [photo for photo in photos if photo.path.name in scenes]
    if not chosen:
        raise UsageError(
            f"Of {len(photos)} photographs none has a scene.",
            hint="The column file must hold the photographs' names, as in their index.csv.",
        )
    scene_names({photo.path.name: scenes[photo.path.name] for photo in chosen})
    return chosen


def summary(found: dict[str, Any]) -> str:
    """The figures that decide, in words."""

    def percent(row: dict[str, Any]) -> str:
        low, high = (100 * value for value in row["interval95"])
        return f"{100 * row['value']:.1f} % ({low:.1f} to {high:.1f})"

    accuracy, gain = found["accuracy"], found["gain"]["all"]
    low, high = (100 * value for value in gain["interval95"])
    return (
        f"{found['frames']} frames of {found['photographs']} photographs, each judged by a head "
        f"that never saw it: the likeliest of {len(found['labels'])} scenes is shown in "
        f"{percent(accuracy['all'])}, clean {percent(accuracy['clean'])}, distorted "
        f"{percent(accuracy['distorted'])}; always the commonest scene: "
        f"{percent(found['majority']['all'])}; gain {100 * gain['value']:+.1f} "
        f"({low:+.1f} to {high:+.1f}) points"
    )
