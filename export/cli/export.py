"""`framescore export`: from a trained model to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from export.cli import export_options as opt
from sdk.cli.exits import EXIT_OK, exits_cleanly, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from export.frame_set import FrameSet
    from export.original import Original
    from export.progress import Progress
    from export.wish import Wish

app = typer.Typer(add_completion=False)

COUNT: Final = 384
"""Frames to calibrate and judge on by default: 256 and more are left for calibration."""

FEW_CONTENTS: Final = (
    "INT8 was calibrated and judged on three photographs, and may drift further on others; give "
    "pictures like yours with --frames."
)

GOLDEN_BYTES: Final = 48 * 2**20
"""The golden frames of a bundle take no more than this; large views keep fewer of them."""


@app.command()
@exits_cleanly
def export(
    name: opt.Name = None,
    torch: opt.Torch = None,
    onnx: opt.Onnx = None,
    weights: opt.Weights = None,
    output: opt.OutputFile = None,
    view: opt.View = None,
    mean: opt.Mean = None,
    std: opt.Std = None,
    bgr: opt.Bgr = False,
    output_range: opt.OutputRange = None,
    score: opt.Score = None,
    id: opt.Id = None,
    model_version: opt.ModelVersion = None,
    licence: opt.Licence = None,
    description: opt.DescriptionFile = None,
    include: opt.Card = None,
    sign: opt.Sign = None,
    precision: opt.Precisions = "fp32",
    profile: opt.ProfileChoice = opt.Profile.compat,
    dynamic_batch: opt.DynamicBatch = False,
    frames: opt.Frames = None,
    count: opt.Count = None,
    report: opt.Report = None,
    accept_drift: opt.AcceptDrift = False,
) -> int:
    """Turn a trained quality model into one file that every framescore runs.

    Give a NAME, --torch or --onnx. Normalisation, layout and the scale of the score are written
    into the graph, its scores are compared with the model's, and the bundle's path is printed.
    """
    from export.wish import Wish, parse_range, parse_triple

    image: dict[str, Any] = {"bgr": True} if bgr else {}
    if mean is not None:
        image["mean"] = parse_triple(mean, "--mean")
    if std is not None:
        image["std"] = parse_triple(std, "--std")
    if output_range is not None:
        image["output_range"] = parse_range(output_range)
    if score is not None:
        image["output"] = score
    fields = {"id": id, "version": model_version, "licence": licence}
    wish = Wish(
        name=name,
        torch=torch,
        onnx=onnx,
        weights=weights,
        view=view,
        image=image,
        description=description,
        fields={key: value for key, value in fields.items() if value is not None},
    )
    recipe = {
        "precisions": tuple(part.strip() for part in precision.split(",") if part.strip()),
        "profile": profile.value,
        "dynamic_batch": dynamic_batch,
        "accept_drift": accept_drift,
    }
    extras = {
        "members": {path.name: _read(path) for path in include or ()},
        "private_key": None if sign is None else _read(sign),
    }
    typer.echo(_export(wish, recipe, output, extras, frames, count, report))
    return EXIT_OK


def _export(
    wish: Wish,
    recipe: Mapping[str, Any],
    output: Path | None,
    extras: Mapping[str, Any],
    frames: Path | None,
    count: int | None,
    report: Path | None,
) -> Path:
    from export.build import Recipe, build_bundle
    from export.cli.export_summary import (
        doubt_scores,
        prepare_report,
        print_summary,
        say_gain,
        write_report,
    )
    from export.cli.progress import show_stages
    from export.variants import check_precisions
    from export.wish import grant
    from sdk.bundle import SUFFIX
    from sdk.errors import UsageError

    chosen = Recipe(**recipe)
    others = check_precisions(chosen.precisions)
    if frames is not None and not others:
        raise UsageError(
            "--frames are what other precisions are calibrated and judged on; fp32 needs none.",
            hint="Say which, for example --precision fp16,int8",
        )
    if report is not None:
        if "int8" not in others:
            raise UsageError(
                "--report shows what INT8 trades for what, and no INT8 is asked for.",
                hint="Add it, for example --precision fp16,int8",
            )
        prepare_report(report)
    with show_stages() as progress:
        progress("load the model", 0, 0)
        granted = grant(wish)
        path = output or Path(f"{granted.description.id}{SUFFIX}")
        judged = _frames(granted.original, frames, count, progress) if others else None
        bundle = build_bundle(
            granted.original,
            _golden_frames(granted.original),
            path,
            granted.description,
            recipe=chosen,
            frames=judged,
            on_judged=None if report is None else partial(write_report, report),
            progress=progress,
            **extras,
        )
        gains = say_gain(bundle, progress)
    print_summary(bundle)
    few = (FEW_CONTENTS,) if "int8" in others and frames is None else ()
    for note in (*granted.notes, *few, *gains):
        say(f"note: {note}")
    doubt_scores(bundle)
    return path


def _frames(
    original: Original, folder: Path | None, count: int | None, progress: Progress
) -> FrameSet:
    from export.frame_set import collect_frames

    return collect_frames(folder, original.views, count or COUNT, progress=progress)


def _golden_frames(original: Original) -> Sequence[NDArray[Any]]:
    """Degraded photographs, evenly thinned where the views of one frame are large."""
    from math import prod

    from export.golden_frames import degraded_photographs

    pictures = list(degraded_photographs())
    size = sum(prod(view.shape) for view in original.views.values())
    step = max(1, -(-len(pictures) * size // GOLDEN_BYTES))
    return pictures[::step]


def _read(path: Path) -> bytes:
    from sdk.errors import UsageError

    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
