"""`framescore verify`: the options; the work is in `export.verify`."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sdk.cli.exits import EXIT_FAILURE, EXIT_OK, exits_cleanly, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export.drift import Tolerance
    from export.frame_set import FrameSet
    from export.progress import Progress
    from export.verify import VerifyReport
    from sdk.bundle import Bundle

app = typer.Typer(add_completion=False)

FRAMES: Final = 128
"""Frames to verify on by default: enough for a 99th percentile, a minute or two of work."""

SEED: Final = 1
"""Of the choice of frames: not those that a quantiser was calibrated on, whose seed is 0."""

_FRAMES = "Frames"
_LIMITS = "Limits, for every precision verified"
_OUTPUT = "Output"


@app.command()
@exits_cleanly
def verify(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="Bundle file, or name of a packaged model.")
    ],
    precision: Annotated[
        list[str] | None,
        typer.Option(metavar="P", help="Verify this one; may be repeated.", show_default="all"),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="B",
            help="openvino, onnxruntime, or typed, which rounds as the graph's types say; may be "
            "repeated.",
            show_default="all that are installed",
        ),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Pictures to score, as they are and degraded.",
            show_default="photographs that scikit-image brings",
            rich_help_panel=_FRAMES,
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Frames in all.", rich_help_panel=_FRAMES),
    ] = FRAMES,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Opinions on the pictures of --frames, which are then left undegraded: columns "
            "picture and mos.",
            rich_help_panel=_FRAMES,
        ),
    ] = None,
    max_drift: Annotated[
        float | None,
        typer.Option(min=0, metavar="X", help="Largest |Δ score|.", rich_help_panel=_LIMITS),
    ] = None,
    p99_drift: Annotated[
        float | None,
        typer.Option(min=0, metavar="X", help="99th percentile.", rich_help_panel=_LIMITS),
    ] = None,
    mean_drift: Annotated[
        float | None,
        typer.Option(min=0, metavar="X", help="Mean.", rich_help_panel=_LIMITS),
    ] = None,
    srocc_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="X",
            help="Fall of the rank correlation: with the labels, else with the reference.",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    worst: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Save the worst frames as pictures there.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the JSON there.", rich_help_panel=_OUTPUT
        ),
    ] = None,
) -> int:
    """Compare the scores of every precision on every backend with those of the original.

    Differences are in points of 100. Without options of --torch the original is the bundle's own
    FP32 graph.

    Exit status: 0 all within their limits, 1 not, or something failed, 2 usage.
    """
    from export.cli.progress import show_stages
    from export.verify import verify_bundle
    from export.verify.worst_frames import save_worst_frames
    from sdk.bundle import Bundle

    loaded = Bundle.load(bundle)
    limits = _limits(
        max_abs=max_drift, p99_abs=p99_drift, mean_abs=mean_drift, srocc_drop=srocc_drop
    )
    with show_stages() as progress:
        chosen = _collect(loaded, frames, count, degrade=labels is None, progress=progress)
        report = verify_bundle(
            loaded,
            backends=backend,
            precisions=precision,
            frames=chosen,
            labels=None if labels is None else _match(labels, chosen),
            tolerances=limits,
            progress=progress,
        )
        saved = [] if worst is None else save_worst_frames(report, chosen, worst)
    if len(loaded.graphs()) == 1:
        say("the bundle has no graph but FP32; only the backends were verified.")
    if saved:
        say(f"{len(saved)} pictures of the worst frames are in {worst}.")
    _print(report, json=json, output=output)
    return EXIT_OK if report.passed else EXIT_FAILURE


def _limits(**given: float | None) -> Mapping[str, Tolerance]:
    """The default tolerances, with what the user set instead."""
    from export.drift import TOLERANCES

    changed = {name: value for name, value in given.items() if value is not None}
    return {name: dataclasses.replace(t, **changed) for name, t in TOLERANCES.items()}


def _collect(
    bundle: Bundle, source: Path | None, count: int, *, degrade: bool, progress: Progress
) -> FrameSet:
    from export.frame_set import collect_frames
    from sdk.errors import UsageError

    if source is None and not degrade:
        raise UsageError(
            "--labels needs --frames, the folder of the pictures that they are opinions on."
        )
    return collect_frames(
        source, bundle.views, count, degrade=degrade, seed=SEED, progress=progress
    )


def _match(labels: Path, frames: FrameSet) -> dict[str, float]:
    from export.verify.labels import match_labels, read_labels

    found, remarks = match_labels(read_labels(labels), frames.names)
    for remark in remarks:
        say(f"warning: {remark}")
    return found


def _print(report: VerifyReport, *, json: bool, output: Path | None) -> None:
    from json import dumps

    from export.verify.table import as_page
    from sdk.sinks.output import Output
    from sdk.sinks.table import render

    text = dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if output is not None:
        with closing(Output(output)) as file:
            file.write(text)
    screen = Output()
    screen.write(text if json else render(as_page(report), screen.stream))
