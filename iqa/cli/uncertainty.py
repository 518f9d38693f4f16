"""``python -m iqa uncertainty``: fit, calibrate and judge the uncertainty of finished weights."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress as Bar

from iqa.data.photos import Photo, read_folder
from iqa.uncertainty.fit import FitSettings
from iqa.uncertainty.frames import read_opinions
from iqa.uncertainty.page import read_page, update_page
from iqa.uncertainty.samples import Plan, Samples, samples_of
from iqa.uncertainty.shares import share_out
from iqa.uncertainty.stage import OURS, fit_and_judge
from iqa.uncertainty.weights import read_weights, write_weights
from sdk.cli.exits import exits_cleanly
from sdk.errors import UsageError

LIMIT = re.compile(r'"abstain_above":\s*([\d.]+)')


@exits_cleanly
def uncertainty(
    weights: Annotated[Path, typer.Argument(help="Trained glint-edge weights, safetensors")],
    work: Annotated[Path, typer.Option(help="Folder for the features; a stopped run goes on")],
    photos: Annotated[list[Path], typer.Option(help="Photo folders with an index.csv; repeatable")],
    means: Annotated[Path, typer.Option(help="type,level,mean,std rows of human scores")],
    out: Annotated[Path, typer.Option(help="Where the weights with the head go, safetensors")],
    report: Annotated[Path | None, typer.Option(help="Where the figures go, JSON")] = None,
    description: Annotated[
        Path | None, typer.Option(help="Description for the export, whose limit is renewed")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Page whose figures to renew")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Of each training photograph")] = 1,
    held_out_draws: Annotated[int, typer.Option(min=1, help="Of each validation photograph")] = 4,
    workers: Annotated[int, typer.Option(min=1, help="Processes that distort")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of frames and fit")] = 0,
) -> int:
    """Fit the uncertainty of finished weights; scores and all else stay as they are."""
    if description:
        read_limit(description)  # refuse before minutes of frames
    if page:
        read_page(page)
    model, digest = read_weights(weights)
    opinions = read_opinions(means)
    shares = share_out(read_photos(photos))
    samples: dict[str, Samples] = {}
    with Bar(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        for name, some in shares.items():
            plan = Plan(some, draws if name == "fit" else held_out_draws, seed, opinions)
            task = bar.add_task(f"frames to {name}", total=len(plan))
            samples[name] = samples_of(
                model, plan, work / f"{name}.npz", digest, workers,
                lambda done, task=task: bar.update(task, completed=done),
            )  # fmt: skip
    head, found = fit_and_judge(samples, FitSettings(seed=seed))
    found = {"weights": digest[:12], **found}
    write_weights(weights, "uncertainty", head, out)
    if report:
        report.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if description:
        renew(description, found["abstain_above"])
    if page:
        update_page(page, found)
    print(summary(found))
    return 0


def read_photos(folders: list[Path]) -> list[Photo]:
    """The photographs of all folders.

    Raises:
        UsageError: A folder has no index.csv, or that lacks a column.
    """
    photos = []
    for folder in folders:
        try:
            photos += read_folder(folder)
        except (OSError, UnicodeDecodeError, KeyError) as error:
            reason = f"it has no column {error}" if isinstance(error, KeyError) else error
            raise UsageError(
                f"Photographs {folder} cannot be used: {reason}.",
                hint="Give a folder whose index.csv has the columns file, split and licence.",
            ) from error
    return photos


def renew(description: Path, limit: float) -> None:
    """Put the limit into the description that an export reads; the rest stays as it is laid out.

    Raises:
        UsageError: As :func:`read_limit` does.
    """
    text, place = read_limit(description)
    text = text[: place.start(1)] + str(limit) + text[place.end(1) :]
    description.write_text(text, encoding="utf-8")


def read_limit(description: Path) -> tuple[str, re.Match[str]]:
    """A description's text, and where its limit stands.

    Raises:
        UsageError: The file cannot be read, or has no such field.
    """
    try:
        text = description.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Model description {description} cannot be used: {error}.") from error
    found = LIMIT.search(text)
    if found is None:
        raise UsageError(
            f"Model description {description} has no number abstain_above to renew.",
            hint='Add "abstain_above": 100 to it; the command puts the right number there.',
        )
    return text, found


def summary(found: dict[str, Any]) -> str:
    """The figures that decide, in words."""
    levels = ", ".join(
        f"{level} cover {100 * row['value']:.1f} %"
        for level, row in found["coverage"][OURS].items()
        if level.endswith("%")
    )
    right = found["attribution"]["right"]
    named = "no fault is plain enough to name"
    if right["value"] is not None:
        low, high = (100 * v for v in right["interval95"])
        share = f"{100 * right['value']:.0f} % ({low:.0f} to {high:.0f})"
        named = f"the largest cause is the fault's in {share}"
    return (
        f"{found['frames']['report']} frames of {found['contents']['report']} contents not fitted "
        f"on: intervals of {levels}; {named}; scores of sigma above {found['abstain_above']} "
        "points should not be trusted"
    )
