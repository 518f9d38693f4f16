"""INT8 attention under the emulation: quantisation by itself, then the whole against float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from .emulated import (
    BAD_SHAPE,
    EMULATION,
    KERNELS,
    MISALIGNED,
    NULL_POINTER,
    OK,
    UNSUPPORTED_TILE,
    Call,
    Library,
    Workshop,
)
from .numbers import FORMATS, relative_error

AUTO, ROWS64, ROWS16 = range(3)
HALF = FORMATS["float16"]
GATE = 2e-2


@dataclass(frozen=True)
class Case:
    tokens: int
    batch: int = 1
    heads: int = 1
    dim: int = 64
    tile: int = ROWS64
    offset: float = 0.0  # spread of the keys' means
    outliers: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        shape = f"N{self.tokens}-B{self.batch}-H{self.heads}-D{self.dim}-tile{self.tile}"
        return f"{shape}-offset{self.offset}-outliers{self.outliers}-seed{self.seed}"

    @property
    def shape(self) -> tuple[int, int, int, int, float]:
        return self.batch, self.tokens, self.heads, self.dim, self.dim**-0.5


def make_qkv(case: Case) -> NDArray[np.uint16]:
    rng = np.random.default_rng(case.tokens + case.dim)
    qkv = rng.standard_normal((case.batch, case.tokens, 3, case.heads, case.dim))
    qkv[:, :, 1] += case.offset * rng.standard_normal((case.batch, 1, case.heads, case.dim))
    if case.outliers:
        qkv[:, :, 2][rng.random(qkv[:, :, 2].shape) < 0.01] *= case.outliers
    return HALF.encode(qkv)


@dataclass(frozen=True)
class Quantized:
    q: NDArray[np.int8]  # [batch, heads, tokens, dim]
    k: NDArray[np.int8]
    q_scale: NDArray[np.float32]  # [batch, heads, stride]
    k_scale: NDArray[np.float32]

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        return self.q, self.k, self.q_scale, self.k_scale

    @property
    def written(self) -> tuple[NDArray[Any], ...]:
        """Without the padding behind the last scale, which holds nothing."""
        last = self.q_scale.size - self.q_scale.shape[-1] + self.q.shape[2]
        return self.q, self.k, self.q_scale.reshape(-1)[:last], self.k_scale.reshape(-1)[:last]


def quantize(library: Library, case: Case, qkv: NDArray[np.uint16]) -> tuple[Call, Quantized]:
    sizes = case.shape[:4]
    rows = (case.batch, case.heads, case.tokens, case.dim)
    scales = (case.batch, case.heads, (case.tokens + 3) // 4 * 4)
    assert library.handle.int8_bytes(*sizes) == np.prod(rows)
    assert library.handle.int8_scale_bytes(*sizes) == np.prod(scales) * 4
    made = Quantized(
        np.full(rows, 99, np.int8),
        np.full(rows, 99, np.int8),
        np.full(scales, np.nan, np.float32),
        np.full(scales, np.nan, np.float32),
    )
    call = library.call(
        "emulate_quantize",
        *(*case.shape, qkv, *made.arrays),
        reads=[qkv],
        writes=made.arrays,
        seed=case.seed,
    )
    return call, made


def attend(library: Library, case: Case, qkv: NDArray[np.uint16]) -> tuple[Call, NDArray[Any]]:
    quantized = quantize(library, case, qkv)[1]
    out = np.full((case.batch, case.tokens, case.heads, case.dim), HALF.nan, np.uint16)
    call = library.call(
        "emulate_attention_int8",
        *(*case.shape, qkv, *quantized.arrays, out, case.tile),
        reads=[qkv, *quantized.written],
        writes=[out],
        seed=case.seed,
    )
    return call, HALF.decode(out)


def reference(case: Case, qkv: NDArray[np.uint16]) -> NDArray[np.float64]:
    query, key, value = np.moveaxis(HALF.decode(qkv).astype(np.float64), 2, 0)
    scores = np.einsum("bihd,bjhd->bhij", query, key) * case.dim**-0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhij,bjhd->bihd", weights, value)


@pytest.fixture(scope="session")
def int8(workshop: Workshop) -> Library:
    sources = [KERNELS / "attention" / "attention_int8.cu", EMULATION / "int8_driver.cpp"]
    return workshop.library("int8", sources)


@pytest.mark.parametrize(
    "case", [Case(1), Case(65, heads=2), Case(50, 2, 2, 32), Case(130, dim=128)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_quantisation(int8: Library, case: Case, seed: int) -> None:
    case = Case(case.tokens, case.batch, case.heads, case.dim, offset=4, seed=seed)
    qkv = make_qkv(case)
    call, made = quantize(int8, case, qkv)
    assert (call.status, call.report.races, call.report.conflicts) == (OK, 0, 0), call.message
    query, key, _ = HALF.decode(qkv).astype(np.float64).transpose(2, 0, 3, 1, 4)
    key = key - key.mean(axis=2, keepdims=True)
    for values, integers, scales in ((query, made.q, made.q_scale), (key, made.k, made.k_scale)):
        scale = scales[:, :, : case.tokens, None].astype(np.float64)
        np.testing.assert_allclose(scale[..., 0], np.abs(values).max(-1) / 127, atol=1e-6)
        assert np.abs(integers * scale - values).max() <= 0.5001 * scale.max() + 1e-6
        assert np.isnan(scales[:, :, case.tokens :]).all()


CASES = [
    Case(tokens, heads=heads, tile=tile, dim=dim, seed=tile)
    for tile in (ROWS64, ROWS16)
    for tokens, heads, dim in [
        *((1, 2, 64), (17, 2, 64), (64, 2, 64), (65, 1, 64), (197, 1, 64)),
        *((70, 1, 32), (70, 1, 128)),
    ]
]
HARD = [
    Case(113, batch=2, heads=2, tile=tile, seed=3, offset=offset, outliers=outliers)
    for tile in (ROWS64, ROWS16)
    for offset, outliers in [(4.0, 0.0), (8.0, 0.0), (0.0, 30.0)]
]
LONG = [Case(577, tile=tile, seed=seed) for tile in (ROWS64, ROWS16) for seed in (1, 2, 3)]


@pytest.mark.parametrize("case", [*CASES, *HARD, *LONG], ids=str)
def test_attention(int8: Library, case: Case) -> None:
    qkv = make_qkv(case)
    call, out = attend(int8, case, qkv)
    assert call.status == OK, call.message
    assert call.report.races == 0, call.message
    assert call.report.conflicts == 0
    assert relative_error(out, reference(case, qkv)) <= GATE


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_reaches_the_rows_that_depend_on_it(int8: Library, bad: float) -> None:
    """Integers know no NaN: it must not end as a plausible number."""
    case = Case(40, heads=2)
    qkv = make_qkv(case)
    qkv[0, 30, 0, 1, 5] = HALF.encode(np.array(bad))  # a query of head 1
    wrong = np.isnan(attend(int8, case, qkv)[1]).all(axis=-1)
    assert wrong[0, 30, 1]
    assert wrong.sum() == 1
    qkv[0, 7, 1, 0, 5] = HALF.encode(np.array(bad))  # a key of head 0
    assert np.isnan(attend(int8, case, qkv)[1][0, :, 0]).all()


def test_keys_that_are_all_alike_weigh_alike(int8: Library) -> None:
    case = Case(40)
    qkv = make_qkv(case)
    qkv[:, :, 1] = qkv[:, :1, 1]
    call, out = attend(int8, case, qkv)
    assert call.status == OK
    mean = HALF.decode(qkv)[:, :, 2].astype(np.float64).mean(axis=1, keepdims=True)
    assert relative_error(out, np.broadcast_to(mean, out.shape)) <= 1e-3


def call_with(library: Library, **changes: Any) -> int:
    """The status of a valid call with some arguments changed."""
    arguments: dict[str, Any] = {
        "batch": 1,
        "tokens": 16,
        "heads": 1,
        "head_dim": 64,
        "scale": 0.125,
        "qkv": np.zeros(16 * 192, np.uint16),
        "q": np.zeros(16 * 64, np.int8),
        "k": np.zeros(16 * 64, np.int8),
        "q_scale": np.zeros(16, np.float32),
        "k_scale": np.zeros(16, np.float32),
        "out": np.zeros(16 * 64, np.uint16),
        "tile": AUTO,
    }
    arguments.update(changes)
    arrays = [value for value in arguments.values() if isinstance(value, np.ndarray)]
    call = library.call("emulate_attention_int8", *arguments.values(), reads=[], writes=arrays)
    return call.status


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, OK),
        ({"head_dim": 48}, BAD_SHAPE),
        ({"tokens": 0}, BAD_SHAPE),
        ({"scale": -1.0}, BAD_SHAPE),
        ({"k": None}, NULL_POINTER),
        ({"out": None}, NULL_POINTER),
        ({"q_scale": np.zeros(40, np.float32)[1:]}, MISALIGNED),
        ({"tile": 3}, UNSUPPORTED_TILE),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_arguments_are_checked(int8: Library, changes: dict[str, Any], status: int) -> None:
    assert call_with(int8, **changes) == status
