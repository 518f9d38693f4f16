"""What happens in the demo clip, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FPS: Final = 25
WIDTH: Final = 448  # fits into the smallest photograph without enlarging it
HEIGHT: Final = 252
RAMP_S: Final = 0.3  # a degradation grows and fades this long


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch in which the picture is degraded.

    Attributes:
        name: A key of `sdk.demo.degradations.DEGRADATIONS`.
        start_s: The picture is clean until then.
        end_s: The picture is clean from then on.
    """

    name: str
    start_s: float
    end_s: float

    @property
    def middle_s(self) -> float:
        """The moment half way."""
        return (self.start_s + self.end_s) / 2

    def strength(self, time_s: float) -> float:
        """Return how strong the degradation is, 0 to 1, ramping in and out."""
        ramp = min(time_s - self.start_s, self.end_s - time_s) / RAMP_S
        return min(max(ramp, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Shot:
    """One photograph under a moving camera.

    Attributes:
        photograph: File name in scikit-image's folder.
        start_s: When it appears.
        end_s: When it goes.
        route: Where the camera starts and ends: each (x, y, zoom), x and y from 0 (left, top) to
            1 (right, bottom), zoom from 0 (all the picture allows) to 1 (pixel for pixel).
        spans: The degradations, clean stretches between them.
    """

    photograph: str
    start_s: float
    end_s: float
    route: tuple[tuple[float, float, float], tuple[float, float, float]]
    spans: tuple[Span, ...]


SHOTS: Final = (
    Shot(
        "coffee.png",
        0.0,
        4.2,
        ((0.2, 0.3, 0.0), (0.7, 0.5, 1.0)),
        (Span("defocus", 0.5, 1.6), Span("JPEG blocks", 2.6, 3.7)),
    ),
    Shot(
        "astronaut.png",
        4.2,
        8.4,
        ((0.0, 0.0, 0.4), (0.9, 0.3, 0.8)),
        (Span("noise", 4.7, 5.8), Span("underexposure", 6.8, 7.9)),
    ),
    Shot(
        "chelsea.png",
        8.4,
        12.6,
        ((0.0, 0.0, 1.0), (1.0, 0.7, 1.0)),
        (Span("haze", 8.9, 10.0), Span("low resolution", 11.0, 12.1)),
    ),
)
DURATION_S: Final = SHOTS[-1].end_s
FRAMES: Final = round(DURATION_S * FPS)


def shot_at(time_s: float) -> Shot:
    """Return the shot that is on at a time; the last one after the end."""
    return next((shot for shot in SHOTS if time_s < shot.end_s), SHOTS[-1])


def strength_at(time_s: float) -> float:
    """Return how degraded the picture is at a time: 0 for clean, 1 at the height of a span."""
    return max((span.strength(time_s) for span in shot_at(time_s).spans), default=0.0)
