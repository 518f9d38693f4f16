"""Channel attention under the emulation, exact and linear, against float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from .emulated import (
    BAD_SHAPE,
    BAD_TYPE,
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

AUTO, ROWS64, ROWS32, ROWS16, PORTABLE = range(5)
LINEAR = -1
FORMS = (ROWS64, ROWS32, ROWS16, PORTABLE, LINEAR)
EPSILON = 1e-5

# As for spatial attention: bfloat16 rounds 8 times as coarsely as half.
GATES = {"float16": 5e-4, "bfloat16": 8 * 5e-4}


@dataclass(frozen=True)
class Case:
    channels: int
    form: int
    positions: int = 196
    batch: int = 1
    number: str = "float16"
    offset: float = 0.0  # of V, which LayerNorm takes away again
    packed: bool = False  # q, k, v in one tensor
    seed: int = 0

    def __str__(self) -> str:
        name = "linear" if self.form == LINEAR else f"tile{self.form}"
        shape = f"C{self.channels}-P{self.positions}-B{self.batch}-{name}-{self.number}"
        extras = ["packed"] * self.packed + [f"offset{self.offset}"] * bool(self.offset)
        return "-".join([shape, *extras, f"seed{self.seed}"])


@dataclass(frozen=True)
class Operands:
    storage: NDArray[np.uint16]  # q, k and v, padded with NaN
    q: NDArray[np.uint16]  # views of [batch, channels, positions] each
    k: NDArray[np.uint16]
    v: NDArray[np.uint16]
    gamma: NDArray[np.float32]
    beta: NDArray[np.float32]
    residual: NDArray[np.uint16]  # [batch, channels, stride]

    @property
    def stride(self) -> int:
        return self.q.strides[1] // 2


def make_operands(case: Case) -> Operands:
    rng = np.random.default_rng(case.channels + case.positions)
    number = FORMATS[case.number]
    padded = (case.positions + 7) // 8 * 8
    shape = (case.batch, case.channels)
    layout = (*shape, 3, padded) if case.packed else (3, *shape, padded)
    storage = np.full(layout, number.nan, np.uint16)
    views = np.moveaxis(storage, 2 if case.packed else 0, 0)[..., : case.positions]
    views[:] = number.encode(rng.standard_normal(views.shape) * 2)
    views[2] = number.encode(rng.standard_normal(views.shape[1:]) + case.offset)
    residual = np.full((*shape, case.positions + 2 + case.positions % 2), number.nan, np.uint16)
    residual[..., : case.positions] = number.encode(rng.standard_normal((*shape, case.positions)))
    gamma = (1 + 0.1 * rng.standard_normal(case.positions)).astype(np.float32)
    beta = (0.1 * rng.standard_normal(case.positions)).astype(np.float32)
    return Operands(storage, views[0], views[1], views[2], gamma, beta, residual)


def attention(case: Case, operands: Operands) -> NDArray[np.float64]:
    """Exact attention among channels in float64, before LayerNorm."""
    number = FORMATS[case.number]
    query, key, value = (
        number.decode(np.ascontiguousarray(one)).astype(np.float64)
        for one in (operands.q, operands.k, operands.v)
    )
    query /= np.maximum(np.linalg.norm(query, axis=-1, keepdims=True), 1e-12)
    key /= np.maximum(np.linalg.norm(key, axis=-1, keepdims=True), 1e-12)
    weights = np.exp(query @ np.swapaxes(key, 1, 2) / np.sqrt(case.positions))
    return np.asarray(weights / weights.sum(-1, keepdims=True) @ value)


def reference(case: Case, operands: Operands) -> NDArray[np.float64]:
    out = attention(case, operands)
    out = (out - out.mean(-1, keepdims=True)) / np.sqrt(out.var(-1, keepdims=True) + EPSILON)
    residual = FORMATS[case.number].decode(operands.residual)[..., : case.positions]
    return out * operands.gamma + operands.beta + residual


def attend(
    library: Library, case: Case, operands: Operands, *, normalised: bool = True
) -> tuple[Call, NDArray[np.float32]]:
    """The call, and its result; fails when padding of the output was written."""
    number = FORMATS[case.number]
    stride = case.positions + case.positions % 2 + 4
    out = np.full((case.batch, case.channels, stride), number.nan, np.uint16)
    gamma, beta, residual = operands.gamma, operands.beta, operands.residual
    extras = (gamma, beta, residual) if normalised else (None, None, None)
    space = library.handle.linear_workspace(case.batch, case.channels, case.positions)
    workspace = np.full(space // 4, np.nan, np.float32)
    call = library.call(
        "emulate_channel_attention",
        *(number.code, case.batch, case.channels, case.positions),
        *(operands.stride, residual.shape[-1], stride, EPSILON),
        *(operands.q, operands.k, operands.v, *extras, out, workspace, case.form),
        reads=[operands.storage, *extras],
        writes=[out, workspace],
        seed=case.seed,
    )
    assert (out[..., case.positions :] == number.nan).all()
    return call, number.decode(out[..., : case.positions].copy())


@pytest.fixture(scope="session")
def channel(workshop: Workshop) -> Library:
    names = ("channel_attention.cu", "channel_196.cu", "channel_49.cu")
    sources = [KERNELS / "channel_attention" / name for name in names]
    return workshop.library("channel", [*sources, EMULATION / "channel_driver.cpp"])


def check(library: Library, case: Case) -> None:
    operands = make_operands(case)
    call, out = attend(library, case, operands)
    assert call.status == OK, call.message
    assert call.report.races == 0, call.message
    assert call.report.conflicts == 0
    assert relative_error(out, reference(case, operands)) <= GATES[case.number]


CASES = [
    replace(case, form=form, seed=form + 2)
    for form in FORMS
    for case in [
        Case(64, 0),
        Case(384, 0, positions=49, packed=True),
        Case(192, 0, batch=2, packed=True),
        Case(128, 0, positions=49, batch=3, number="bfloat16"),
        Case(128, 0, number="bfloat16"),
    ]
]
SITES = [
    *(Case(768, ROWS64), Case(1152, LINEAR), Case(384, PORTABLE), Case(576, ROWS16)),
    *(Case(576, ROWS32, 49), Case(768, ROWS16, 49), Case(1152, ROWS64, 49), Case(1152, LINEAR, 49)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_small_maps(channel: Library, case: Case) -> None:
    check(channel, case)


@pytest.mark.parametrize("case", SITES, ids=str)
def test_the_maps_of_the_models(channel: Library, case: Case) -> None:
    check(channel, case)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_order(channel: Library, form: int, seed: int) -> None:
    check(channel, Case(192, form, seed=seed))


def test_many_images_take_the_large_tile_of_the_linear_form(channel: Library) -> None:
    check(channel, Case(64, LINEAR, batch=8, seed=3))


@pytest.mark.parametrize("form", [PORTABLE, LINEAR])
def test_an_offset_of_v_does_not_drown_the_result(channel: Library, form: int) -> None:
    """LayerNorm takes the offset away; what is left must not have been rounded off before."""
    check(channel, Case(128, form, offset=8.0))


@pytest.mark.parametrize("form", [PORTABLE, LINEAR])
def test_without_normalisation(channel: Library, form: int) -> None:
    case = Case(128, form)
    operands = make_operands(case)
    call, out = attend(channel, case, operands, normalised=False)
    assert call.status == OK
    assert relative_error(out, attention(case, operands)) <= GATES["float16"]


@pytest.mark.parametrize("form", [PORTABLE, LINEAR])
def test_a_channel_of_zeros_attends_evenly(channel: Library, form: int) -> None:
    case = Case(64, form)
    operands = make_operands(case)
    operands.q[0, 5] = 0
    operands.k[0, 9] = 0
    call, out = attend(channel, case, operands)
    assert call.status == OK
    assert relative_error(out, reference(case, operands)) <= GATES["float16"]


@pytest.mark.parametrize("positions", [196, 49])
def test_shared_memory(channel: Library, positions: int) -> None:
    sizes = [channel.handle.channel_shared_bytes(tile, positions) for tile in FORMS[:-1]]
    assert sizes[PORTABLE - 1] <= 48 * 1024
    assert max(sizes) <= 99 * 1024  # what a block may have on sm_86, sm_89 and sm_120


@pytest.mark.parametrize(
    ("shape", "device", "tile"),
    [
        ((25, 768, 196), (132, 227 * 1024), ROWS64),
        ((1, 768, 196), (132, 227 * 1024), ROWS16),
        ((1, 768, 196), (16, 163 * 1024), ROWS32),
        ((1, 1152, 196), (16, 163 * 1024), ROWS64),
        ((1, 768, 196), (132, 48 * 1024), PORTABLE),
        ((25, 768, 196), (132, 48 * 1024), PORTABLE),
    ],
)
def test_the_tile_follows_device_and_shape(
    channel: Library, shape: tuple[int, int, int], device: tuple[int, int], tile: int
) -> None:
    assert channel.handle.channel_tile(*shape, *device) == tile


def call_with(library: Library, **changes: Any) -> int:
    """The status of a valid call with some arguments changed."""
    room = np.zeros((64, 208), np.uint16)
    row = np.zeros(256, np.float32)
    arguments: dict[str, Any] = {
        "type": 0,
        "batch": 1,
        "channels": 64,
        "positions": 196,
        "qkv_stride": 208,
        "residual_stride": 208,
        "out_stride": 208,
        "epsilon": EPSILON,
        "q": room,
        "k": room,
        "v": room,
        "gamma": row,
        "beta": row,
        "residual": room,
        "out": np.zeros((64, 208), np.uint16),
        "workspace": np.zeros(1 << 16, np.float32),
        "form": PORTABLE,
    }
    arguments.update(changes)
    arrays = [value for value in arguments.values() if isinstance(value, np.ndarray)]
    call = library.call("emulate_channel_attention", *arguments.values(), reads=[], writes=arrays)
    return call.status


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, OK),
        ({"form": LINEAR}, OK),
        ({"type": 7}, BAD_TYPE),
        ({"batch": 0}, BAD_SHAPE),
        ({"channels": 100}, BAD_SHAPE),
        ({"channels": 8192}, BAD_SHAPE),
        ({"positions": 64}, BAD_SHAPE),
        ({"qkv_stride": 192}, BAD_SHAPE),
        ({"qkv_stride": 204}, MISALIGNED),
        ({"out_stride": 197}, MISALIGNED),
        ({"out_stride": 194}, BAD_SHAPE),
        ({"residual_stride": 195}, BAD_SHAPE),
        ({"epsilon": 0.0}, BAD_SHAPE),
        ({"q": None}, NULL_POINTER),
        ({"gamma": None}, NULL_POINTER),
        ({"form": LINEAR, "workspace": None}, NULL_POINTER),
        ({"form": 5}, UNSUPPORTED_TILE),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_arguments_are_checked(channel: Library, changes: dict[str, Any], status: int) -> None:
    assert call_with(channel, **changes) == status
