"""Attention of every kind through the C ABI and the binding, run under the emulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdk._kernels import Kernels
from sdk.errors import BackendError, FrameError

from .bound import Bound
from .emulated import KERNELS, Workshop

pytestmark = pytest.mark.slow  # compiles every head dimension

C_ABI = ("attention", "attention_int8", "channel_attention", "status")
BATCH, TOKENS, HEADS, DIM = 2, 19, 2, 32


def bound_attention(workshop: Workshop) -> Bound:
    sources = [
        *sorted((KERNELS / "attention").glob("*.cu")),
        *sorted((KERNELS / "channel_attention").glob("*.cu")),
        *(KERNELS / "c_abi" / f"{name}_c.cu" for name in C_ABI),
    ]
    library = workshop.library("bound-attention", sources)
    return Bound(library, Kernels(workshop.folder / "bound-attention.so"))


@pytest.fixture(scope="module")
def bound(workshop: Workshop) -> Bound:
    return bound_attention(workshop)


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


def test_int8_attention_quantises_on_the_way(bound: Bound) -> None:
    given = tensors()
    size = bound.kernels.int8_workspace(given["qkv"])
    memory = np.zeros(size + 16, np.uint8)
    space = memory[-memory.ctypes.data % 16 :][:size]
    bound.watch([given["qkv"].reshape(-1)], [given["out"], space])
    bound.kernels.attention_int8(given["qkv"], given["out"], space)
    expected = reference(given["qkv"], DIM**-0.5)
    assert np.linalg.norm(given["out"] - expected) <= 2e-2 * np.linalg.norm(expected)
    with pytest.raises(FrameError, match=f"has {size - 1} bytes; it must have {size}"):
        bound.kernels.attention_int8(given["qkv"], given["out"], space[:-1])


CHANNELS, POSITIONS, STRIDE = 64, 49, 56


def channel_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    qkv = rng.normal(size=(2, CHANNELS, 3, STRIDE)).astype(np.float16)
    qkv[..., POSITIONS:] = np.nan  # padding
    return {
        "qkv": qkv,
        "gamma": rng.normal(size=POSITIONS).astype(np.float32),
        "beta": rng.normal(size=POSITIONS).astype(np.float32),
        "residual": rng.normal(size=(2, CHANNELS, POSITIONS + 1)).astype(np.float16),
    }


def channel_reference(given: dict[str, np.ndarray]) -> np.ndarray:
    query, key, value = given["qkv"][..., :POSITIONS].astype(np.float64).transpose(2, 0, 1, 3)
    query /= np.linalg.norm(query, axis=-1, keepdims=True)
    key /= np.linalg.norm(key, axis=-1, keepdims=True)
    weights = np.exp(query @ key.transpose(0, 2, 1) * POSITIONS**-0.5)
    mixed = weights / weights.sum(-1, keepdims=True) @ value
    mixed -= mixed.mean(-1, keepdims=True)
    mixed /= np.sqrt((mixed**2).mean(-1, keepdims=True) + 1e-5)
    return mixed * given["gamma"] + given["beta"] + given["residual"][..., :POSITIONS]


@pytest.mark.parametrize(("linear", "gate"), [(False, 1e-3), (True, 3e-3)])
def test_channel_attention(bound: Bound, linear: bool, gate: float) -> None:
    given = channel_tensors()
    out = np.zeros((2, CHANNELS, POSITIONS + 1), np.float16)
    options: dict[str, Any] = {name: given[name] for name in ("gamma", "beta", "residual")}
    writes = [out]
    if linear:
        size = bound.kernels.channel_workspace(given["qkv"], POSITIONS)
        memory = np.zeros(size + 16, np.uint8)
        options["workspace"] = memory[-memory.ctypes.data % 16 :][:size]
        writes.append(options["workspace"])
    bound.watch([array.reshape(-1) for array in given.values()], writes)
    bound.kernels.channel_attention(given["qkv"], out, POSITIONS, **options)
    expected = channel_reference(given)
    difference = np.linalg.norm(out[..., :POSITIONS] - expected)
    assert difference <= gate * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qkv": np.zeros((2, 64, 168), np.float16)}, r"must be \[batch, channels, 3, stride\]"),
        ({"gamma": np.zeros(48, np.float32)}, "must have 49 elements"),
        ({"gamma": np.zeros(49, np.float16)}, "gamma is float16"),
        ({"residual": np.zeros((1, 64, 50), np.float16)}, r"residual is float16 \[1, 64, 50\]"),
        ({"workspace": np.zeros(8, np.uint8)}, "has 8 bytes; it must have"),
    ],
)
def test_channel_tensors_that_do_not_fit_are_refused(
    bound: Bound, change: dict[str, Any], message: str
) -> None:
    given = channel_tensors()
    out = np.zeros((2, CHANNELS, POSITIONS + 1), np.float16)
    with pytest.raises(FrameError, match=message):
        bound.kernels.channel_attention(**{**given, "out": out, "positions": 49, **change})
