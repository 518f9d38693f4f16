"""Which layer makes a precision drift: the first whose own error moves the score.

Weighed against polygraphy's comparator: it runs two graphs with all tensors as outputs and compares
those of equal names, which finds where errors have grown but not whose they are, and rounding that
a CPU runtime skips stays hidden. `Forms` does the same in one call of `iterate_activations`, so the
dependency would save no code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import onnx

from export.half_weights import restore_half
from export.progress import Progress, silent
from export.verify.candidates import Candidate
from export.verify.diagnosis import describe
from export.verify.layers import Forms, LayerError, align_names
from export.verify.report import Outcome, VerifyReport, WorstFrame

if TYPE_CHECKING:
    from export.frame_set import FrameSet
    from export.original import Original
    from export.reference import Inputs
    from sdk.bundle import Bundle

NOISE: Final = {"fp32": 1e-4, "fp16": 2e-3, "bf16": 1.6e-2, "int8": 2e-2, "int8+fp16": 2e-2}
"""Relative error that a healthy layer has: a few roundings of FP32, fp16 (2^-11 each) and bf16
(2^-8); for int8 a step of 1/127 of the range, uniformly distributed, where peaks are some eight
times the mean square."""

LEAST: Final = 0.05
"""Points below which a layer is no culprit: what FP32 itself may drift."""

SHARE: Final = 1 / 3
"""Errors of layers are about independent, so their squares add up: a layer that moves the score by
less than a third of what the largest does explains less than a ninth of that one's part."""

SPAN: Final = 4  # layers within which a change of unit must be undone

MOST: Final = 12  # layers whose effect on the score is tried


@dataclass(frozen=True, slots=True)
class Suspect:
    """A layer, and how far it moves the score alone.

    Attributes:
        layer: The layer.
        points: |Δ score| if only this layer is of the other form; infinite if the score is then
            not finite.
    """

    layer: LayerError
    points: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What a bisection found.

    Attributes:
        reference: The FP32 graph's score of the frame.
        score: The other form's.
        culprit: The first layer that moves the score about as far as any; None if none does by
            itself.
        kind: "overflow", "bad scale", "normalisation", "precision" or "none".
        words: What it looks like.
        suspects: All layers whose effect was tried, in the order of the graph.
        layers: All layers, in the order of the graph.
    """

    reference: float
    score: float
    culprit: Suspect | None
    kind: str
    words: str
    suspects: tuple[Suspect, ...]
    layers: tuple[LayerError, ...]


@dataclass(frozen=True, slots=True)
class Bisection:
    """What was bisected, and what came of it.

    Attributes:
        candidate: What drifts.
        reference: What it is compared with, in words.
        frame: The frame on which it drifts most.
        finding: The layer.
    """

    candidate: Candidate
    reference: str
    frame: WorstFrame
    finding: Finding


def bisect_worst(
    bundle: Bundle,
    report: VerifyReport,
    frames: FrameSet,
    *,
    original: Original | None = None,
    progress: Progress = silent,
) -> Bisection | None:
    """Bisect what drifts most in a report, on its worst frame.

    If the FP32 graph itself is off the original, that comes first: other precisions inherit it.

    Args:
        bundle: The model.
        report: Of its verification.
        frames: Those that it was verified on.
        original: The network that it was verified against; None for its FP32 graph.
        progress: Told how far it is.

    Returns:
        The bisection, or None if nothing but the reference was run.

    Raises:
        UsageError: The original cannot be exported, or shares no tensor with the bundle.
        BackendError: ONNX Runtime is not installed.
    """
    outcome = _most_drifting(report, with_fp32=original is not None)
    if outcome is None:
        return None
    candidate, frame = outcome.candidate, outcome.worst[0]
    graph, inputs = candidate.graph, frames.inputs[frame.index]
    other = onnx.load_model_from_string(bundle.members[graph.file])
    if graph.precision == "fp32" and original is not None:
        reference, name = original.graph(graph.profile), original.name
        other = align_names(reference, restore_half(other))
    else:
        reference, name = _fp32_of(bundle, graph.profile), "the FP32 graph"
    finding = find_first_divergence(reference, other, graph.precision, inputs, progress=progress)
    return Bisection(candidate, name, frame, finding)


def _most_drifting(report: VerifyReport, *, with_fp32: bool) -> Outcome | None:
    """The failed FP32 graph, else the largest drift of those that failed, else of all."""
    ran = [outcome for outcome in report.outcomes if outcome.drift is not None]
    base = [outcome for outcome in ran if outcome.candidate.precision == "fp32"]
    failed = [outcome for outcome in base if outcome.verdict == "fail"]
    others = [outcome for outcome in ran if outcome.candidate.graph.precision != "fp32"]
    if with_fp32 and (failed or not others):
        return max(failed or base, key=_drift)
    return max(others, key=lambda x: (x.verdict == "fail", _drift(x)), default=None)


def _drift(outcome: Outcome) -> float:
    drift = math.inf if outcome.drift is None else outcome.drift.max_abs
    return math.inf if math.isnan(drift) else drift


def _fp32_of(bundle: Bundle, profile: str) -> onnx.ModelProto:
    """The FP32 graph of a profile, whose tensors have the names of its other precisions."""
    same = [x for x in bundle.graphs() if (x.precision, x.profile) == ("fp32", profile)]
    file = same[0].file if same else bundle.manifest.onnx.file
    return onnx.load_model_from_string(bundle.members[file])


def find_first_divergence(
    reference: onnx.ModelProto,
    other: onnx.ModelProto,
    precision: str,
    frame: Inputs,
    *,
    progress: Progress = silent,
) -> Finding:
    """Find the first layer at which another form of a graph leaves the reference.

    Each layer of the other form is run on the reference's values, which gives its own error; the
    largest of these errors are put one at a time into the reference, which gives what they do to
    the score. The culprit is the first layer in the order of the graph with at least `SHARE` of the
    largest effect, among those with more than the usual `NOISE` if there are such.

    Args:
        reference: The FP32 graph.
        other: The graph that drifts.
        precision: Its precision, for the error that is normal.
        frame: A frame on which it drifts.
        progress: Told how far it is.

    Raises:
        UsageError: The graphs share no tensor.
        BackendError: ONNX Runtime is not installed.
    """
    forms = Forms(reference, other, frame)
    layers = forms.measure(progress)
    if _join_rescaled(forms, [x for x in layers if x.own > NOISE[precision]], NOISE[precision]):
        layers = forms.measure(progress)
    largest = sorted(layers, key=lambda layer: layer.own, reverse=True)[:MOST]
    expected = float(forms.values(["score"])["score"][0])
    suspects = [_try(forms, layer, expected) for layer in layers if layer.own and layer in largest]
    unusual = [suspect for suspect in suspects if suspect.layer.own > NOISE[precision]]
    culprit = _first(unusual) or _first(suspects)
    kind, words = (
        ("none", _no_culprit(layers)) if culprit is None else describe(forms, culprit.layer)
    )
    score = float(forms.own(["score"], shared=())["score"][0])
    return Finding(expected, score, culprit, kind, words, tuple(suspects), tuple(layers))


def _join_rescaled(forms: Forms, layers: Sequence[LayerError], noise: float) -> bool:
    """Join layers that only change the unit of their result with those that change it back.

    Smoothing does so: a norm is divided by what the weights behind it are multiplied by.

    Returns:
        Whether there were any.
    """
    before = len(forms.shared)
    for layer in layers:
        if layer.tensor in forms.shared and forms.is_rescaled(layer.tensor, noise):
            inside = _until_undone(forms, layer.tensor, noise)
            forms.shared = [name for name in forms.shared if name not in inside]
    return len(forms.shared) < before


def _until_undone(forms: Forms, tensor: str, noise: float) -> set[str]:
    """The tensors in another unit, from the first on; empty if the change is never undone.

    A layer that undoes it is less wrong with what the layers before it really give than with the
    reference's values. A layer that is right by itself and wrong with them passes the change on.
    One that is made worse shows that the change was an error.
    """
    inside = {tensor}
    for _ in range(SPAN):
        shared = [name for name in forms.shared if name not in inside]
        passing = set()
        for name in forms.readers(inside):
            alone, joined = forms.own_error([name]), forms.own_error([name], shared)
            if joined > max(alone, noise):
                if alone > noise:
                    return set()
                passing.add(name)
        if not passing:
            return inside
        inside |= passing
    return set()


def _try(forms: Forms, layer: LayerError, expected: float) -> Suspect:
    value = forms.own([layer.tensor])[layer.tensor]
    points = abs(forms.score_with(layer.tensor, value) - expected)
    return Suspect(layer, points if math.isfinite(points) else math.inf)


def _first(suspects: Sequence[Suspect]) -> Suspect | None:
    most = max((suspect.points for suspect in suspects), default=0.0)
    least = math.inf if math.isinf(most) else max(LEAST, SHARE * most)
    return next((suspect for suspect in suspects if suspect.points >= least), None)


def _no_culprit(layers: Sequence[LayerError]) -> str:
    largest = max(layers, key=lambda layer: layer.own)
    return (
        f"No layer by itself moves the score by {LEAST} points or more; the largest error of its "
        f"own, {largest.own:.2%}, is that of {largest.node}. What drift there is adds up gradually."
    )
