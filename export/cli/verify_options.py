"""The options of `framescore verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

_WHAT: Final = "What to verify"
_ORIGINAL: Final = "Which model"  # the panel of the options shared with export
_FRAMES: Final = "Frames"
_LIMITS: Final = "Limits, for every precision verified"
_OUTPUT: Final = "Output"

BundleFile = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="Bundle file, or name of a packaged model.")
]
Precisions = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="P",
        help="Only this one; may be repeated.",
        show_default="all",
        rich_help_panel=_WHAT,
    ),
]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="B",
        help="openvino, onnxruntime, or typed, which rounds as the graph's types say; may be "
        "repeated.",
        show_default="all that are installed",
        rich_help_panel=_WHAT,
    ),
]
Original = Annotated[
    str | None,
    typer.Option(
        "--original",
        metavar="NAME",
        help="Compare with this model (glint-edge, glintiqa, qfm-iqm) and its --weights; others "
        "with --torch or --onnx.",
        show_default="the bundle's FP32 graph",
        rich_help_panel=_ORIGINAL,
    ),
]
Frames = Annotated[
    Path | None,
    typer.Option(
        "--frames",
        metavar="DIR",
        help="Pictures to score, as they are and degraded.",
        show_default="photographs that scikit-image brings",
        rich_help_panel=_FRAMES,
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--count",
        min=1,
        metavar="N",
        help="Frames in all.",
        show_default="128, or all with labels",
        rich_help_panel=_FRAMES,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="CSV",
        help="Opinions on the pictures of --frames, which then stay as they are: columns picture "
        "and mos.",
        rich_help_panel=_FRAMES,
    ),
]
MaxDrift = Annotated[
    float | None,
    typer.Option(
        "--max-drift",
        min=0,
        metavar="X",
        help="Largest |Δ score|, in points of 100.",
        rich_help_panel=_LIMITS,
    ),
]
P99Drift = Annotated[
    float | None,
    typer.Option(
        "--p99-drift",
        min=0,
        metavar="X",
        help="99th percentile of |Δ score|.",
        rich_help_panel=_LIMITS,
    ),
]
MeanDrift = Annotated[
    float | None,
    typer.Option(
        "--mean-drift", min=0, metavar="X", help="Mean |Δ score|.", rich_help_panel=_LIMITS
    ),
]
SroccDrop = Annotated[
    float | None,
    typer.Option(
        "--srocc-drop",
        min=0,
        metavar="X",
        help="Fall of the rank correlation: with the labels, else with the original.",
        rich_help_panel=_LIMITS,
    ),
]
Bisect = Annotated[
    bool,
    typer.Option(
        "--bisect",
        help="Find the first layer of what drifts most, and say what is wrong with it.",
        rich_help_panel=_OUTPUT,
    ),
]
Time = Annotated[
    bool,
    typer.Option(
        "--time", help="Measure the latency of each precision too.", rich_help_panel=_OUTPUT
    ),
]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        "--public-key",
        metavar="PEM",
        help="Refuse the bundle unless the owner of this Ed25519 key signed it.",
        rich_help_panel=_LIMITS,
    ),
]
Worst = Annotated[
    Path | None,
    typer.Option(
        "--worst",
        metavar="DIR",
        help="Save the worst frames as pictures there.",
        rich_help_panel=_OUTPUT,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON instead of tables.", rich_help_panel=_OUTPUT)
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write the JSON there.", rich_help_panel=_OUTPUT
    ),
]
