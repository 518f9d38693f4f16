"""Times every kernel and its rivals in CUDA graphs, hot and cold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from time import monotonic
from typing import Any

from benchmarks.gpu import attention_cases, frame_cases, place, rivals
from benchmarks.gpu.attention_cases import TILES, AttentionCase
from benchmarks.gpu.frame_cases import FrameCase
from benchmarks.gpu.graph_timing import HOT_SETS, cold_sets, time_alone, time_graph
from benchmarks.gpu.guarded import errors
from benchmarks.gpu.place import stream
from sdk._kernels import Kernels

Row = dict[str, Any]
Call = Callable[[], object]
CHANNELS = (384, 576, 768, 1152)
CHANNEL_TILES = ("auto", "rows64", "rows32", "rows16", "portable")  # channel_attention.h, by number
POSITIONS = (196, 49)
NORM_SHAPES = ((197, 192), (197, 384), (197, 768), (8 * 197, 384), (8 * 197, 768))


@dataclass(frozen=True, slots=True)
class Contest:
    """One piece of work and all who do it.

    Attributes:
        work: What, for the row.
        flops: Floating point operations, 0 where they mean nothing.
        bytes: Read and written once.
        contestants: Makers of calls by name; a maker gets the number of an input set.
        expected: The exact result for input set 0, or None.
        result: What a contestant's call wrote or returned, to compare with `expected`.
    """

    work: Row
    flops: int
    bytes: int
    contestants: dict[str, Callable[[int], Call]]
    expected: Any = None
    result: Callable[[str, object], Any] = lambda _, returned: returned


def time_all(made: Callable[[], Iterator[Contest]], until: float, *, alone: str = "") -> list[Row]:
    """Rows of all contests: first everybody who starts at once, then what must be compiled.

    torch.compile takes seconds for each shape; were it to eat the time up, it must be its own.
    """
    rows: list[Row] = []
    for late in (False, True):
        for contest in made():
            taking_part = {
                name: make for name, make in contest.contestants.items() if is_late(name) == late
            }
            part = replace(contest, contestants=taking_part)
            rows += time_contest(part, until, alone=alone)
    return rows


def is_late(contestant: str) -> bool:
    """Whether torch.compile makes it."""
    return "compile" in contestant


def time_contest(contest: Contest, until: float, *, alone: str = "") -> Iterator[Row]:
    """A row for each contestant and cache state; what refuses the shape says why."""
    for name, make in contest.contestants.items():
        row: Row = {**contest.work, "contestant": name}
        if monotonic() > until:
            yield {**row, "unavailable": "the time was over"}
            continue
        try:
            row |= _accuracy(contest, name, make)
            for cache, sets in (("hot", HOT_SETS), ("cold", cold_sets(contest.bytes))):
                calls = [make(number) for number in range(sets)]
                timing = time_graph(lambda i, calls=calls: calls[i](), sets)  # type: ignore[misc]
                yield row | {"cache": cache, **timing.as_dict(), **_rates(contest, timing.median)}
            if name == alone:
                calls = [make(number) for number in range(HOT_SETS)]
                timing = time_alone(lambda i, calls=calls: calls[i](), HOT_SETS)  # type: ignore[misc]
                yield row | {"cache": "one launch, no graph", **timing.as_dict()}
        except Exception as error:  # a rival may fail in any way; the rest goes on
            yield row | {"unavailable": f"{type(error).__name__}: {str(error)[:200]}"}


def _accuracy(contest: Contest, name: str, make: Callable[[int], Call]) -> Row:
    if contest.expected is None:
        return {}
    found = contest.result(name, make(0)())
    return errors(found.reshape(contest.expected.shape), contest.expected)


def _rates(contest: Contest, us: float) -> Row:
    rates: Row = {"gbps": contest.bytes / us / 1e3}
    if contest.flops:
        rates["tflops"] = contest.flops / us / 1e6
    return rates


def attention_contest(kernels: Kernels, case: AttentionCase) -> Contest:
    """Ours with every tile, and all rivals."""
    import torch

    def inputs(number: int) -> Any:
        return attention_cases.inputs_of(case, seed=number)[0]

    def ours(tile: int) -> Callable[[int], Call]:
        def make(number: int) -> Call:
            qkv = inputs(number)
            shape = (case.batch, case.tokens, case.heads, case.head_dim)
            out = torch.empty(shape, dtype=qkv.dtype, device=place.DEVICE)

            def call() -> object:
                kernels.attention(qkv, out, tile=tile, stream=stream())
                return out

            return call

        return make

    def int8(number: int) -> Call:
        qkv = inputs(number)
        shape = (case.batch, case.tokens, case.heads, case.head_dim)
        out = torch.empty(shape, dtype=qkv.dtype, device=place.DEVICE)
        size = kernels.int8_workspace(qkv)
        space = torch.empty(size, dtype=torch.uint8, device=place.DEVICE)

        def call() -> object:
            kernels.attention_int8(qkv, out, space, stream=stream())
            return out

        return call

    contestants = {f"ours, {name}": ours(number) for number, name in enumerate(TILES)}
    contestants["ours, int8 with quantisation"] = int8
    for name, maker in rivals.attention_rivals().items():
        contestants[name] = lambda number, maker=maker: maker(inputs(number))  # type: ignore[misc]

    def result(name: str, returned: Any) -> Any:
        return returned.transpose(1, 2) if name.endswith("bare") else returned

    expected = attention_cases.reference_of(case, inputs(0))
    work = {"kernel": "attention", **case.as_dict()}
    return Contest(work, case.flops, case.bytes, contestants, expected.contiguous(), result)


def channel_contest(kernels: Kernels, batch: int, channels: int, positions: int) -> Contest:
    """Ours: exact with every tile, exact with norm and residual left to torch, and linear; and
    torch's exact and linear forms."""
    import torch

    stride, even = -(-positions // 8) * 8, positions + positions % 2

    def inputs(number: int) -> tuple[Any, ...]:
        random = place.randomness(number)
        padded = place.normal(random, batch, channels, 3, stride).half()
        residual = place.normal(random, batch, channels, even).half()
        scales = (place.normal(random, positions) for _ in range(2))
        return padded, *scales, residual

    def ours(tile: int, *, linear: bool = False) -> Callable[[int], Call]:
        def make(number: int) -> Call:
            qkv, gamma, beta, residual = inputs(number)
            out = torch.empty_like(residual)
            size = kernels.channel_workspace(qkv, positions) if linear else 0
            space = torch.empty(size, dtype=torch.uint8, device=place.DEVICE) if linear else None

            def call() -> object:
                kernels.channel_attention(
                    qkv, out, positions, gamma=gamma, beta=beta, residual=residual, tile=tile,
                    workspace=space, stream=stream(),
                )  # fmt: skip
                return out[..., :positions]

            return call

        return make

    def apart(number: int) -> Call:
        qkv, gamma, beta, residual = inputs(number)
        mixed, bare = torch.empty_like(residual), residual[..., :positions].contiguous()
        scales = (gamma.half(), beta.half())

        def call() -> object:
            kernels.channel_attention(qkv, mixed, positions, stream=stream())
            return rivals.norm_then_residual(mixed[..., :positions], bare, *scales)

        return call

    def theirs(function: Callable[..., Any]) -> Callable[[int], Call]:
        def make(number: int) -> Call:
            padded, gamma, beta, residual = inputs(number)
            qkv = padded[..., :positions].reshape(batch, channels, 3 * positions)
            given = (qkv, gamma.half(), beta.half(), residual[..., :positions].contiguous())
            return lambda: function(*given)

        return make

    contestants = {f"ours, {name}": ours(n) for n, name in enumerate(CHANNEL_TILES)}
    contestants["ours, norm apart"] = apart
    contestants["ours, linear"] = ours(0, linear=True)
    for name, function in _CHANNEL_RIVALS.items():
        contestants[name] = theirs(function)
        if positions == POSITIONS[0] or function is rivals.channel_exact:  # seconds each
            contestants[f"{name}, compiled"] = theirs(rivals.compiled(function))
    padded, gamma, beta, residual = (one.double() for one in inputs(0))
    exact = padded[..., :positions].reshape(batch, channels, 3 * positions)
    work = {"kernel": "channel attention", "batch": batch, "channels": channels}
    return Contest(
        {**work, "positions": positions},
        4 * batch * channels**2 * positions,
        5 * batch * channels * positions * 2,
        contestants,
        rivals.channel_exact(exact, gamma, beta, residual[..., :positions]),
    )


_CHANNEL_RIVALS = {
    "torch, unfused": rivals.channel_exact,
    "torch, sdpa": rivals.channel_sdpa,
    "torch, linear": rivals.channel_linear,
}


def norm_contest(kernels: Kernels, rows: int, width: int) -> Contest:
    """Ours, torch's two operations, and those compiled."""
    import torch

    def inputs(number: int) -> tuple[Any, ...]:
        random = place.randomness(number)
        shapes = ((rows, width), (rows, width), (width,), (width,))
        return tuple(place.normal(random, *shape).half() for shape in shapes)

    def ours(number: int) -> Call:
        x, residual, gamma, beta = inputs(number)
        out, total = torch.empty_like(x), torch.empty_like(x)

        def call() -> object:
            kernels.residual_layer_norm(
                x, gamma, beta, out, residual=residual, total=total, stream=stream()
            )
            return out

        return call

    def theirs(function: Callable[..., Any]) -> Callable[[int], Call]:
        def make(number: int) -> Call:
            given = inputs(number)
            return lambda: function(*given)[0]

        return make

    expected, _ = rivals.norm_unfused(*(one.double() for one in inputs(0)))
    contestants = {
        "ours": ours,
        "torch": theirs(rivals.norm_unfused),
        "torch, compiled": theirs(rivals.compiled(rivals.norm_unfused)),
    }
    work = {"kernel": "residual + layer norm", "rows": rows, "width": width}
    return Contest(work, 0, 4 * rows * width * 2, contestants, expected)


def frame_contest(kernels: Kernels, case: FrameCase) -> Contest:
    """Ours only: torch has no gather from NV12. Bytes are the frame's and the views'."""
    import torch

    views = frame_cases.parse_views(case.views)

    def ours(number: int) -> Call:
        data = frame_cases.on_device(frame_cases.make_frame(case, number % HOT_SETS))
        outs = [torch.empty(v.shape, dtype=torch.uint8, device=place.DEVICE) for v in views]

        def call() -> object:
            kernels.gather_views(data, case.pixel_format, case.color, views, outs, stream=stream())
            return outs

        return call

    width, height = case.size
    work = {
        "kernel": "frame views", "format": case.pixel_format.value, "width": width,
        "height": height, "views": " ".join(case.views),
    }  # fmt: skip
    size = frame_cases.frame_bytes(case) + frame_cases.bytes_written(case.views)
    return Contest(work, 0, size, {"ours": ours})


def contests(kernels: Kernels, kind: str) -> Iterator[Contest]:
    """All contests of a section: "attention", "channel_attention", "layer_norm" or "frames"."""
    if kind == "attention":
        yield from (attention_contest(kernels, c) for c in attention_cases.timing_cases())
    elif kind == "channel_attention":
        yield from (channel_contest(kernels, *one) for one in product((1, 8), CHANNELS, POSITIONS))
    elif kind == "layer_norm":
        yield from (norm_contest(kernels, *one) for one in NORM_SHAPES)
    else:
        yield from (frame_contest(kernels, c) for c in frame_cases.timing_cases())
