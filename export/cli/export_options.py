"""The options of `framescore export`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer

_MODEL: Final = "Which model"
_IMAGE: Final = "How the network reads pixels and what its number means"
_BUNDLE: Final = "What the bundle says"
_GRAPHS: Final = "What the bundle holds"


class Profile(str, Enum):
    """Operator sets to choose from."""

    compat = "compat"
    native_attention = "native-attention"


Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="glint-edge, glintiqa or qfm-iqm.", show_default=False),
]
Torch = Annotated[
    str | None,
    typer.Option(
        "--torch",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="A function that returns an nn.Module from pictures to a score; the current folder is "
        "searched too.",
        rich_help_panel=_MODEL,
    ),
]
Onnx = Annotated[
    Path | None,
    typer.Option(
        "--onnx",
        metavar="FILE",
        help="An ONNX file from pictures to a score.",
        rich_help_panel=_MODEL,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help=".safetensors, or a state dictionary that torch saved, also inside a checkpoint.",
        show_default="those the function gives it",
        rich_help_panel=_MODEL,
    ),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Bundle to write.", show_default="ID.framescore"
    ),
]
View = Annotated[
    str | None,
    typer.Option(
        "--view",
        metavar="SPEC",
        help="What it sees of a frame: resize:384x384, crops:5x5@224 or fragments:7x32.",
        rich_help_panel=_IMAGE,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        metavar="R,G,B",
        help="Subtracted from pixels from 0 to 1, or from 0 to 255 if a number is above 1.",
        show_default="0",
        rich_help_panel=_IMAGE,
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        "--std",
        metavar="R,G,B",
        help="What pixels are divided by then, in the same unit.",
        show_default="1",
        rich_help_panel=_IMAGE,
    ),
]
Bgr = Annotated[
    bool,
    typer.Option(
        "--bgr",
        help="Its first channel is blue; --mean and --std are then in this order too.",
        rich_help_panel=_IMAGE,
    ),
]
OutputRange = Annotated[
    str | None,
    typer.Option(
        "--output-range",
        metavar="WORST:BEST",
        help="Its number for the worst and for the best picture; 5:1 turns the direction round.",
        show_default="0:1",
        rich_help_panel=_IMAGE,
    ),
]
Score = Annotated[
    str | None,
    typer.Option(
        "--score",
        metavar="NAME|INDEX",
        help="Which output is the score, where there are several.",
        rich_help_panel=_IMAGE,
    ),
]
Id = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="ID",
        help="The model's name.",
        show_default="from the function or file",
        rich_help_panel=_BUNDLE,
    ),
]
ModelVersion = Annotated[
    str | None,
    typer.Option(
        "--model-version", metavar="V", help="The model's version.", show_default="1",
        rich_help_panel=_BUNDLE,
    ),
]  # fmt: skip
Licence = Annotated[
    str | None,
    typer.Option(
        "--licence",
        metavar="SPDX",
        help="Licence of the model.",
        show_default="unknown",
        rich_help_panel=_BUNDLE,
    ),
]
DescriptionFile = Annotated[
    Path | None,
    typer.Option(
        "--description",
        metavar="JSON",
        help="All of this in a file, and the sources of weights and data; options come before it.",
        rich_help_panel=_BUNDLE,
    ),
]
Card = Annotated[
    list[Path] | None,
    typer.Option(
        "--include",
        metavar="FILE",
        help="Pack a licence or model card with it; may be repeated.",
        rich_help_panel=_BUNDLE,
    ),
]
Sign = Annotated[
    Path | None,
    typer.Option(
        "--sign",
        metavar="KEY",
        help="An Ed25519 private key in PEM to sign it with.",
        rich_help_panel=_BUNDLE,
    ),
]
Precisions = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="P,P",
        help="Any of fp32, fp16, bf16 and int8; fp32 is always there.",
        rich_help_panel=_GRAPHS,
    ),
]
ProfileChoice = Annotated[
    Profile,
    typer.Option(
        "--profile",
        metavar="P",
        help="compat (opset 20, for every runtime) or native-attention (opset 23, for TensorRT "
        "10.14 and later).",
        rich_help_panel=_GRAPHS,
    ),
]
DynamicBatch = Annotated[
    bool,
    typer.Option(
        "--dynamic-batch",
        help="Leave the number of frames free; fixed shapes run faster.",
        rich_help_panel=_GRAPHS,
    ),
]
Frames = Annotated[
    Path | None,
    typer.Option(
        "--frames",
        metavar="DIR",
        help="Pictures like yours, to calibrate and judge other precisions on.",
        show_default="photographs that scikit-image brings",
        rich_help_panel=_GRAPHS,
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--count",
        min=16,
        metavar="N",
        help="How many frames to make of them; fewer for large views and slow models.",
        show_default="384",
        rich_help_panel=_GRAPHS,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="DIR",
        help="Write what INT8 trades for what there: drift against share, CSV and PNG.",
        rich_help_panel=_GRAPHS,
    ),
]
AcceptDrift = Annotated[
    bool,
    typer.Option(
        "--accept-drift",
        help="Write precisions outside their tolerance too; the certificate says so.",
        rich_help_panel=_GRAPHS,
    ),
]
