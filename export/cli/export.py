"""`framescore export`: from a trained model to a bundle."""

from __future__ import annotations

import sys
from collections.abc import Mapping
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
    from export.summary import Summary
    from export.wish import Wish
    from sdk.bundle import Bundle

app = typer.Typer(add_completion=False)

MIN_SPREAD: Final = 0.5
"""Points; a model that tells a clean picture from a ruined one spreads its scores more widely."""

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
    typer.echo(_export(wish, recipe, output, extras, frames))
    return EXIT_OK


def _export(
    wish: Wish,
    recipe: Mapping[str, Any],
    output: Path | None,
    extras: Mapping[str, Any],
    frames: Path | None,
) -> Path:
    from export.build import Recipe, build_bundle
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
    with show_stages() as progress:
        progress("load the model", 0, 0)
        granted = grant(wish)
        path = output or Path(f"{granted.description.id}{SUFFIX}")
        judged = _frames(granted.original, frames, progress) if others else None
        bundle = build_bundle(
            granted.original,
            _golden_frames(granted.original),
            path,
            granted.description,
            recipe=chosen,
            frames=judged,
            progress=progress,
            **extras,
        )
    _print_summary(bundle)
    for note in granted.notes:
        say(f"note: {note}")
    _doubt_scores(bundle)
    return path


def _frames(original: Original, folder: Path | None, progress: Progress) -> FrameSet:
    from export.frame_set import collect_frames

    return collect_frames(folder, original.views, progress=progress)


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


def _print_summary(bundle: Bundle) -> None:
    """Print what the bundle holds on standard error."""
    from rich.table import Table

    from sdk.sinks.table import render

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _facts(bundle).items():
        table.add_row(fact, value)
    if sys.stderr is not None:
        sys.stderr.write(render([table], sys.stderr))


def _doubt_scores(bundle: Bundle) -> None:
    """Say so where the golden scores look as if weights or output range were wrong."""
    scores = bundle.golden.score
    ends = int(((scores <= 0) | (scores >= 100)).sum())
    if 2 * ends > len(scores):
        say(
            f"warning: {ends} of {len(scores)} golden frames score 0 or 100.",
            "Does --output-range say the network's number for the worst and the best picture?",
        )
    elif scores.max() - scores.min() < MIN_SPREAD:
        say(
            f"warning: all golden frames, clean and ruined ones, score {scores.mean():.4g}.",
            "Are the weights trained ones, and the mean and deviation those of the training?",
        )


def _facts(bundle: Bundle) -> dict[str, str]:
    import onnx

    from export.half_weights import restore_half
    from export.summary import summarise

    manifest = bundle.manifest
    summary = summarise(restore_half(onnx.load_model_from_string(bundle.onnx)))
    drift = manifest.certificate["golden"]["max_abs_difference_to_original"]["score"]
    return {
        "model": f"{bundle.model_id}, version {manifest.version}, licence {manifest.licence}",
        "input": ", ".join(view.spec for view in manifest.views),
        "output": ", ".join(manifest.outputs),
        "parameters": _short(summary.parameters, ""),
        "work": f"{_short(summary.macs, 'MAC')} a frame",
        "nodes": _nodes(summary),
        "graphs": ", ".join(
            f"{graph.precision} {graph.profile} (opset {graph.opset}, "
            f"{_short(len(bundle.members[graph.file]), 'B')})"
            for graph in bundle.graphs()
        ),
        "max |Δ| to original": f"{drift:.2g} points over {len(bundle.golden.score)} frames",
    }


def _short(number: int, unit: str) -> str:
    """Three digits with a prefix: 5.49 M, 1.72 GMAC."""
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}{unit}"
    return f"{number} {unit}".rstrip()


def _nodes(summary: Summary) -> str:
    """The number of nodes, and of the operators that are most or matter most."""
    ordered = sorted(summary.operators.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{count} {name}" for name, count in ordered)
    return f"{sum(summary.operators.values())}: {shown}"
