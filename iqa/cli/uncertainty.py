"""``python -m iqa uncertainty``: fit, calibrate and judge the uncertainty of finished weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from iqa.cli import second_stage as opt
from iqa.cli.outputs import check_outputs, check_work
from iqa.data.photos import read_folders
from iqa.second_stage.files import read_text, write_json, write_text
from iqa.second_stage.samples import samples_of
from iqa.second_stage.weights import read_weights, write_weights
from iqa.uncertainty.fit import FitSettings
from iqa.uncertainty.opinions import read_opinions
from iqa.uncertainty.page import read_page, update_page
from iqa.uncertainty.samples import Samples, plan_of
from iqa.uncertainty.shares import share_out
from iqa.uncertainty.stage import OURS, fit_and_judge
from sdk.cli.exits import exits_cleanly
from sdk.errors import UsageError

LIMIT = re.compile(r'"abstain_above":\s*([\d.]+)')


@exits_cleanly
def uncertainty(
    weights: opt.Weights,
    work: Annotated[Path, typer.Option(help="Folder for the features; a stopped run goes on")],
    photos: opt.Photos,
    means: Annotated[Path, typer.Option(help="type,level,mean,std rows of human scores")],
    out: opt.Out,
    report: opt.Report = None,
    description: Annotated[
        Path | None, typer.Option(help="Description for the export, whose limit is renewed")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Page whose figures to renew")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Of each training photograph")] = 1,
    held_out_draws: Annotated[int, typer.Option(min=1, help="Of each validation photograph")] = 4,
    workers: opt.Workers = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of frames and fit")] = 0,
) -> int:
    """Fit the uncertainty of finished weights; scores and all else stay as they are."""
    check_work(work)
    check_outputs(out=out, report=report, description=description, page=page)
    if description:
        read_limit(description)  # refuse before minutes of frames
    if page:
        read_page(page)
    model, digest = read_weights(weights)
    opinions = read_opinions(means)
    plans = {
        name: plan_of(some, draws if name == "fit" else held_out_draws, seed, opinions)
        for name, some in share_out(read_folders(photos)).items()
    }
    made = samples_of(model, digest, plans, work, workers)
    samples = {name: Samples(**rows) for name, rows in made.items()}
    head, found = fit_and_judge(samples, FitSettings(seed=seed))
    found = {"weights": digest[:12], **found}
    write_weights(weights, "uncertainty", head, out)
    if report:
        write_json(report, found)
    if description:
        renew(description, found["abstain_above"])
    if page:
        update_page(page, found)
    print(summary(found))
    return 0


def renew(description: Path, limit: float) -> None:
    """Put the limit into the description that an export reads; the rest stays as it is laid out.

    Raises:
        UsageError: As :func:`read_limit` does.
        SinkError: The file cannot be written.
    """
    text, place = read_limit(description)
    write_text(description, text[: place.start(1)] + str(limit) + text[place.end(1) :])


def read_limit(description: Path) -> tuple[str, re.Match[str]]:
    """A description's text, and where its limit stands.

    Raises:
        UsageError: The file cannot be read, or has no such field.
    """
    text = read_text("Model description", description)
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
