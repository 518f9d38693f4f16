"""What a verification found, as data and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from export.drift import Drift, Tolerance
from export.verify.candidates import Candidate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA: Final = 1
"""Version of the JSON report; grows when a key changes its meaning or goes away."""

WORST: Final = 5
"""Frames that the report names for each way of running."""


@dataclass(frozen=True, slots=True)
class WorstFrame:
    """A frame with one of the largest differences.

    Attributes:
        index: Of the frame.
        name: What the frame set calls it.
        group: Its degradation, or "clean".
        reference: Its score by the reference.
        score: Its score here.
    """

    index: int
    name: str
    group: str
    reference: float
    score: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one way of running did.

    Attributes:
        candidate: What was run, and on what.
        drift: Against the reference; None if it could not be run.
        golden: Largest |Δ score| on the bundle's golden frames.
        faults: What is outside the tolerance, in words.
        reason: Why it could not be run; empty if it was.
        worst: The frames with the largest differences, worst first.
        scores: All scores [F].
        needed: Whether faults fail the verification. Not those of an arithmetic that this CPU
            offers beside the bundle's graphs, unless it was asked for: a scorer left to choose
            does not use it where it drifts.
    """

    candidate: Candidate
    drift: Drift | None = None
    golden: float = math.nan
    faults: tuple[str, ...] = ()
    reason: str = ""
    worst: tuple[WorstFrame, ...] = ()
    scores: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    needed: bool = True

    @property
    def verdict(self) -> str:
        """`pass`, `fail`, `not used` or `not run`."""
        if self.drift is None:
            return "not run"
        if not self.faults:
            return "pass"
        return "fail" if self.needed else "not used"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        model_id: Which model, to the byte.
        reference: What scores were compared with, in words.
        frames: How many frames.
        frames_sha256: Hash over their input pixels.
        labels: How many of them have a label.
        tolerances: What each precision was allowed to drift.
        outcomes: One for each way of running.
    """

    model_id: str
    reference: str
    frames: int
    frames_sha256: str
    labels: int
    tolerances: Mapping[str, Tolerance]
    outcomes: tuple[Outcome, ...]

    @property
    def unverified(self) -> tuple[str, ...]:
        """Precisions that nothing here could run."""
        ran = {outcome.candidate.precision for outcome in self.outcomes if outcome.drift}
        asked = dict.fromkeys(outcome.candidate.precision for outcome in self.outcomes)
        return tuple(precision for precision in asked if precision not in ran)

    @property
    def passed(self) -> bool:
        """Whether every precision was run, and none drifted more than it may."""
        return not self.unverified and all(o.verdict != "fail" for o in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: a versioned object, numbers that are not finite as null."""
        return {
            "schema": SCHEMA,
            "kind": "verify",
            "model": self.model_id,
            "reference": self.reference,
            "frames": {"count": self.frames, "sha256": self.frames_sha256},
            "labels": self.labels,
            "passed": self.passed,
            "tolerances": as_plain(self.tolerances),
            "results": [_outcome(outcome) for outcome in self.outcomes],
        }


def as_plain(value: Any) -> Any:
    """Turn what was measured into what JSON can hold.

    Args:
        value: A dataclass of this package, or what it holds.

    Returns:
        Dictionaries, lists, texts, and numbers; those that are not finite are None.
    """
    if isinstance(value, Candidate):
        graph = value.graph
        return {
            "precision": value.precision,
            "backend": value.backend,
            "profile": graph.profile,
            "file": graph.file,
        }
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: as_plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    return [as_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _outcome(outcome: Outcome) -> dict[str, Any]:
    drift = as_plain(outcome.drift)
    if drift:
        del drift["worst"]
    return {
        **as_plain(outcome.candidate),
        "verdict": outcome.verdict,
        "faults": as_plain(outcome.faults),
        "reason": outcome.reason,
        "drift": drift,
        "golden_max_abs": as_plain(outcome.golden),
        "worst": as_plain(outcome.worst),
    }
