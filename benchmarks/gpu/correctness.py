"""Every kernel against its definition: poisoned outputs, guard bands, repeats to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from time import monotonic
from typing import Any

from benchmarks.gpu import attention_cases, frame_cases
from benchmarks.gpu.attention_cases import GATES, TILES, AttentionCase
from benchmarks.gpu.frame_cases import FrameCase
from benchmarks.gpu.guarded import Guarded, errors
from benchmarks.gpu.rivals import channel_exact
from sdk._kernels import Kernels
from sdk.errors import BackendError

REPEATS = 20
INT8_GATES = {"normal": 2e-2, "outliers": 4e-2}  # by content
CHANNEL_GATE = 1e-3
NORM_WIDTHS = (1, 49, 192, 196, 384, 768, 1000, 1024)
NORM_GATES = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6}  # relative L2: one rounding


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
        qkv, bias = (
            None if one is None else Guarded.holding(one)
            for one in attention_cases.inputs_of(case, seed=tally.checked)
        )
        assert qkv is not None
        shape = (case.batch, case.tokens, case.heads, case.head_dim)
        out = Guarded(shape, qkv.tensor.dtype)

        def launch() -> None:
            given = None if bias is None else bias.tensor
            tile = TILES.index(case.tile)
            kernels.attention(qkv.tensor, out.tensor, bias=given, tile=tile, stream=stream())

        launch()
        given = None if bias is None else bias.tensor
        found = errors(out.tensor, attention_cases.reference_of(case, qkv.tensor, given))
        tally.note(case.dtype, found["rel_l2"])
        if not found["rel_l2"] <= GATES[case.dtype]:
            tally.fail(case.name, f"relative L2 error {found['rel_l2']:.2e}")
        if what := repeats_alike(launch, [out]):
            tally.fail(case.name, what)
        if not (qkv.intact() and (bias is None or bias.intact())):
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
            kernels.attention_int8(qkv.tensor, out.tensor, space.tensor, stream=stream())

        launch()
        found = errors(out.tensor, attention_cases.reference_of(case, qkv.tensor, None))
        tally.note(f"int8, {case.content}", found["rel_l2"])
        if not found["rel_l2"] <= INT8_GATES[case.content]:
            tally.fail(case.name, f"relative L2 error {found['rel_l2']:.2e}")
        if what := repeats_alike(launch, [out]):
            tally.fail(case.name, what)
        if not space.intact():
            tally.fail(case.name, "wrote beyond its workspace")

    lengths = (1, 17, 64, 65, 197, 577)
    cases = (
        AttentionCase(batch, tokens, 6, content=content)
        for batch, tokens, content in product((1, 3), lengths, INT8_GATES)
    )
    return run_cases(cases, check, until)


@dataclass(frozen=True, slots=True)
class ChannelCase:
    """One channel attention; tile None is the linearised form."""

    batch: int
    channels: int
    positions: int
    tile: int | None

    @property
    def name(self) -> str:
        form = "linear" if self.tile is None else f"tile {self.tile}"
        return f"channel attention B{self.batch} C{self.channels} D{self.positions} {form}"


def check_channel_attention(kernels: Kernels, until: float) -> Tally:
    """Every tile and the linearised form, with norm and residual."""
    import torch

    def check(case: ChannelCase, tally: Tally) -> None:
        random = torch.Generator("cuda").manual_seed(case.channels)
        stride = -(-case.positions // 8) * 8
        even = case.positions + case.positions % 2

        def normal(*shape: int) -> Any:
            return torch.randn(shape, generator=random, device="cuda")

        qkv = Guarded.holding(normal(case.batch, case.channels, 3, stride).half())
        residual = Guarded.holding(normal(case.batch, case.channels, even).half())
        gamma, beta = (Guarded.holding(normal(case.positions)) for _ in range(2))
        out = Guarded((case.batch, case.channels, even), torch.float16)
        given: dict[str, Any] = {"tile": case.tile}
        if case.tile is None:
            size = kernels.channel_workspace(qkv.tensor, case.positions)
            given = {"workspace": torch.empty(size, dtype=torch.uint8, device="cuda")}

        def launch() -> None:
            kernels.channel_attention(
                qkv.tensor, out.tensor, case.positions, gamma=gamma.tensor, beta=beta.tensor,
                residual=residual.tensor, stream=stream(), **given,
            )  # fmt: skip

        launch()
        exact = (one.tensor.double() for one in (qkv, gamma, beta, residual))
        expected = channel_definition(*exact, case.positions)
        found = errors(out.tensor[..., : case.positions], expected)
        tally.note("float16", found["rel_l2"])
        if not found["rel_l2"] <= CHANNEL_GATE:
            tally.fail(case.name, f"relative L2 error {found['rel_l2']:.2e}")
        if what := repeats_alike(launch, [out]):
            tally.fail(case.name, what)

    shapes = product((1, 3), (64, 384, 576, 768, 1152), (196, 49), (*range(5), None))
    return run_cases((ChannelCase(*one) for one in shapes), check, until)


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
        random = torch.Generator("cuda").manual_seed(case.width)
        shape = (case.rows, case.width)
        x, residual, gamma, beta = (
            Guarded.holding(torch.randn(size, generator=random, device="cuda").to(dtype))
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

    cases = (NormCase(*one) for one in product((1, 5, 1576), NORM_WIDTHS, NORM_GATES))
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


def stream() -> int:
    """Torch's current stream, as the binding takes it."""
    import torch

    return int(torch.cuda.current_stream().cuda_stream)
