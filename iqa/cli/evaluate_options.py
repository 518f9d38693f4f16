"""The options of `framescore evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

SETS: Final = (
    "live", "csiq", "tid2013", "kadid10k", "pipal", "clive", "koniq10k", "spaq", "bid", "flive",
    "csv",
)  # fmt: skip
"""The names of `iqa.datasets.registry`, without what it takes to load it."""

_DATA: Final = "Data sets"
_OUTPUT: Final = "Output"

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Bundle file, or name of a packaged model."),
]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME",
        help=f"{', '.join(SETS)}; may be repeated, each with a --root.",
        rich_help_panel=_DATA,
    ),
]
Roots = Annotated[
    list[Path],
    typer.Option(
        "--root", metavar="DIR", help="Where the set lies, as unpacked.", rich_help_panel=_DATA
    ),
]
Csv = Annotated[
    list[str] | None,
    typer.Option(
        "--csv",
        metavar="KEY=VALUE,…",
        help="Of a set csv: file, and its columns image, score, reference, split, std; "
        "worse=higher turns scores round; only=COLUMN:VALUE takes some rows.",
        show_default="file=labels.csv,image=image,score=mos",
        rich_help_panel=_DATA,
    ),
]
Part = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="PART",
        help="all, train, val or test: the set's own, or else of a random 80/20 split by "
        "reference picture.",
        rich_help_panel=_DATA,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        min=0,
        metavar="N",
        help="Split at random by this seed, even if the set has a split; also of intervals.",
        show_default="0",
        rich_help_panel=_DATA,
    ),
]
Repeats = Annotated[
    int,
    typer.Option(
        "--repeats",
        min=1,
        max=1000,
        metavar="K",
        help="Judge K random splits and give medians.",
        rich_help_panel=_DATA,
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Write every figure as JSON.", rich_help_panel=_OUTPUT
    ),
]
Scatter = Annotated[
    Path | None,
    typer.Option(
        "--scatter",
        metavar="FILE",
        help="Draw scores against opinions with the fitted curves, as PNG.",
        rich_help_panel=_OUTPUT,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="FILE",
        help="CSV of scores that are not computed again.",
        show_default="a file a model in the user's cache folder",
        rich_help_panel=_OUTPUT,
    ),
]
