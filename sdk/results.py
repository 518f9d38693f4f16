"""What a scored frame and a scored clip look like: plain, frozen, JSON-ready."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sdk.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION: Final = 1
"""Version of the dictionaries below; it grows when a key changes its meaning or goes away."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Where the time of one frame went, in milliseconds.

    Attributes:
        queue: From the end of decoding until the scorer took the frame.
        pre: Views gathered from the frame.
        infer: The network.
        post: Outputs turned into a result.
    """

    queue: float
    pre: float
    infer: float
    post: float

    @property
    def total(self) -> float:
        """Age of the frame when its score was ready, in milliseconds."""
        return self.queue + self.pre + self.infer + self.post

    def to_dict(self) -> dict[str, float | None]:
        """Return the parts and their total in ms, rounded to the microsecond."""
        parts = {
            "queue": self.queue,
            "pre": self.pre,
            "infer": self.infer,
            "post": self.post,
            "total": self.total,
        }
        return {name: _rounded(value) for name, value in parts.items()}


@dataclass(frozen=True, slots=True)
class FrameScore:
    """The quality of one frame.

    Attributes:
        score: Quality, 0 (worst) to 100 (best).
        mos: The same as a mean opinion score, 1 (bad) to 5 (excellent).
        sigma: Standard deviation of the score in points; None where the model has no such output.
        distortions: Probability of each distortion group by its label; empty without such output.
        frame_index: 0-based position in the source; skipped frames count.
        pts_s: Presentation time in seconds; None for images and untimed streams.
        latency: Where the time went.
        model: Identity of the model, `id@digest`.
        backend: Runtime that computed the score.
        precision: Arithmetic it used: fp32, bf16 or fp16.
        source: Name of the source; empty for arrays.
        dropped: Frames that a live source has thrown away so far.
        uncertainty: Standard deviation in points by what it comes from, first "task"; sigma is the
            root of the sum of their squares. Empty where the model has no such output.
        abstain: The model says that this score should not be trusted: its sigma is above the
            threshold of its bundle. Always False where the model has no sigma or no threshold.
        scenes: Probability of each scene that the frame may show by its label; several may hold at
            once. Empty where the model has no such output.
        features: float32 [D], the network's pooled feature before its heads; None unless the
            scorer was asked for it. It stands in no output.
    """

    score: float
    mos: float
    sigma: float | None
    distortions: Mapping[str, float]
    frame_index: int
    pts_s: float | None
    latency: Latency
    model: str
    backend: str
    precision: str
    source: str = ""
    dropped: int = 0
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    abstain: bool = False
    scenes: Mapping[str, float] = field(default_factory=dict)
    features: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that `json.dumps` takes: no NaN, no numpy numbers.

        Scores keep every digit; latencies are rounded to the microsecond.
        """
        return {
            "schema": SCHEMA_VERSION,
            "source": self.source,
            "frame_index": int(self.frame_index),
            "pts_s": json_number(self.pts_s),
            "score": json_number(self.score),
            "mos": json_number(self.mos),
            "sigma": json_number(self.sigma),
            "uncertainty": _json_numbers(self.uncertainty),
            "abstain": bool(self.abstain),
            "distortions": _json_numbers(self.distortions),
            "scenes": _json_numbers(self.scenes),
            "latency_ms": self.latency.to_dict(),
            "dropped": int(self.dropped),
            "model": self.model,
            "backend": self.backend,
            "precision": self.precision,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FrameScore:
        """Rebuild a frame score from `to_dict`; null becomes NaN where a number is needed.

        Lines of framescore 0.1, which knew no `uncertainty`, `abstain` or `scenes`, are read as
        well.

        Raises:
            KeyError: A field is missing.
        """
        latency = {k: _number(v) for k, v in fields["latency_ms"].items() if k != "total"}
        return cls(
            score=_number(fields["score"]),
            mos=_number(fields["mos"]),
            sigma=fields["sigma"],
            distortions=_numbers(fields["distortions"]),
            frame_index=fields["frame_index"],
            pts_s=fields["pts_s"],
            latency=Latency(**latency),
            model=fields["model"],
            backend=fields["backend"],
            precision=fields["precision"],
            source=fields["source"],
            dropped=fields["dropped"],
            uncertainty=_numbers(fields.get("uncertainty", {})),
            abstain=fields.get("abstain", False),
            scenes=_numbers(fields.get("scenes", {})),
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a clip, both ends inclusive.

    Attributes:
        start_index: Index of its first scored frame.
        end_index: Index of its last scored frame.
        start_s: Presentation time of the first frame in seconds, None where unknown.
        end_s: Presentation time of the last frame in seconds, None where unknown.
        mean: Mean score of its frames.
    """

    start_index: int
    end_index: int
    start_s: float | None
    end_s: float | None
    mean: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "start_index": int(self.start_index),
            "end_index": int(self.end_index),
            "start_s": json_number(self.start_s),
            "end_s": json_number(self.end_s),
            "mean": json_number(self.mean),
        }


@dataclass(frozen=True, slots=True)
class VideoScore:
    """The quality of a whole source.

    Attributes:
        source: Name of the source.
        frames: Frames with a score, on which the pooled numbers rest.
        mean: Arithmetic mean; how each number is defined stands in `sdk.pooling`.
        harmonic_mean: VMAF's harmonic mean.
        min: Lowest score.
        p1: 1st percentile.
        p5: 5th percentile.
        p10: 10th percentile.
        worst: Stretches with the lowest mean, worst first, not overlapping.
        model: Identity of the model.
        unscored: Frames whose score was NaN; no pooled number counts them.
        abstained: Of `frames`, those whose score the model says not to trust.
        abstained_counted: Whether the pooled numbers and worst stretches count them.
        complete: False when the source broke off or scoring was stopped early.
    """

    source: str
    frames: int
    mean: float
    harmonic_mean: float
    min: float
    p1: float
    p5: float
    p10: float
    worst: tuple[Segment, ...]
    model: str
    unscored: int = 0
    complete: bool = True
    abstained: int = 0
    abstained_counted: bool = True

    @classmethod
    def pool(
        cls,
        scores: Iterable[FrameScore],
        worst: int = 3,
        window_s: float = 1.0,
        *,
        count_abstained: bool = True,
    ) -> VideoScore:
        """Summarise the scores of one source.

        Args:
            scores: Scores in order of presentation; read once, so a generator will do.
            worst: Number of worst stretches to find.
            window_s: Length of a stretch in seconds (25 frames where there are no time stamps).
            count_abstained: False leaves out frames whose score the model says not to trust.

        Raises:
            UsageError: There is no frame, or none has a score that counts.
        """
        from sdk.series import ScoreSeries

        series = ScoreSeries(count_abstained=count_abstained)
        for score in scores:
            series.append(score)
        if not series.counted:
            raise UsageError(
                f"Nothing to pool: {len(series)} frames, none with a score"
                f"{' that the model trusts' if series.scored else ''}.",
                hint="Give the scores of at least one frame.",
            )
        return series.summary(worst=worst, window_s=window_s)

    def pooled(self) -> dict[str, float]:
        """Return the pooled numbers by the name of their method."""
        return {
            "mean": self.mean,
            "harmonic_mean": self.harmonic_mean,
            "min": self.min,
            "p1": self.p1,
            "p5": self.p5,
            "p10": self.p10,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "schema": SCHEMA_VERSION,
            "source": self.source,
            "frames": int(self.frames),
            "unscored": int(self.unscored),
            "abstained": int(self.abstained),
            "abstained_counted": bool(self.abstained_counted),
            "complete": bool(self.complete),
            "pooled": {name: json_number(value) for name, value in self.pooled().items()},
            "worst": [segment.to_dict() for segment in self.worst],
            "model": self.model,
        }


def json_number(value: float | None) -> float | None:
    """Return a Python float, or None for what JSON has no number for: None, NaN, infinity."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _json_numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {str(label): json_number(value) for label, value in values.items()}


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {label: _number(value) for label, value in values.items()}


def _rounded(value: float) -> float | None:
    number = json_number(value)
    return None if number is None else round(number, 3)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
