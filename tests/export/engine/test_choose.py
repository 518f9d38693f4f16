"""Which attention is kept, by figures that nobody measured."""

from __future__ import annotations

import math

import pytest

from export.drift import TOLERANCES
from export.engine.choose import MIN_GAIN, choose_attention
from export.engine.job import Measured

REFERENCE = (20.0, 40.0, 60.0, 80.0)


def engine(milliseconds: float, off: float = 0.0) -> Measured:
    times = (milliseconds, milliseconds, 50 * milliseconds)  # the clock was disturbed once
    return Measured(scores=tuple(score + off for score in REFERENCE), milliseconds=times)


@pytest.mark.parametrize(
    ("native", "fused", "kept", "reason"),
    [
        (engine(2), engine(1), "fused", "1.000 ms with our attention, 2.000 ms with TensorRT's"),
        (engine(1), engine(2), "native", "2.000 ms with our attention, 1.000 ms"),
        (engine(1), engine(1), "native", "1.000 ms with our attention"),
        (engine(1), engine(1 / (MIN_GAIN - 0.005)), "native", "ms with our attention"),
        (engine(1), engine(1 / (MIN_GAIN + 0.005)), "fused", "ms with our attention"),
        (engine(2), engine(1, off=0.6), "native", "scores with our attention are off: "),
        (engine(2), engine(1, off=math.nan), "native", "scores with our attention are off: "),
        (engine(1, off=0.6), engine(2), "fused", "scores with TensorRT's attention are off: "),
        (engine(2, off=9), engine(1, off=9), "native", "those of TensorRT's own are off too"),
        (engine(2, off=0.4), engine(1, off=0.4), "fused", "ms with our attention"),
    ],
)
def test_the_faster_that_is_right(
    native: Measured, fused: Measured, kept: str, reason: str
) -> None:
    choice = choose_attention(REFERENCE, native, fused, TOLERANCES["fp16"])
    assert choice.attention == kept
    assert reason in choice.reason
