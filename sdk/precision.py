"""Which arithmetic a network runs in: the fastest that leaves its scores alone."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from sdk.errors import BackendError

if TYPE_CHECKING:
    from sdk.backends.base import Backend, BackendModule, BackendOptions
    from sdk.bundle import Bundle

PRECISIONS: Final = ("fp32", "bf16", "fp16", "int8")
GRAPHS: Final = ("fp16", "int8")  # those that need a graph of their own in the bundle
MAX_DRIFT: Final = 0.5  # points of 100, on the golden frames
MAX_DRIFT_INT8: Final = 2.0

_log = logging.getLogger("framescore")


def golden_drift(backend: Backend, bundle: Bundle) -> float:
    """Return max |Δscore| between a backend and the FP32 reference over the golden frames.

    It is NaN if any score is.
    """
    scores = [backend.infer(inputs)["score"][0] for inputs in bundle.golden.frames()]
    return float(np.abs(np.array(scores) - bundle.golden.score).max())  # max() keeps NaN


def open_with_precision(
    module: BackendModule, bundle: Bundle, precision: str, options: BackendOptions
) -> Backend:
    """Open a backend in the precision asked for.

    Args:
        module: The backend.
        bundle: The model.
        precision: One of `PRECISIONS`, or "auto": the fastest that this machine computes the
            reference in and that stays within `MAX_DRIFT` on the golden frames, else fp32. Never
            fp16 or int8: their graphs score a little differently, so that is for the user to say.
        options: Further settings.

    Raises:
        BackendError: This machine lacks the precision.
        BundleError: The bundle has no graph of the precision.
    """
    available = module.precisions()
    if precision == "auto":
        return _open_fastest(module, bundle, available, options)
    if precision in GRAPHS:
        bundle.describe_graph(precision)
        available = (*available, precision)
    if precision not in available:
        raise BackendError(
            f"Precision {precision} is not supported by this backend on this machine; supported: "
            f"{', '.join(available)}.",
            hint="Use precision='auto' to take the fastest that is safe.",
        )
    backend = module.open_backend(bundle, replace(options, precision=precision))
    if precision != "fp32":
        drift = golden_drift(backend, bundle)
        expected = MAX_DRIFT_INT8 if precision == "int8" else MAX_DRIFT
        if not drift <= expected:
            _log.warning(
                "%s in %s drifts by %.2f points on the golden frames (at most %.1f is expected)",
                bundle.model_id, precision, drift, expected,
            )  # fmt: skip
    return backend


def _open_fastest(
    module: BackendModule, bundle: Bundle, available: tuple[str, ...], options: BackendOptions
) -> Backend:
    for precision in available:
        backend = module.open_backend(bundle, replace(options, precision=precision))
        if precision == "fp32":
            return backend
        drift = golden_drift(backend, bundle)
        if drift <= MAX_DRIFT:  # false for NaN too
            return backend
        backend.close()
        _log.info("%s is not used: max drift %.2f points on golden frames", precision, drift)
    raise BackendError(
        f"No precision of {', '.join(available) or 'none'} keeps the scores of {bundle.model_id}.",
        hint="Name another backend.",
    )
