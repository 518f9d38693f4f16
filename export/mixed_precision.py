"""Graphs of fp16 or bf16 that keep float32 where a score depends on it.

TensorRT 11 and TensorRT-RTX have no precision flags: an engine computes in the types that the graph
says. So precision is decided here, once, from real frames, for every runtime.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import onnx
import onnx.version_converter

from export.activations import ActivationRange, measure_ranges
from export.int8.wiring import Wiring
from export.int8.work import multiply_adds
from export.precision.cancellation import keep_by_cancellation, keep_by_deviation
from export.precision.formats import Format, find_format, opset_of
from export.precision.ranges import Overflow, keep_by_constants, keep_by_range
from export.precision.regions import join_regions
from export.precision.rewrite import write_typed
from export.precision.rounding import NonFinite, emulate, find_nonfinite
from export.precision.rules import keep_by_rule
from export.precision.typed_graph import TypedGraph
from export.precision.vector_products import write_as_sums
from export.progress import silent
from sdk.errors import UsageError

if TYPE_CHECKING:
    from export.progress import Progress
    from export.reference import Inputs

__all__ = [
    "LowPrecision",
    "NonFinite",
    "Overflow",
    "emulate",
    "find_nonfinite",
    "to_low_precision",
]

JOINED: Final = "between fp32 nodes: casts would cost more"
MAX_ESCAPED: Final = 0.1
"""Share of the multiply-adds that may be float32 for their range; above, bf16 is the better way."""


@dataclass(frozen=True)
class LowPrecision:
    """A typed graph, and why it is as it is.

    Attributes:
        model: The graph; inputs and outputs have the types that they had.
        precision: "fp16" or "bf16".
        kept: Why a node is float32, by node, in the order of the graph.
        overflows: Tensors that would be infinite if their nodes were not kept.
        casts: How many Cast nodes there are, those of the uint8 inputs among them.
        share_of_nodes: Share of the float nodes that are of the short format.
        share_of_work: Share of the multiply-adds that are.
        escaped: Share of the multiply-adds that are float32 because of their range alone.
    """

    model: onnx.ModelProto
    precision: str
    kept: Mapping[str, str]
    overflows: tuple[Overflow, ...]
    casts: int
    share_of_nodes: float
    share_of_work: float
    escaped: float

    @property
    def wants_bf16(self) -> bool:
        """Whether range keeps so much in float32 that bf16 is the better way."""
        return self.precision == "fp16" and self.escaped > MAX_ESCAPED


def to_low_precision(
    model: onnx.ModelProto,
    frames: Sequence[Inputs],
    precision: str = "fp16",
    *,
    keep: Collection[str] = (),
    progress: Progress = silent,
) -> LowPrecision:
    """Write a strongly typed graph of fp16 or bf16, with float32 where it is needed.

    What stays float32: what a quality network needs (`export.precision.rules`), what the numbers on
    the frames need (`export.precision.ranges`, `export.precision.cancellation`), and what lies
    between and isn't worth its casts (`export.precision.regions`). Layer norms are short: the graph
    says that their statistics are float32 (`stash_type`). Q/DQ graphs keep their int8; scales
    become short where they keep their bits.

    Args:
        model: A canonical graph: float32 weights, uint8 inputs, named nodes; it is not changed.
        frames: Frames as they come in service, with their degradations; uint8 [N, H, W, 3] by
            input.
        precision: "fp16" or "bf16". A bf16 graph is of opset 22 or later, where operators take it.
        keep: Further nodes that stay float32.
        progress: Told how far the measuring is.

    Raises:
        UsageError: The precision or a node to keep is unknown, there are no frames, the graph
            isn't canonical, or gives NaN as it is.
        BackendError: ONNX Runtime is not installed.
    """
    form = find_format(precision)
    graph = TypedGraph(_raised(model, form), form)
    _check(graph, frames, keep)
    ranges = measure_ranges(model, frames, progress=progress)
    _check_outputs(graph, ranges, frames)
    by_range, overflows = keep_by_range(graph, ranges)
    outside = {**by_range, **keep_by_constants(graph)}
    reasons = {
        **keep_by_rule(graph),
        **keep_by_cancellation(graph, ranges),
        **keep_by_deviation(graph, model, frames),
        **outside,
        **dict.fromkeys(keep, "as asked"),
    }
    full = join_regions(graph, reasons)
    typed = _finish(_written(graph, full))
    work = multiply_adds(Wiring(graph.sized))

    def share(nodes: Collection[str]) -> float:
        return sum(work.get(name, 0) for name in nodes) / max(1, sum(work.values()))

    return LowPrecision(
        model=typed,
        precision=precision,
        kept={name: reasons.get(name, JOINED) for name in graph.nodes if name in full},
        overflows=overflows,
        casts=sum(node.op_type == "Cast" for node in typed.graph.node),
        share_of_nodes=1 - len(full) / len(graph.nodes),
        share_of_work=1 - share(full),
        escaped=share(outside),
    )


def _raised(model: onnx.ModelProto, form: Format) -> onnx.ModelProto:
    """The graph in an operator set that takes the format."""
    if opset_of(model) >= form.opset:
        return model
    raised: onnx.ModelProto = onnx.version_converter.convert_version(model, form.opset)
    raised.ir_version = max(raised.ir_version, model.ir_version)
    return raised


def _check(graph: TypedGraph, frames: Sequence[Inputs], keep: Collection[str]) -> None:
    if not frames:
        raise UsageError(
            "No frames to measure ranges on.",
            hint="Give frames as they come in service; export.frame_set collects some.",
        )
    unknown = sorted(set(keep) - graph.nodes.keys())
    if unknown:
        raise UsageError(f"The graph has no float node {', '.join(unknown)} to keep in fp32.")


def _check_outputs(
    graph: TypedGraph, ranges: Mapping[str, ActivationRange], frames: Sequence[Inputs]
) -> None:
    for name in sorted(graph.outputs & ranges.keys()):
        if not ranges[name].finite:
            raise UsageError(
                f"The graph's output {name} is NaN or infinite on these frames, in fp32 too, "
                f"first {find_nonfinite(graph.model, frames)}."
            )


def _written(graph: TypedGraph, full: Collection[str]) -> onnx.ModelProto:
    model = write_typed(graph, full)
    if graph.form.name == "fp16":  # what runs bf16 multiplies float32 matrices too
        write_as_sums(model, graph, full)
    return model


def _finish(model: onnx.ModelProto) -> onnx.ModelProto:
    """Infer all types and shapes anew; the checker refuses a type that doesn't fit."""
    typed = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(typed, full_check=True)
    return typed
