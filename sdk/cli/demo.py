"""`framescore demo`: make a clip with known faults, score it, show that the score sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdk.cli import options as opt
from sdk.cli.exits import EXIT_OK, exits_cleanly, say
from sdk.cli.progress import show_progress, stderr_is_watched

if TYPE_CHECKING:
    from sdk.demo.degradations import Picture
    from sdk.demo.outcome import SpanOutcome
    from sdk.results import FrameScore


@exits_cleanly
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files.")
    ] = Path("framescore-demo"),
    model: opt.Model = None,
) -> int:
    """Score a clip whose faults are known, and draw its score over time.

    Writes demo.avi, scores.jsonl and timeline.png. Needs the extra `report`.
    """
    from sdk.demo.clip import write_clip
    from sdk.demo.outcome import span_outcomes
    from sdk.demo.script import FRAMES
    from sdk.demo.timeline import draw_timeline, load_figure_class

    load_figure_class()  # what is missing is said now, not after the work
    _make_folder(output)
    clip, log, picture = (output / name for name in ("demo.avi", "scores.jsonl", "timeline.png"))
    if stderr_is_watched():
        say(f"making {clip} ({FRAMES} frames)")
    write_clip(clip)
    scores = _score_clip(clip, log, model)
    outcomes = span_outcomes(scores)
    draw_timeline(picture, scores, outcomes, _middle_frames(clip, outcomes))
    _print_outcomes(outcomes, scores[0], (clip, log, picture))
    return EXIT_OK


def _make_folder(folder: Path) -> None:
    from sdk.errors import SinkError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(
            f"Cannot make the folder {folder}: {error.strerror}.",
            hint="Choose another one with -o DIR.",
        ) from error


def _score_clip(clip: Path, log: Path, model: str | None) -> list[FrameScore]:
    from sdk.io import open_source
    from sdk.results import VideoScore
    from sdk.scorer import Scorer
    from sdk.sinks.jsonl import JsonlSink

    scores = []
    with Scorer(model) as scorer, open_source(clip) as source, JsonlSink(log) as sink:
        visible = stderr_is_watched()
        with show_progress(clip.name, source.length, visible=visible) as advance:
            for score in scorer.stream(source):
                sink.append(score)
                scores.append(score)
                advance(score.score)
        sink.finish([VideoScore.pool(scores)])
    return scores


def _middle_frames(clip: Path, outcomes: Sequence[SpanOutcome]) -> dict[str, Picture]:
    """Frames of the clip as it was decoded, one from the middle of each span."""
    from sdk.demo.script import FPS
    from sdk.io import open_source

    names = {round(outcome.span.middle_s * FPS): outcome.span.name for outcome in outcomes}
    with open_source(clip) as source:
        chosen = source.select(lambda index, _pts_s: index in names)
        return {names[frame.index]: frame.data.copy() for frame in chosen}


def _print_outcomes(
    outcomes: Sequence[SpanOutcome], score: FrameScore, files: Sequence[Path]
) -> None:
    from sdk.sinks.output import Output
    from sdk.sinks.table import format_time, make_table, render

    table = make_table(
        "time", "fault", "clean", "degraded", "drop", right=("clean", "degraded", "drop")
    )
    for outcome in outcomes:
        span = outcome.span
        table.add_row(
            f"{format_time(span.start_s)}–{format_time(span.end_s)}",
            span.name,
            f"{outcome.clean:.1f}",
            f"{outcome.mean:.1f}",
            f"{outcome.drop:.1f}",
        )
    text = [
        f"score 0–100, higher is better · {score.model} · {score.backend} {score.precision}",
        "wrote " + "\n      ".join(str(file) for file in files),
    ]
    output = Output()
    output.write(render([table, *text], output.stream))
