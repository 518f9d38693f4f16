"""Residual + LayerNorm against float64, run under the emulation through the binding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sdk.errors import BackendError, FrameError

from .bound import Bound
from .emulated import Workshop

torch = pytest.importorskip("torch")

EPSILON = 1e-6
STEP = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24}  # half a unit of rounding
WIDTHS = [1, 7, 49, 192, 196, 256, 384, 392, 512, 576, 768, 1000, 1024]


@pytest.fixture(scope="module")
def bound(workshop: Workshop) -> Bound:
    return Bound.build(workshop)


def raw(tensor: torch.Tensor) -> NDArray[Any]:
    """The tensor's own memory; numpy has no bfloat16."""
    return tensor.view(torch.int16 if tensor.element_size() == 2 else torch.int32).numpy()


def rows(dtype: str, *shape: int, seed: int, scale: float = 1.0, offset: float = 0.0) -> Any:
    values = np.random.default_rng(seed).normal(offset, scale, shape)
    return torch.from_numpy(values).to(getattr(torch, dtype))


def reference(
    total: NDArray[np.float64], gamma: torch.Tensor, beta: torch.Tensor
) -> NDArray[np.float64]:
    centred = total - total.mean(-1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
    return unit * gamma.double().numpy() + beta.double().numpy()


def normalise(
    bound: Bound, x: Any, gamma: Any, beta: Any, *, seed: int = 0, **tensors: Any
) -> torch.Tensor:
    out = torch.full_like(x, torch.nan)
    reads = [raw(t).reshape(-1) for t in (x, gamma, beta, *tensors.values())]
    writes = [raw(t) for t in (out, tensors.get("total")) if t is not None]
    bound.watch(reads, writes, seed)
    bound.kernels.residual_layer_norm(x, gamma, beta, out, epsilon=EPSILON, **tensors)
    return out


@pytest.mark.parametrize("dtype", STEP)
@pytest.mark.parametrize("width", WIDTHS)
def test_normalised_sum_within_rounding_of_float64(bound: Bound, dtype: str, width: int) -> None:
    x, residual = (rows(dtype, 5, width, seed=s, scale=2, offset=s) for s in (1, 2))
    gamma, beta = (rows(dtype, width, seed=s, offset=4 - s) for s in (3, 4))
    total = torch.full_like(x, torch.nan)
    out = normalise(bound, x, gamma, beta, residual=residual, total=total, seed=width)
    exact = x.double().numpy() + residual.double().numpy()
    expected = reference(exact, gamma, beta)
    # One rounding of the result, and float32's on the way (which grow with cancellation).
    scale = np.abs(expected) + np.abs(gamma.double().numpy()) + 1
    tolerance = 1.01 * STEP[dtype] * np.abs(expected) + 4e-6 * scale
    assert (np.abs(out.double().numpy() - expected) <= tolerance).all()
    assert torch.equal(total, torch.from_numpy(exact).to(x.dtype))  # correctly rounded


def test_sum_may_overwrite_the_residual(bound: Bound) -> None:
    x, residual = (rows("float16", 3, 384, seed=s) for s in (1, 2))
    gamma, beta = torch.ones(384).half(), torch.zeros(384).half()
    apart = normalise(bound, x, gamma, beta, residual=residual, total=torch.empty_like(x))
    kept = residual.clone()
    together = normalise(bound, x, gamma, beta, residual=kept, total=kept)
    assert torch.equal(apart, together)
    assert torch.equal(kept, x + residual)


def test_without_a_residual(bound: Bound) -> None:
    x = rows("float32", 2, 3, 196, seed=5)
    gamma, beta = torch.ones(196), torch.zeros(196)
    expected = torch.nn.functional.layer_norm(x, (196,), eps=EPSILON)
    assert torch.allclose(normalise(bound, x, gamma, beta), expected, atol=2e-6)


def test_large_offsets_do_not_cancel(bound: Bound) -> None:
    """A mean of 1000 with a deviation of 1: E[x^2] - E[x]^2 would lose it in float32."""
    x = rows("float32", 4, 768, seed=6, offset=1000)
    gamma, beta = torch.ones(768), torch.zeros(768)
    expected = reference(x.double().numpy(), gamma, beta)
    assert np.abs(normalise(bound, x, gamma, beta).double().numpy() - expected).max() < 3e-4


def test_a_row_does_not_depend_on_its_neighbours_or_alignment(bound: Bound) -> None:
    x = rows("float16", 9, 384, seed=7)
    gamma, beta = rows("float16", 384, seed=8), rows("float16", 384, seed=9)
    together = normalise(bound, x, gamma, beta, seed=3)
    for number in (0, 4, 8):
        alone = normalise(bound, x[number : number + 1].clone(), gamma, beta)
        assert torch.equal(alone[0], together[number])
    memory = torch.empty(9 * 384 + 1, dtype=torch.float16)
    shifted = memory[1:].reshape(9, 384).copy_(x)  # 2 bytes off: one element at a time
    assert torch.allclose(normalise(bound, shifted, gamma, beta), together, atol=2e-3)


def test_constant_rows_and_infinities(bound: Bound) -> None:
    x = torch.zeros(3, 64)
    x[1], x[2, 5] = 3.0, torch.inf
    gamma, beta = torch.ones(64), torch.full((64,), 0.25)
    out = normalise(bound, x, gamma, beta)
    assert (out[:2] == 0.25).all()
    assert out[2].isnan().any()  # a damaged row shows, and no other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": torch.ones(63)}, r"gamma is float32 \[63\]; it must be float32 \[64\]"),
        ({"beta": torch.ones(64).half()}, "beta is float16"),
        ({"out": torch.ones(3, 64)}, r"out is float32 \[3, 64\]"),
        ({"rows": torch.ones(2, 128)[:, ::2]}, "rows is float32.*not packed"),
        ({"rows": torch.ones(2, 64, dtype=torch.uint8)}, "Rows are uint8"),
        ({"rows": torch.ones(2, 64).double()}, "64 bits; allowed are"),
        ({"rows": torch.ones(2, 64, device="meta")}, "cannot be read|lies in"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    bound: Bound, change: dict[str, Any], message: str
) -> None:
    good = {"rows": torch.ones(2, 64), "gamma": torch.ones(64), "beta": torch.ones(64)}
    with pytest.raises(FrameError, match=message):
        bound.kernels.residual_layer_norm(**{**good, "out": torch.empty(2, 64), **change})


@pytest.mark.parametrize(("width", "epsilon"), [(1025, 0.0), (64, -1.0), (64, float("nan"))])
def test_shapes_beyond_the_limits_are_refused(bound: Bound, width: int, epsilon: float) -> None:
    x, gamma = torch.ones(1, width), torch.ones(width)
    with pytest.raises(BackendError, match="size, stride or scale is out of range"):
        bound.kernels.residual_layer_norm(x, gamma, gamma, torch.empty_like(x), epsilon=epsilon)
