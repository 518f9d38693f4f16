"""The options of `framescore train`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer

_DATA: Final = "Data"
_MACHINE: Final = "Machine"


class Device(str, Enum):
    """Where the network is trained."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Recipe = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="A recipe file, or the name of one that comes with iqa."),
]
Work = Annotated[
    Path | None,
    typer.Option(
        "--work",
        metavar="DIR",
        help="Holds checkpoint, best weights and log; a stopped run goes on from there.",
        show_default="runs/RECIPE",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help="Where the trained weights go, safetensors.",
        show_default="weights.safetensors in the work folder",
    ),
]
Start = Annotated[
    list[str] | None,
    typer.Option(
        "--start",
        metavar="PART=FILE",
        help="Weights that the recipe starts from: mobilenet, vit, resnet, or weights of the "
        "whole model; may be repeated.",
    ),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Begin anew instead of going on from the checkpoint.")
]
Until = Annotated[
    int | None,
    typer.Option("--until", min=1, metavar="STEP", help="Stop after this step, to go on later."),
]
TensorBoard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Write the log for TensorBoard too, which must be there."),
]
Root = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Of a rated set.", rich_help_panel=_DATA),
]
Photos = Annotated[
    list[Path] | None,
    typer.Option(
        "--photos",
        metavar="DIR",
        help="Clean photographs to distort; may be repeated.",
        rich_help_panel=_DATA,
    ),
]
Means = Annotated[
    Path | None,
    typer.Option(
        "--means",
        metavar="FILE",
        help="Human means of distortions, CSV of type,level,mean.",
        rich_help_panel=_DATA,
    ),
]
Matches = Annotated[
    Path | None,
    typer.Option(
        "--matches",
        metavar="FILE",
        help="Matches of photographs with rated references (python -m iqa.saqt match).",
        rich_help_panel=_DATA,
    ),
]
Scores = Annotated[
    Path | None,
    typer.Option(
        "--scores",
        metavar="FILE",
        help="Scores of these references: KADID's dmos.csv, or reference,type,level,score.",
        rich_help_panel=_DATA,
    ),
]
Unlabelled = Annotated[
    list[Path] | None,
    typer.Option(
        "--unlabelled",
        metavar="PATH",
        help="Pictures that teachers judge: a folder, or a CSV with the column file; may be "
        "repeated.",
        rich_help_panel=_DATA,
    ),
]
Teacher = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        metavar="NAME=FILE",
        help="Weights of a teacher of the recipe's \\[distillation]; may be repeated.",
        rich_help_panel=_DATA,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        max=256,
        metavar="N",
        help="Processes that make frames, beside each that trains.",
        show_default="its share of the cores; none for cached frames",
        rich_help_panel=_MACHINE,
    ),
]
DeviceChoice = Annotated[
    Device,
    typer.Option("--device", help="Where to train.", rich_help_panel=_MACHINE),
]
