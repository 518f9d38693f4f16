"""Which attention an engine keeps: numbers in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np

from export.drift import Tolerance, measure_drift, violations
from export.engine.job import Measured
from export.engine.options import FUSED, NATIVE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MIN_GAIN: Final = 1.02
"""How much faster ours must be: below, TensorRT's own is kept, which needs no plugin."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision.

    Attributes:
        attention: "native" or "fused".
        reason: Why, with the figures.
    """

    attention: str
    reason: str


def choose_attention(
    reference: ArrayLike, native: Measured, fused: Measured, tolerance: Tolerance
) -> Choice:
    """Keep the faster of two engines among those whose scores are right.

    Args:
        reference: The golden scores [F].
        native: What the engine with TensorRT's attention gave and took on this device.
        fused: What the one with ours did.
        tolerance: How far scores may be off.

    Returns:
        "fused" where its scores are within the tolerance, and it is faster by `MIN_GAIN` or the
        native one's scores are not; else "native", also where both are off.
    """
    off = [violations(measure_drift(reference, np.array(x.scores)), tolerance)
           for x in (native, fused)]  # fmt: skip
    if off[1]:
        both = "; those of TensorRT's own are off too" if off[0] else ""
        return Choice(NATIVE, f"scores with our attention are off: {'; '.join(off[1])}{both}")
    if off[0]:
        return Choice(FUSED, f"scores with TensorRT's attention are off: {'; '.join(off[0])}")
    times = median(native.milliseconds), median(fused.milliseconds)
    figures = f"{times[1]:.3f} ms with our attention, {times[0]:.3f} ms with TensorRT's"
    return Choice(FUSED if times[1] * MIN_GAIN <= times[0] else NATIVE, figures)
