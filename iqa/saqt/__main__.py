"""``python -m iqa.saqt match|check``: scores for pictures from the rated ones they resemble."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as Bar

from iqa.saqt.backbones import MOBILENET, PUBLISHED, RESNETS, load_backbone
from iqa.saqt.features import features_of
from iqa.saqt.held_out import held_out
from iqa.saqt.pictures import choose, find_pictures
from iqa.saqt.scores import read_scores
from iqa.saqt.tables import (
    LABEL_COLUMNS,
    MATCH_COLUMNS,
    label_rows,
    match_rows,
    read_sources,
    write_table,
)
from iqa.saqt.transfer import Matches, retrieve, transfer
from sdk.cli.exits import exits_cleanly


class Form(str, Enum):
    """Kinds of table."""

    csv = "csv"
    parquet = "parquet"


Backbone = Annotated[
    str, typer.Option(help=f"{', '.join(RESNETS)}, {MOBILENET}, or module:function of your own")
]
Weights = Annotated[Path | None, typer.Option(help="Weights of the backbone, yours")]

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
@exits_cleanly
def match(
    sources: Annotated[Path, typer.Option(help="Pictures to label: KADIS-700k or any folder")],
    references: Annotated[Path, typer.Option(help="Rated references: KADID-10k or any folder")],
    scores: Annotated[Path, typer.Option(help="KADID's dmos.csv, or reference,type,level,score")],
    out: Annotated[Path, typer.Option(help="Folder of features and tables")],
    backbone: Backbone = PUBLISHED,
    weights: Weights = None,
    only: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet list of sources to take, a published one for example"),
    ] = None,
    k: Annotated[
        int, typer.Option("--top", "-k", min=1, help="References a source learns from; 1 published")
    ] = 1,
    form: Annotated[Form, typer.Option("--format", help="Of the tables")] = Form.csv,
    labels: Annotated[bool, typer.Option(help="Write 125 labels a source too")] = False,
) -> int:
    """Find the rated references that undistorted pictures resemble, and write the tables."""
    rated = read_scores(scores)
    found = {"sources": find_pictures(sources), "references": find_pictures(references)}
    if only is not None:
        found["sources"] = choose(found["sources"], read_sources(only))
    called = tuple(rated.name_of(p.name) for p in found["references"])
    rated.of(called)  # refuse before hours of features
    extractor, identity = load_backbone(backbone, weights)
    features = {}
    with Bar(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        for side, pictures in found.items():
            task = bar.add_task(f"features of {side}", total=len(pictures))
            features[side] = features_of(
                pictures, extractor, identity, out / "features" / side,
                lambda _, done, total, task=task: bar.update(task, completed=done, total=total),
            )  # fmt: skip
    names = tuple(p.name for p in found["sources"])
    matches = retrieve(
        names, features["sources"], called, features["references"], min(k, len(called))
    )
    rows = ((p.name, p.path.relative_to(sources).as_posix()) for p in found["sources"])
    write_table(out / f"sources.{form.value}", ("source", "file"), rows)
    write_table(out / f"matches.{form.value}", MATCH_COLUMNS, match_rows(matches))
    if labels:
        cube = transfer(matches, rated)
        write_table(out / f"labels.{form.value}", LABEL_COLUMNS, label_rows(matches.sources, cube))
    print(summary(matches))
    return 0


@app.command()
@exits_cleanly
def check(
    references: Annotated[Path, typer.Option(help="Rated references: KADID-10k, or Kodak for TID")],
    scores: Annotated[Path, typer.Option(help="KADID's dmos.csv, or reference,type,level,score")],
    out: Annotated[Path, typer.Option(help="Folder of features")],
    backbone: Backbone = PUBLISHED,
    weights: Weights = None,
) -> int:
    """Predict each reference's scores from the others: does matching beat the plain mean?"""
    pictures = find_pictures(references)
    rated = read_scores(scores)
    rated = rated.of(tuple(rated.name_of(p.name) for p in pictures))
    features = features_of(pictures, *load_backbone(backbone, weights), out / "references")
    print("labels from              SROCC   RMSE   SROCC minus the mean's, 95 % interval")
    for row in held_out(rated, features):
        print(
            f"{row.name:22s}   {row.srocc:.3f}   {row.rmse:.3f}   "
            f"{row.gain:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
        )
    return 0


def summary(matches: Matches) -> str:
    """How alike sources and their best references are, and how many references are used."""
    best = sorted(float(v) for v in matches.similarity[:, 0])
    used = len(set(matches.rows[:, 0].tolist()))
    return (
        f"{len(best)} sources, {used} of {len(matches.references)} references used; cosine "
        f"min {best[0]:.3f}, median {best[len(best) // 2]:.3f}, max {best[-1]:.3f}"
    )


if __name__ == "__main__":
    app()
