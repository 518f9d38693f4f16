"""Run a bundle in every precision on every backend, and compare the scores with the original's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from export.drift import TOLERANCES, Tolerance, measure_drift, violations
from export.progress import Progress, silent
from export.verify.candidates import Candidate, list_candidates, open_candidate
from export.verify.report import WORST, Outcome, VerifyReport, WorstFrame
from sdk.errors import BackendError, BundleError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.frame_set import FrameSet
    from export.original import Original
    from export.reference import Inputs, Outputs
    from sdk.bundle import Bundle


ONNX_REFERENCE: Final = "the FP32 graph on onnxruntime, one thread"


def verify_bundle(
    bundle: Bundle,
    *,
    backends: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    frames: FrameSet,
    labels: Mapping[str, float] | None = None,
    original: Original | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
    progress: Progress = silent,
) -> VerifyReport:
    """Compare every precision of a bundle on every backend with the original.

    Args:
        bundle: The model.
        backends: Names of runtimes, or "typed", which runs graphs as their types say; None takes
            the installed ones for the graphs that they run in service, and "typed" where they skip
            the rounding.
        precisions: Which to verify; None takes all that the bundle has.
        frames: What to score.
        labels: Mean opinions by the names of frames, on any scale.
        original: Whose scores count; None takes the bundle's FP32 graph.
        tolerances: What each precision may drift; `export.drift.TOLERANCES` by default.
        progress: Told how far each way of running is.

    Returns:
        The report. A backend that cannot run a graph is reported, not raised.

    Raises:
        UsageError: An unknown backend, or labels of which none belongs to a frame.
        BackendError: A named backend is not installed, or ONNX Runtime is not.
        BundleError: The bundle has no graph of a named precision.
    """
    candidates = list_candidates(bundle, backends, precisions)
    limits = TOLERANCES if tolerances is None else tolerances
    opinions = _opinions(labels, frames)
    reference = _reference(bundle, frames, original, progress)
    tried = (
        _try(candidate, bundle, frames, reference, opinions, limits[candidate.precision], progress)
        for candidate in candidates
    )
    asked = precisions or ()
    outcomes = [
        replace(one, needed=one.candidate.is_graphs or one.candidate.precision in asked)
        for one in tried
    ]
    return VerifyReport(
        model_id=bundle.model_id,
        reference=ONNX_REFERENCE if original is None else original.name,
        frames=len(frames),
        frames_sha256=frames.sha256,
        labels=0 if opinions is None else int(np.isfinite(opinions).sum()),
        tolerances={c.precision: limits[c.precision] for c in candidates},
        outcomes=tuple(outcomes),
    )


def _reference(
    bundle: Bundle, frames: FrameSet, original: Original | None, progress: Progress
) -> NDArray[np.float64]:
    """Score the frames as they should be scored: [F]."""
    with ExitStack() as opened:
        run = original.run if original else _fp32_graph(bundle, opened)
        return np.array(list(_scores(run, frames, "reference", progress)), np.float64)


def _fp32_graph(bundle: Bundle, opened: ExitStack) -> Callable[[Inputs], Outputs]:
    first = Candidate(bundle.manifest.onnx, "onnxruntime", "fp32")
    run: Callable[[Inputs], Outputs] = opened.enter_context(
        open_candidate(bundle, first, threads=1)
    ).infer
    return run


def _scores(
    run: Callable[[Inputs], Outputs], frames: FrameSet, stage: str, progress: Progress
) -> Iterator[float]:
    for number, inputs in enumerate(frames.inputs):
        progress(stage, number, len(frames))
        yield float(run(inputs)["score"][0])
    progress(stage, len(frames), len(frames))


def _opinions(labels: Mapping[str, float] | None, frames: FrameSet) -> NDArray[np.float64] | None:
    """Find the label of each frame: [F], NaN where there is none."""
    if labels is None:
        return None
    found = np.array([labels.get(name, math.nan) for name in frames.names])
    if np.isfinite(found).sum() < 2:
        raise UsageError(
            f"{int(np.isfinite(found).sum())} of {len(frames)} frames have a label; correlations "
            f"need 2. The first frame is {frames.names[0]}, the first label that of "
            f"{next(iter(labels), 'nothing')}.",
            hint="Name pictures by their path within the folder.",
        )
    return found


def _try(
    candidate: Candidate,
    bundle: Bundle,
    frames: FrameSet,
    reference: NDArray[np.float64],
    labels: NDArray[np.float64] | None,
    tolerance: Tolerance,
    progress: Progress,
) -> Outcome:
    try:
        scores, golden = _score(candidate, bundle, frames, progress)
    except (BackendError, BundleError) as error:
        return Outcome(candidate, reason=error.message)
    drift = measure_drift(reference, scores, groups=frames.groups, labels=labels)
    on_golden = measure_drift(bundle.golden.score, golden)
    # Too few for a rank correlation, and without labels.
    unranked = replace(tolerance, srocc_drop=None)
    faults = [
        *violations(drift, tolerance),
        *(f"golden frames: {fault}" for fault in violations(on_golden, unranked)),
    ]
    worst = _worst(frames, reference, scores)
    return Outcome(candidate, drift, on_golden.max_abs, tuple(faults), "", worst, scores)


def _score(
    candidate: Candidate, bundle: Bundle, frames: FrameSet, progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score the frames [F] and the golden frames [G]."""
    with open_candidate(bundle, candidate) as backend:
        scores = list(_scores(backend.infer, frames, str(candidate), progress))
        golden = [float(backend.infer(inputs)["score"][0]) for inputs in bundle.golden.frames()]
    return np.array(scores, np.float64), np.array(golden, np.float64)


def _worst(
    frames: FrameSet, reference: NDArray[np.float64], scores: NDArray[np.float64]
) -> tuple[WorstFrame, ...]:
    delta = np.abs(scores - reference)
    order = np.argsort(-np.where(np.isfinite(delta), delta, np.inf), kind="stable")
    return tuple(
        WorstFrame(int(i), frames.names[i], frames.groups[i], float(reference[i]), float(scores[i]))
        for i in order[:WORST]
    )
