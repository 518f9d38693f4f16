"""Attention through the C ABI and the binding, run under the emulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdk._kernels import Kernels
from sdk.errors import BackendError, FrameError

from .bound import Bound
from .emulated import KERNELS, Workshop

pytestmark = pytest.mark.slow  # compiles every head dimension

BATCH, TOKENS, HEADS, DIM = 2, 19, 2, 32


@pytest.fixture(scope="module")
def bound(workshop: Workshop) -> Bound:
    sources = [
        *sorted((KERNELS / "attention").glob("*.cu")),
        *(KERNELS / "c_abi" / f"{name}_c.cu" for name in ("attention", "status")),
    ]
    library = workshop.library("bound-attention", sources)
    return Bound(library, Kernels(workshop.folder / "bound-attention.so"))


def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "qkv": rng.normal(size=(BATCH, TOKENS, 3, HEADS, DIM)).astype(np.float16),
        "out": np.full((BATCH, TOKENS, HEADS, DIM), np.nan, np.float16),
        "bias": rng.normal(size=(HEADS, TOKENS, TOKENS + 3)).astype(np.float16),
        "mask": rng.integers(0, 2, (BATCH, TOKENS + 2), dtype=np.uint8),
    }


def reference(qkv: Any, scale: float, bias: Any = None, mask: Any = None) -> np.ndarray:
    query, key, value = (qkv[:, :, i].astype(np.float64).transpose(0, 2, 1, 3) for i in range(3))
    scores = query @ key.transpose(0, 1, 3, 2) * scale
    if bias is not None:
        scores += bias[:, :, :TOKENS].astype(np.float64)
    if mask is not None:
        scores[np.broadcast_to(mask[:, None, None, :TOKENS] == 0, scores.shape)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ value).transpose(0, 2, 1, 3)


@pytest.mark.parametrize("options", [{}, {"scale": 0.3}, {"bias"}, {"mask"}, {"bias", "mask"}])
def test_attention_of_packed_qkv(bound: Bound, options: Any) -> None:
    given = tensors()
    chosen = options if isinstance(options, dict) else {name: given[name] for name in options}
    bound.watch([a.reshape(-1) for n, a in given.items() if n != "out"], [given["out"]])
    bound.kernels.attention(given["qkv"], given["out"], **chosen)
    expected = reference(given["qkv"], **{"scale": DIM**-0.5, **chosen})
    assert np.linalg.norm(given["out"] - expected) <= 5e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qkv": np.zeros((2, 19, 6, 32), np.float16)}, r"must be \[batch, tokens, 3, heads"),
        ({"qkv": np.zeros((2, 19, 3, 2, 32), np.float32)}, "must be float16 or bfloat16"),
        ({"out": np.zeros((2, 19, 64), np.float16)}, r"out is float16 \[2, 19, 64\]"),
        ({"bias": np.zeros((2, 18, 20), np.float16)}, r"bias is float16 \[2, 18, 20\]"),
        ({"mask": np.zeros((2, 20), bool)}, "mask|cannot be read|elements"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    bound: Bound, change: dict[str, Any], message: str
) -> None:
    given = {name: array for name, array in tensors().items() if name in ("qkv", "out")}
    with pytest.raises(FrameError, match=message):
        bound.kernels.attention(**{**given, **change})


def test_tiles_and_sizes_that_do_not_exist_are_refused(bound: Bound) -> None:
    given = tensors()
    with pytest.raises(BackendError, match="tile is not built"):
        bound.kernels.attention(given["qkv"], given["out"], tile=9)
    with pytest.raises(BackendError, match="out of range"):
        bound.kernels.attention(given["qkv"], given["out"], scale=-1.0)
