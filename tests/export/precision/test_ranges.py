from __future__ import annotations

import numpy as np
import onnx
import pytest

from export.activations import ActivationRange
from export.precision.formats import BF16, FP16
from export.precision.ranges import (
    FEW,
    HEADROOM,
    Overflow,
    constant_fault,
    keep_by_constants,
    keep_by_range,
)
from export.precision.typed_graph import TypedGraph
from tests.export.precision.graphs import read_graph

MANY = np.linspace(-1, 1, 4 * FEW, dtype=np.float32)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (1e-12, "is 1e-12"),
        ([1.0, 1e-6], "is 1e-06"),
        (2.0**-14, ""),
        (0.0, ""),
        (1 / 3, ""),
        (1e5, "reaches 1e+05"),
        ([1.0, -3.4e38], "reaches 3.4e+38"),
        (-np.inf, ""),  # a mask: infinite in every format
        (MANY, ""),
        (MANY * 1e-4, ""),  # some numbers are rounded coarsely, the weights as a whole are not
        (MANY * 1e-7, "loses"),
        (MANY * 7e4, "reaches 7e+04"),
    ],
)
def test_constants_that_fp16_cannot_hold(values: object, fault: str) -> None:
    found = constant_fault(np.array(values, np.float32), FP16)
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


@pytest.mark.parametrize("values", [1e-12, 1e5, 3.3e38, MANY * 1e-7])
def test_bf16_holds_them(values: object) -> None:
    assert constant_fault(np.array(values, np.float32), BF16) == ""


def chain() -> TypedGraph:
    model = read_graph(
        """
        a = Cast <to = 1> (x)
        b = Mul (a, big)
        c = Relu (b)
        d = Mul (c, half)
        score = ReduceMax <keepdims = 0> (d)
        """,
        score="",
        big=np.float32(1e6),
        half=np.float32(0.5),
    )
    return TypedGraph(model, FP16)


def ranges(**absmax: float) -> dict[str, ActivationRange]:
    return {name: ActivationRange(-value, value, value, True) for name, value in absmax.items()}


def test_the_reader_of_a_constant_is_kept() -> None:
    assert keep_by_constants(chain()) == {"b": "constant big reaches 1e+06, fp16 ends at 65504"}


def test_a_tensor_that_leaves_fp16_is_fp32_for_maker_and_readers() -> None:
    kept, overflows = keep_by_range(chain(), ranges(a=1, b=7e4, c=1, d=1))
    assert kept == {
        "b": "b reaches 7e+04, fp16 ends at 65504",
        "c": "reads b, which reaches 7e+04, fp16 ends at 65504",
    }
    assert overflows == (Overflow("b", "b", 7e4),)


def test_there_is_headroom_for_frames_to_come() -> None:
    near, safe = 65504 / HEADROOM + 1, 65504 / HEADROOM - 1
    kept, overflows = keep_by_range(chain(), ranges(c=near))
    assert set(kept) == {"c", "d"}
    assert overflows == ()
    assert keep_by_range(chain(), ranges(c=safe))[0] == {}


def test_a_tensor_that_would_flush_to_zero_is_kept() -> None:
    kept, overflows = keep_by_range(chain(), ranges(a=1e-5, b=0, c=1e-3))
    assert list(kept) == ["a", "b"]
    assert kept["a"].startswith("a stays below 1e-05")
    assert overflows == ()


def scaled(scale: object) -> dict[str, str]:
    model = read_graph(
        "a = Cast <to = 1> (x) q = QuantizeLinear (a, s, z) score = DequantizeLinear (q, s, z)",
        x="1,2",
        score="1,2",
        s=np.array(scale, np.float32),
        z=np.int8(0),
    )
    onnx.checker.check_model(model, full_check=True)
    return keep_by_constants(TypedGraph(model, FP16))


@pytest.mark.parametrize("scale", [0.1, 2.0**-24, 3 * 2.0**-24, 65504.0])
def test_scales_that_keep_their_bits(scale: float) -> None:
    assert scaled(scale) == {}


@pytest.mark.parametrize("scale", [1e-6, 1e-9, 1e5])
def test_scales_that_lose_bits(scale: float) -> None:
    reasons = scaled(scale)
    assert set(reasons) == {"q", "score"}
    assert reasons["q"] == f"constant s has a scale of {scale:.3g} that fp16 loses bits of"
