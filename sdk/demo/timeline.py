"""Draws the scores of the demo clip over time, with the faults and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sdk.demo.degradations import Picture
from sdk.demo.outcome import SpanOutcome, time_of
from sdk.demo.photographs import REPORT_HINT
from sdk.demo.script import DURATION_S, HEIGHT, SHOTS, WIDTH
from sdk.errors import FramescoreError, SinkError
from sdk.results import FrameScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK: Final = "#2b3440"
_MUTED: Final = "#7a8694"
_LINE: Final = "#1f6f8b"
_SHADE: Final = "#e9edf1"
_INCHES: Final = (12.0, 6.0)
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.06, 0.985, 0.11, 0.64  # the plot, in shares of the figure


def load_figure_class() -> type[Figure]:
    """Return matplotlib's Figure.

    Raises:
        FramescoreError: matplotlib isn't installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FramescoreError(
            "The demo needs matplotlib to draw the timeline.", hint=REPORT_HINT
        ) from error
    return Figure


def draw_timeline(
    path: Path,
    scores: Sequence[FrameScore],
    outcomes: Sequence[SpanOutcome],
    thumbnails: Mapping[str, Picture],
) -> None:
    """Write the timeline as PNG.

    Args:
        path: The file to write.
        scores: Scores of the clip in order.
        outcomes: The spans, as `span_outcomes` gives them.
        thumbnails: A frame out of the middle of each span by the span's name, BGR uint8 [H, W, 3].

    Raises:
        FramescoreError: matplotlib isn't installed.
        SinkError: The file cannot be written.
    """
    figure = load_figure_class()(figsize=_INCHES, dpi=130, facecolor="white")
    axes = figure.add_axes((_LEFT, _BOTTOM, _RIGHT - _LEFT, _TOP - _BOTTOM))
    _draw_spans(axes, outcomes)
    _draw_scores(axes, scores)
    _style(axes)
    for outcome in outcomes:
        _add_thumbnail(figure, outcome, thumbnails[outcome.span.name])
    _add_title(figure, scores[0])
    try:
        figure.savefig(path)
    except OSError as error:
        raise SinkError(
            f"Cannot write {path}: {error.strerror}.",
            hint="Choose a writable folder on a disk with free space.",
        ) from error


def _draw_spans(axes: Axes, outcomes: Sequence[SpanOutcome]) -> None:
    for outcome in outcomes:
        axes.axvspan(outcome.span.start_s, outcome.span.end_s, color=_SHADE, linewidth=0)
    for shot in SHOTS[1:]:
        axes.axvline(shot.start_s, color=_MUTED, linewidth=0.8, linestyle=(0, (2, 3)))


def _draw_scores(axes: Axes, scores: Sequence[FrameScore]) -> None:
    times = np.array([time_of(score) for score in scores])
    values = np.array([score.score for score in scores])
    if all(score.sigma is not None for score in scores):
        sigma = np.array([score.sigma for score in scores], dtype=float)
        axes.fill_between(
            times, values - sigma, values + sigma, color=_LINE, alpha=0.15, linewidth=0
        )
    axes.plot(times, values, color=_LINE, linewidth=1.8)


def _style(axes: Axes) -> None:
    axes.set_xlim(0, DURATION_S)
    axes.set_ylim(0, 100)
    axes.set_xticks(np.arange(0, DURATION_S, 1))
    axes.set_xlabel("time in seconds", color=_INK)
    axes.set_ylabel("score, higher is better", color=_INK)
    axes.grid(axis="y", color=_SHADE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_MUTED)


def _add_thumbnail(figure: Figure, outcome: SpanOutcome, picture: Picture) -> None:
    """Put a frame above its span, with the fault's name and how far the score fell."""
    spans = sum(len(shot.spans) for shot in SHOTS)
    width = 0.94 * (_RIGHT - _LEFT) / spans
    height = width * (HEIGHT / WIDTH) * (_INCHES[0] / _INCHES[1])
    left = _LEFT + (_RIGHT - _LEFT) * outcome.span.middle_s / DURATION_S - width / 2
    bottom = _TOP + 0.035
    axes: Any = figure.add_axes((left, bottom, width, height))
    axes.imshow(picture[:, :, ::-1], interpolation="lanczos")
    axes.set_axis_off()
    above = bottom + height + 0.012
    fall = f"{outcome.clean:.0f} → {outcome.mean:.0f}"
    figure.text(left, above, outcome.span.name, color=_INK, fontsize=10)
    figure.text(left + width, above, fall, color=_LINE, fontsize=10, ha="right")


def _add_title(figure: Figure, score: FrameScore) -> None:
    figure.text(_LEFT, 0.945, "Quality score of a clip with known faults", color=_INK, fontsize=15)
    made_by = f"{score.model} · {score.backend} {score.precision}"
    figure.text(_RIGHT, 0.945, made_by, color=_MUTED, fontsize=9, ha="right")
