"""The GPU benchmark's checks, run on the host against emulated kernels: a session with a GPU is not
the first to run them. Times are a GPU's alone."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gpu import correctness, frame_cases, place, sanitised, timings
from benchmarks.gpu.attention_cases import AttentionCase
from benchmarks.gpu.correctness import ChannelCase
from benchmarks.gpu.frame_cases import FrameCase
from sdk._kernels import Kernels
from sdk.frames import ColorSpec, PixelFormat

from .bound import Bound
from .emulated import Workshop
from .test_attention_binding import bound_attention

pytestmark = pytest.mark.slow  # compiles every head dimension
NEVER = float("inf")


def free(bound: Bound) -> Kernels:
    """Kernels that may touch all memory: the guards are the benchmark's own."""
    bound.watch([], [])
    anywhere = (ctypes.c_void_p(0), ctypes.c_size_t(2**63), ctypes.c_int(1))
    bound.library.handle.emulation_allow(*anywhere)
    return bound.kernels


@pytest.fixture(scope="module")
def attention(workshop: Workshop) -> Kernels:
    return free(bound_attention(workshop))


@pytest.fixture(scope="module")
def rows_and_frames(workshop: Workshop) -> Kernels:
    return free(Bound.build(workshop))


@pytest.fixture(autouse=True)
def _on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "DEVICE", "cpu")
    monkeypatch.setattr(correctness, "REPEATS", 2)


def cases(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, some: Iterable[Any]) -> int:
    """Let a check take these cases only; return how many there are."""
    kept = list(some)
    monkeypatch.setattr(module, name, lambda: iter(kept))
    return len(kept)


def small(tokens: int = 17, content: str = "normal", **changes: Any) -> AttentionCase:
    return AttentionCase(2, tokens, 2, 32, content=content, **changes)


def test_attention(attention: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [
        *(small(content=content) for content in ("normal", "bias", "minus_60000", "mask")),
        *(small(19, tile=tile, dtype="bfloat16") for tile in ("rows64", "rows16_resident")),
    ]
    count = cases(monkeypatch, correctness.attention_cases, "correctness_cases", some)
    tally = correctness.check_attention(attention, NEVER)
    assert (tally.checked, tally.failures) == (count, [])
    assert 0 < tally.worst["float16"] < 5e-4 < tally.worst["bfloat16"] < 4e-3


class Faulty:
    """Kernels with a fault that the checks must find."""

    def __init__(self, kernels: Kernels, fault: str) -> None:
        self._kernels, self._fault, self._calls = kernels, fault, 0

    def attention(self, qkv: Any, out: Any, **given: Any) -> None:
        self._calls += 1
        if self._fault == "ignores the mask":
            given.pop("mask", None)
        self._kernels.attention(qkv, out, **given)
        if self._fault == "differs when repeated" and self._calls > 1:
            out.view(torch.uint8).bitwise_xor_(1)
        if self._fault == "writes one element too far":
            out.as_strided((1,), (1,), out.storage_offset() + out.numel()).fill_(0)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("ignores the mask", "relative L2 error"),
        ("differs when repeated", "a repeat gave other bits"),
        ("writes one element too far", "wrote beyond its output"),
    ],
)
def test_faults_are_found(
    attention: Kernels, monkeypatch: pytest.MonkeyPatch, fault: str, found: str
) -> None:
    cases(monkeypatch, correctness.attention_cases, "correctness_cases", [small(content="mask")])
    tally = correctness.check_attention(Faulty(attention, fault), NEVER)  # type: ignore[arg-type]
    assert tally.failed
    assert found in tally.failures[0]


def test_offsets_of_a_large_batch(attention: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correctness, "BEYOND_INT32", small())
    tally = correctness.check_beyond_int32(attention, NEVER)
    assert (tally.checked, tally.failures) == (1, [])


def test_the_large_batch_is_one() -> None:
    case = correctness.BEYOND_INT32
    assert 3 * case.batch * case.tokens * case.heads * case.head_dim > 2**31


def test_attention_int8(attention: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [small(tile="rows16"), small(21, "outliers", tile="rows64")]
    count = cases(monkeypatch, correctness, "int8_cases", some)
    tally = correctness.check_attention_int8(attention, NEVER)
    assert (tally.checked, tally.failures) == (count, [])


def test_channel_attention(attention: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [
        ChannelCase(1, 64, 49, 4), ChannelCase(1, 64, 196, None),
        ChannelCase(2, 64, 49, None, "bfloat16"),
    ]  # fmt: skip
    count = cases(monkeypatch, correctness, "channel_cases", some)
    tally = correctness.check_channel_attention(attention, NEVER)
    assert (tally.checked, tally.failures) == (count, [])


def test_layer_norm(rows_and_frames: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correctness, "NORM_WIDTHS", (49, 192))
    monkeypatch.setattr(correctness, "NORM_ROWS", (5,))
    tally = correctness.check_layer_norm(rows_and_frames, NEVER)
    assert (tally.checked, tally.failures) == (6, [])


def test_frames(rows_and_frames: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [
        FrameCase(layout, (34, 70), 0 if layout is PixelFormat.I420 else 13,
                  ColorSpec("bt709", True), frame_cases.ODD_VIEWS)
        for layout in PixelFormat
    ]  # fmt: skip
    count = cases(monkeypatch, frame_cases, "correctness_cases", some)
    tally = correctness.check_frames(rows_and_frames, NEVER)
    assert (tally.checked, tally.failures) == (count, [])


def errors_of(contest: timings.Contest) -> dict[str, float]:
    """Relative L2 error of all whom the host can run: no flash attention, cuDNN or Triton."""
    found = {}
    for name, make in contest.contestants.items():
        if "compile" in name or any(part in name for part in ("cudnn", "flash", "effi", "triton")):
            continue
        found[name] = timings._accuracy(contest, name, make)["rel_l2"]
    return found


def test_all_who_attend_agree(attention: Kernels) -> None:
    found = errors_of(timings.attention_contest(attention, AttentionCase(1, 21, 1)))
    assert set(found) >= {"ours, auto", "ours, rows16", "sdpa math, packed", "sdpa math, bare"}
    assert found.pop("ours, int8 with quantisation") < 2e-2
    assert max(found.values()) < 1e-3


@pytest.mark.parametrize("positions", timings.POSITIONS)
def test_all_forms_of_channel_attention_agree(attention: Kernels, positions: int) -> None:
    found = errors_of(timings.channel_contest(attention, 1, 64, positions))
    assert set(found) >= {"ours, auto", "ours, norm apart", "ours, linear", "torch, unfused"}
    assert max(found.values()) < 2e-3


def test_norms_and_frames_agree(rows_and_frames: Kernels) -> None:
    assert max(errors_of(timings.norm_contest(rows_and_frames, 5, 192)).values()) < 1e-3
    case = FrameCase(PixelFormat.NV12, (64, 48), views=("resize:8x8",))
    contest = timings.frame_contest(rows_and_frames, case)
    [out] = contest.contestants["ours"](0)()  # type: ignore[misc]
    assert out.any()


class Host:
    """Memory for `sanitised`, exactly as large as its tensors."""

    def empty(self, shape: Iterable[int], typestr: str) -> Any:
        return np.empty(tuple(shape), typestr)

    def upload(self, array: Any) -> Any:
        return np.array(array, order="C")

    def wait(self) -> None: ...

    def free(self, *_: Any) -> None: ...


def test_what_the_sanitizers_watch(
    attention: Kernels, rows_and_frames: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sanitised, "LENGTHS", (17,))
    monkeypatch.setattr(sanitised, "_CHANNELS", 64)
    rng, host = np.random.default_rng(0), Host()
    assert sanitised.run_attention(attention, host, rng) == 13  # type: ignore[arg-type]
    assert sanitised.run_channel_attention(attention, host, rng) == 12  # type: ignore[arg-type]
    assert sanitised.run_layer_norm(rows_and_frames, host, rng) == 6  # type: ignore[arg-type]
    frames = sanitised.run_frames(rows_and_frames, host, rng)  # type: ignore[arg-type]
    assert frames == len(PixelFormat)


def test_compiled_contestants_come_last() -> None:
    def contests() -> Any:
        yield timings.Contest({"kernel": "x"}, 0, 1, {"torch.compile, packed": refuse, "a": refuse})
        yield timings.Contest({"kernel": "y"}, 0, 1, {"b": refuse, "c, compiled": refuse})

    def refuse(_: int) -> Any:
        raise RuntimeError

    rows = timings.time_all(contests, NEVER)
    order = [row["contestant"] for row in rows]
    assert order == ["a", "b", "torch.compile, packed", "c, compiled"]
