"""Every kernel against its definition: poisoned outputs, guard bands, repeats to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from time import monotonic
from typing import Any

from benchmarks.gpu import attention_cases, frame_cases, place
from benchmarks.gpu.attention_cases import GATES, TILES, AttentionCase
from benchmarks.gpu.frame_cases import FrameCase
from benchmarks.gpu.guarded import Guarded, errors
from benchmarks.gpu.place import stream
from benchmarks.gpu.rivals import channel_exact
from sdk._kernels import Kernels
from sdk.errors import BackendError

REPEATS = 20
INT8_TILES = ("auto", "rows64", "rows16")  # attention_int8.h, by number
INT8_GATES = {"normal": 2e-2, "outliers": 4e-2}  # by content
_ROOM = 8 * 2**30
BEYOND_INT32 = AttentionCase(4736, 197, 12)  # 2.15e9 elements of qkv
NORM_ROWS = (1, 5, 1576)
NORM_WIDTHS = (1, 49, 192, 196, 384, 768, 1000, 1024)
NORM_GATES = {"float16": 5e-4, "bfloat16": 4e-3, "float32": 1e-6}  # relative L2: one rounding


@dataclass
class Tally:
    """What a matrix of cases came to.

    Attributes:
        checked: Cases that ran.
        not_built: Cases of tiles that do not exist for their shape.
        not_reached: Cases left out because the time was over.
        worst: Largest relative L2 error by type.
        failures: What was wrong, at most 20 in words.
    """

    checked: int = 0
    not_built: int = 0
    not_reached: int = 0
    failed: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def fail(self, name: str, what: str) -> None:
        self.failed += 1
        if len(self.failures) < 20:
            self.failures.append(f"{name}: {what}")

    def note(self, dtype: str, rel_l2: float) -> None:
        """Keep the worst; NaN is the worst of all."""
        known = self.worst.get(dtype, 0.0)
        if not (rel_l2 <= known or math.isnan(known)):
            self.worst[dtype] = rel_l2


def run_cases(cases: Iterable[Any], check: Callable[[Any, Tally], None], until: float) -> Tally:
    """Check cases until `until` (of `time.monotonic`); those after it are counted only."""
    tally = Tally()
    for case in cases:
        if monotonic() > until:
            tally.not_reached += 1
            continue
        try:
            check(case, tally)
        except BackendError as error:
            if "tile is not built" in str(error):
                tally.not_built += 1
            else:
                tally.fail(case.name, str(error))
        except Exception as error:  # the other cases are still worth having
            tally.fail(case.name, f"{type(error).__name__}: {str(error)[:300]}")
        else:
            tally.checked += 1
    return tally


def repeats_alike(launch: Callable[[], None], outputs: list[Guarded]) -> str:
    """Run again REPEATS - 1 times on fresh poison; say what differed, or nothing."""
    import torch

    first = [out.tensor.clone() for out in outputs]
    for _ in range(REPEATS - 1):
        for out in outputs:
            out.poison()
        launch()
        for out, known in zip(outputs, first, strict=True):
            if not torch.equal(out.tensor.view(torch.uint8), known.view(torch.uint8)):
                return "a repeat gave other bits"
    return "" if all(out.intact() for out in outputs) else "wrote beyond its output"


def check_attention(kernels: Kernels, until: float) -> Tally:
    """All of `attention_cases.correctness_cases`."""

    def check(case: AttentionCase, tally: Tally) -> None:
        packed, bias = attention_cases.inputs_of(case, seed=tally.checked)
        extras = {"bias": bias, "mask": attention_cases.mask_of(case, seed=tally.checked)}
        qkv = Guarded.holding(packed)
        held = {name: Guarded.holding(one) for name, one in extras.items() if one is not None}
        given = {name: one.tensor for name, one in held.items()}
        out = Guarded((case.batch, case.tokens, case.heads, case.head_dim), packed.dtype)

        def launch() -> None:
            tile = TILES.index(case.tile)
            kernels.attention(qkv.tensor, out.tensor, tile=tile, stream=stream(), **given)

        launch()
        found = errors(out.tensor, attention_cases.reference_of(case, qkv.tensor, **given))
        tally.note(case.dtype, found["rel_l2"])
        if not found["rel_l2"] <= GATES[case.dtype]:
            tally.fail(case.name, f"relative L2 error {found['rel_l2']:.2e}")
        if what := repeats_alike(launch, [out]):
            tally.fail(case.name, what)
        if not all(one.intact() for one in (qkv, *held.values())):
            tally.fail(case.name, "wrote beyond an input")

    return run_cases(attention_cases.correctness_cases(), check, until)


def check_attention_int8(kernels: Kernels, until: float) -> Tally:
    """The 8-bit form on the lengths of the fp16 one; `rel_l2` is what the 8 bits cost."""
    import torch

    def check(case: AttentionCase, tally: Tally) -> None:
        qkv = Guarded.holding(attention_cases.inputs_of(case, seed=tally.checked)[0])
        out = Guarded((case.batch, case.tokens, case.heads, case.head_dim), torch.float16)
        space = Guarded((kernels.int8_workspace(qkv.tensor),), torch.uint8)

        def launch() -> None:
            tile = INT8_TILES.index(case.tile)
            kernels.attention_int8(qkv.tensor, out.tensor, space.tensor, tile=tile, stream=stream())

        launch()
        found = errors(out.tensor, attention_cases.reference_of(case, qkv.tensor))
        tally.note(f"int8, {case.content}", found["rel_l2"])
        if not found["rel_l2"] <= INT8_GATES[case.content]:
            tally.fail(case.name, f"relative L2 error {found['rel_l2']:.2e}")
        if what := repeats_alike(launch, [out]):
            tally.fail(case.name, what)
        if not space.intact():
            tally.fail(case.name, "wrote beyond its workspace")

    return run_cases(int8_cases(), check, until)


def int8_cases() -> Iterator[AttentionCase]:
    """Both tiles on every awkward length, then the other head dimensions."""
    lengths = (1, 17, 64, 65, 197, 577)
    for batch, tokens, content, tile in product((1, 3), lengths, INT8_GATES, INT8_TILES):
        yield AttentionCase(batch, tokens, 6, content=content, tile=tile)
    for dim, tokens, tile in product((32, 128), (65, 197), INT8_TILES):
        yield AttentionCase(2, tokens, 3, dim, tile=tile)


def check_beyond_int32(kernels: Kernels, until: float) -> Tally:
    """A batch of more than 2^31 elements: the last image against float64, where offsets are large.

    Not under guards: inputs and output take 6 GB. Left out where the device has less than 8 free.
    """
    import torch

    if place.DEVICE == "cuda" and torch.cuda.mem_get_info()[0] < _ROOM:
        return Tally(not_reached=1)

    def check(case: AttentionCase, tally: Tally) -> None:
        shape = (case.batch, case.tokens, 3, case.heads, case.head_dim)
        qkv = torch.empty(shape, dtype=torch.float16, device=place.DEVICE)
        last = AttentionCase(1, case.tokens, case.heads, case.head_dim)
        qkv[:-1] = 0
        qkv[-1:] = attention_cases.inputs_of(last, seed=1)[0]
        out = torch.full_like(qkv[:, :, 0], torch.nan, memory_format=torch.contiguous_format)
        kernels.attention(qkv, out, stream=stream())
        found = errors(out[-1:], attention_cases.reference_of(last, qkv[-1:]))
        tally.note(case.dtype, found["rel_l2"])
        if not found["rel_l2"] <= GATES[case.dtype]:
            tally.fail(case.name, f"relative L2 error of the last image {found['rel_l2']:.2e}")
        if out[:-1].any():  # NaN counts
            tally.fail(case.name, "images of zeros have other outputs")

    return run_cases([BEYOND_INT32], check, until)


@dataclass(frozen=True, slots=True)
class ChannelCase:
    """One channel attention; tile None is the linearised form."""

    batch: int
    channels: int
    positions: int
    tile: int | None
    dtype: str = "float16"

    @property
    def name(self) -> str:
        form = "linear" if self.tile is None else f"tile {self.tile}"
        shape = f"B{self.batch} C{self.channels} D{self.positions}"
        return f"channel attention {shape} {self.dtype} {form}"


def check_channel_attention(kernels: Kernels, until: float) -> Tally:
    """Every tile and the linearised form, with norm and residual."""
    import torch

    def check(case: ChannelCase, tally: Tally) -> None:
        random, dtype = place.randomness(case.channels), getattr(torch, case.dtype)
        stride = -(-case.positions // 8) * 8
        even = case.positions + case.positions % 2

        def normal(*shape: int) -> Any:
            return place.normal(random, *shape)

        qkv = Guarded.holding(normal(case.batch, case.channels, 3, stride).to(dtype))
        residual = Guarded.holding(normal(case.batch, case.channels, even).to(dtype))
        gamma, beta = (Guarded.holding(normal(case.positions)) for _ in range(2))
        out = Guarded((case.batch, case.channels, even), dtype)
        given: dict[str, Any] = {"tile": case.tile}
        if case.tile is None:
            size = kernels.channel_workspace(qkv.tensor, case.positions)
            given = {"workspace": Guarded((size,), torch.uint8).tensor}

        def launch() -> None:
            kernels.channel_attention(
                qkv.tensor, out.tensor, case.positions, gamma=gamma.tensor, beta=beta.tensor,
                residual=residual.tensor, stream=stream(), **given,
            )  # fmt: skip

        launch()
        exact = (one.tensor.double() for one in (qkv, gamma, beta, residual))
        expected = channel_definition(*exact, case.positions)
        found = errors(out.tensor[..., : case.positions], expected)
        tally.note(case.dtype, found["rel_l2"])
        if not found["rel_l2"] <= GATES[case.dtype]:
            tally.fail(case.name, f"relative L2 error {found['rel_l2']:.2e}")
        if what := repeats_alike(launch, [out]):
            tally.fail(case.name, what)

    return run_cases(channel_cases(), check, until)


def channel_cases() -> Iterator[ChannelCase]:
    """Every form on the maps of the models; bfloat16 on one of them."""
    forms = (*range(5), None)
    for shape in product((1, 3), (64, 384, 576, 768, 1152), (196, 49), forms):
        yield ChannelCase(*shape)
    for positions, form in product((196, 49), forms):
        yield ChannelCase(8, 384, positions, form, "bfloat16")


def channel_definition(qkv: Any, gamma: Any, beta: Any, residual: Any, positions: int) -> Any:
    """`rivals.channel_exact` of padded tensors, without their padding."""
    batch, channels = qkv.shape[:2]
    bare = qkv[..., :positions].reshape(batch, channels, 3 * positions)
    return channel_exact(bare, gamma, beta, residual[..., :positions])


@dataclass(frozen=True, slots=True)
class NormCase:
    """One residual + LayerNorm."""

    rows: int
    width: int
    dtype: str

    @property
    def name(self) -> str:
        return f"layer norm {self.rows}x{self.width} {self.dtype}"


def check_layer_norm(kernels: Kernels, until: float) -> Tally:
    """Every width and type."""
    import torch

    def check(case: NormCase, tally: Tally) -> None:
        dtype = getattr(torch, case.dtype)
        random = place.randomness(case.width)
        shape = (case.rows, case.width)
        x, residual, gamma, beta = (
            Guarded.holding(place.normal(random, *size).to(dtype))
            for size in (shape, shape, shape[1:], shape[1:])
        )
        out, total = Guarded(shape, dtype), Guarded(shape, dtype)

        def launch() -> None:
            kernels.residual_layer_norm(
                x.tensor, gamma.tensor, beta.tensor, out.tensor, residual=residual.tensor,
                total=total.tensor, stream=stream(),
            )  # fmt: skip

        launch()
        exact = x.tensor.double() + residual.tensor.double()
        given = (gamma.tensor.double(), beta.tensor.double())
        expected = torch.nn.functional.layer_norm(exact, shape[1:], *given)
        found = errors(out.tensor, expected)
        tally.note(case.dtype, found["rel_l2"])
        if not found["rel_l2"] <= NORM_GATES[case.dtype]:
            tally.fail(case.name, f"relative L2 error {found['rel_l2']:.2e}")
        if not torch.equal(total.tensor, exact.to(dtype)):
            tally.fail(case.name, "the sum is not the correctly rounded one")
        if what := repeats_alike(launch, [out, total]):
            tally.fail(case.name, what)

    cases = (NormCase(*one) for one in product(NORM_ROWS, NORM_WIDTHS, NORM_GATES))
    return run_cases(cases, check, until)


def check_frames(kernels: Kernels, until: float) -> Tally:
    """Every layout, to the last bit."""
    import torch

    def check(case: FrameCase, tally: Tally) -> None:
        frame = frame_cases.make_frame(case, seed=tally.checked)
        data, views = frame_cases.on_device(frame), frame_cases.parse_views(case.views)
        outs = [Guarded(view.shape, torch.uint8) for view in views]

        def launch() -> None:
            targets = [out.tensor for out in outs]
            kernels.gather_views(
                data, case.pixel_format, case.color, views, targets, stream=stream()
            )

        launch()
        expected = frame_cases.expected_views(frame, case.views)
        for view, out, right in zip(views, outs, expected, strict=True):
            if not (out.tensor.cpu().numpy() == right).all():
                tally.fail(case.name, f"{view.spec} differs from sdk.preprocess")
        if what := repeats_alike(launch, outs):
            tally.fail(case.name, what)

    return run_cases(frame_cases.correctness_cases(), check, until)
