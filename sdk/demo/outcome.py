"""What the scores of the demo clip say: each degraded span against the clean frames beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sdk.demo.script import FPS, SHOTS, Shot, Span, shot_at, strength_at
from sdk.pooling import pool
from sdk.results import FrameScore


@dataclass(frozen=True, slots=True)
class SpanOutcome:
    """One span, scored.

    Attributes:
        span: The span.
        mean: Mean score where the degradation is at its height.
        clean: Mean score of the clean frames of the same shot.
    """

    span: Span
    mean: float
    clean: float

    @property
    def drop(self) -> float:
        """How far the score falls, in points."""
        return self.clean - self.mean


def span_outcomes(scores: Sequence[FrameScore]) -> list[SpanOutcome]:
    """Compare every span of the script with its shot.

    Args:
        scores: Scores of the clip, any sample of its frames that hits each span and shot.

    Raises:
        UsageError: The sample leaves a span or a shot without a score.
    """
    return [_outcome(scores, shot, span) for shot in SHOTS for span in shot.spans]


def time_of(score: FrameScore) -> float:
    """Return when a frame of the clip is shown, from its index: containers round time stamps."""
    return score.frame_index / FPS


def _outcome(scores: Sequence[FrameScore], shot: Shot, span: Span) -> SpanOutcome:
    def is_degraded(time_s: float) -> bool:
        return span.strength(time_s) == 1

    def is_clean(time_s: float) -> bool:
        return shot_at(time_s) is shot and strength_at(time_s) == 0

    return SpanOutcome(span, mean=_mean(scores, is_degraded), clean=_mean(scores, is_clean))


def _mean(scores: Sequence[FrameScore], chosen: Callable[[float], bool]) -> float:
    return pool([score.score for score in scores if chosen(time_of(score))])
