"""`framescore verify`: whether a bundle scores as its original does."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from export.cli import export_options as export_opt
from export.cli import verify_options as opt
from sdk.cli.exits import EXIT_FAILURE, EXIT_OK, exits_cleanly, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export.drift import Tolerance
    from export.frame_set import FrameSet
    from export.original import Original
    from export.progress import Progress
    from export.verify import VerifyReport
    from export.verify.bisect import Bisection
    from export.verify.latency import Latency
    from sdk.bundle import Bundle

app = typer.Typer(add_completion=False)

COUNT: Final = 128
"""Frames to verify on by default: enough for a 99th percentile, a minute or two of work."""

SEED: Final = 1
"""Of the choice of frames: not those that a quantiser was calibrated on, whose seed is 0."""


@app.command()
@exits_cleanly
def verify(
    bundle: opt.BundleFile,
    precision: opt.Precisions = None,
    backend: opt.Backends = None,
    original: opt.Original = None,
    torch: export_opt.Torch = None,
    onnx: export_opt.Onnx = None,
    weights: export_opt.Weights = None,
    mean: export_opt.Mean = None,
    std: export_opt.Std = None,
    bgr: export_opt.Bgr = False,
    output_range: export_opt.OutputRange = None,
    score: export_opt.Score = None,
    frames: opt.Frames = None,
    count: opt.Count = None,
    labels: opt.Labels = None,
    max_drift: opt.MaxDrift = None,
    p99_drift: opt.P99Drift = None,
    mean_drift: opt.MeanDrift = None,
    srocc_drop: opt.SroccDrop = None,
    bisect: opt.Bisect = False,
    time: opt.Time = False,
    public_key: opt.PublicKey = None,
    worst: opt.Worst = None,
    json: opt.Json = False,
    output: opt.OutputFile = None,
) -> int:
    """Compare the scores of every precision on every backend with those of the original.

    Differences are in points of 100. The original is the bundle's own FP32 graph, or the model
    that --original, --torch or --onnx names, said as for its export.

    Exit status: 0 all within their limits, 1 not, or something failed, 2 usage.
    """
    from export.cli.progress import show_stages
    from export.verify import bisect_worst, verify_bundle
    from export.verify.worst_frames import save_worst_frames
    from sdk.bundle import Bundle

    loaded = Bundle.load(bundle)
    if public_key is not None:
        loaded.check_signature(_read_key(public_key))
    limits = _limits(
        max_abs=max_drift, p99_abs=p99_drift, mean_abs=mean_drift, srocc_drop=srocc_drop
    )
    opinions = None if labels is None else _read_labels(labels, frames)
    image = {"mean": mean, "std": std, "bgr": bgr, "output_range": output_range, "output": score}
    origin = _original(loaded, original, torch, onnx, weights, image)
    with show_stages() as progress:
        chosen = _collect(loaded, frames, count, opinions, progress)
        report = verify_bundle(
            loaded,
            backends=backend,
            precisions=precision,
            frames=chosen,
            labels=None if opinions is None else _match(opinions, chosen),
            original=origin,
            tolerances=limits,
            progress=progress,
        )
        found = (
            bisect_worst(loaded, report, chosen, original=origin, progress=progress)
            if bisect
            else None
        )
        timed = _time(loaded, report, progress) if time else []
        saved = [] if worst is None else save_worst_frames(report, chosen, worst)
    if len(loaded.graphs()) == 1:
        say("the bundle has no graph but FP32; only the backends were verified.")
    if bisect and found is None:
        say("nothing to bisect: only the reference itself was run.")
    if saved:
        say(f"{len(saved)} pictures of the worst frames are in {worst}.")
    _print(report, found, timed, json=json, output=output)
    return EXIT_OK if report.passed else EXIT_FAILURE


def _read_key(path: Path) -> bytes:
    from sdk.errors import UsageError

    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"The public key {path} cannot be read: {error.strerror or error}."
        ) from error


def _limits(**given: float | None) -> Mapping[str, Tolerance]:
    """The default tolerances, with what the user set instead."""
    from export.drift import TOLERANCES

    changed = {name: value for name, value in given.items() if value is not None}
    return {name: dataclasses.replace(t, **changed) for name, t in TOLERANCES.items()}


def _original(
    bundle: Bundle,
    name: str | None,
    torch: str | None,
    onnx: Path | None,
    weights: Path | None,
    image: dict[str, Any],
) -> Original | None:
    """The model to compare with, if one was named."""
    from export.wish import Wish, parse_range, parse_triple
    from sdk.errors import UsageError

    said = {key: value for key, value in image.items() if value not in (None, False)}
    if name is None and torch is None and onnx is None:
        if said or weights is not None:
            raise UsageError(
                "Weights and conventions are of a model to compare with, and none is named.",
                hint="Name it with --original, --torch or --onnx.",
            )
        return None
    for key in {"mean", "std"} & said.keys():
        said[key] = parse_triple(said[key], f"--{key}")
    if "output_range" in said:
        said["output_range"] = parse_range(said["output_range"])
    from export.verify.origin import find_original

    return find_original(bundle, Wish(name, torch, onnx, weights, image=said))


def _read_labels(path: Path, frames: Path | None) -> Mapping[str, float]:
    from export.verify.labels import read_labels
    from sdk.errors import UsageError

    if frames is None:
        raise UsageError(
            "--labels needs --frames, the folder of the pictures that they are opinions on."
        )
    return read_labels(path)


def _collect(
    bundle: Bundle,
    source: Path | None,
    count: int | None,
    labels: Mapping[str, float] | None,
    progress: Progress,
) -> FrameSet:
    from export.frame_set import collect_frames

    return collect_frames(
        source,
        bundle.views,
        count or (COUNT if labels is None else max(1, len(labels))),
        degrade=labels is None,
        seed=SEED,
        progress=progress,
    )


def _match(labels: Mapping[str, float], frames: FrameSet) -> Mapping[str, float]:
    from export.verify.labels import match_labels

    found, remarks = match_labels(labels, frames.names)
    for remark in remarks:
        say(f"warning: {remark}")
    return found


def _time(bundle: Bundle, report: VerifyReport, progress: Progress) -> list[Latency]:
    from export.verify.latency import measure_latency

    candidates = [outcome.candidate for outcome in report.outcomes if outcome.drift is not None]
    inputs = next(bundle.golden.frames())
    return measure_latency(bundle, candidates, inputs, progress=progress)


def _print(
    report: VerifyReport,
    found: Bisection | None,
    timed: list[Latency],
    *,
    json: bool,
    output: Path | None,
) -> None:
    from export.verify.pages import bisection_page, latency_page, report_page
    from sdk.sinks.output import Output
    from sdk.sinks.table import render

    text = _as_json(report, found, timed)
    if output is not None:
        with closing(Output(output)) as file:
            file.write(text)
    page = [
        *report_page(report),
        *([] if found is None else bisection_page(found)),
        *(latency_page(timed) if timed else []),
        "passed" if report.passed else "failed",
    ]
    screen = Output()
    screen.write(text if json else render(page, screen.stream))


def _as_json(report: VerifyReport, found: Bisection | None, timed: list[Latency]) -> str:
    from json import dumps

    from export.verify.report import as_plain

    document: dict[str, Any] = report.to_dict()
    if found is not None:
        document["bisection"] = as_plain(found)
    if timed:
        document["latency"] = [as_plain(latency) for latency in timed]
    return dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
