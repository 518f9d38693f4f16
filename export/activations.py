"""What flows between the layers of a graph on real frames: values and their ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import nan, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from export.progress import silent
from export.reference import open_session
from sdk.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.progress import Progress
    from export.reference import Inputs

CHUNK_BYTES = 256 << 20
"""What the tensors of one chunk may take together; a single larger tensor makes its own chunk."""

_FLOATS: dict[int, int] = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2}  # bytes; numpy has both


@dataclass(frozen=True)
class ActivationRange:
    """Extremes of one tensor over all frames; NaN and infinities only clear `finite`.

    Attributes:
        minimum: Smallest finite value; NaN if the tensor never had a finite one.
        maximum: Largest finite value; NaN likewise.
        absmax: Largest finite magnitude; NaN likewise.
        finite: No frame gave NaN or an infinity.
    """

    minimum: float
    maximum: float
    absmax: float
    finite: bool


def iterate_activations(
    model: onnx.ModelProto, frames: Iterable[Inputs], tensors: Sequence[str] | None = None
) -> Iterator[dict[str, NDArray[Any]]]:
    """Run a graph and show what its nodes compute.

    The graph runs as it is, without fusion or folding, so every tensor exists and scores are those
    of the nodes one after another. One yielded dictionary holds all tensors asked for, of one
    frame: ask for a chunk of `tensor_chunks` at a time where memory matters.

    Args:
        model: A graph; it is not changed.
        frames: For each frame uint8 [N, H, W, 3] by input.
        tensors: Names of node outputs; None for all that are float32 or float16.

    Yields:
        For each frame the tensors by name, in the order of the nodes.

    Raises:
        UsageError: The graph has no float tensor of such a name.
        BackendError: ONNX Runtime is not installed.
    """
    names = _chosen(model, tensors)
    session = open_session(_expose(model, names).SerializeToString(), optimise=False)
    for frame in frames:
        yield dict(zip(names, session.run(names, dict(frame)), strict=True))


def measure_ranges(
    model: onnx.ModelProto,
    frames: Sequence[Inputs],
    tensors: Sequence[str] | None = None,
    *,
    progress: Progress = silent,
) -> dict[str, ActivationRange]:
    """Find the extremes of a graph's tensors over frames.

    Tensors are taken in chunks of at most `CHUNK_BYTES`; each chunk runs all frames once. So
    memory holds the graph, one chunk and what ONNX Runtime needs to run the graph at all.

    Args:
        model: A graph; it is not changed.
        frames: For each frame uint8 [N, H, W, 3] by input.
        tensors: Names of node outputs; None for all that are float32 or float16.
        progress: Told of every frame.

    Returns:
        Ranges by tensor, in the order of the nodes.

    Raises:
        UsageError: The graph has no float tensor of such a name.
        BackendError: ONNX Runtime is not installed.
    """
    chunks = tensor_chunks(model, tensors)
    ranges: dict[str, ActivationRange] = {}
    for number, chunk in enumerate(chunks):
        for step, values in enumerate(iterate_activations(model, frames, chunk), 1):
            for name, value in values.items():
                ranges[name] = _joined(ranges.get(name), _range(value))
            progress("ranges", number * len(frames) + step, len(chunks) * len(frames))
    return ranges


def tensor_chunks(
    model: onnx.ModelProto, tensors: Sequence[str] | None = None, limit: int = CHUNK_BYTES
) -> list[list[str]]:
    """Divide a graph's float tensors into runs of at most `limit` bytes each.

    Args:
        model: A graph; sides of unknown length count as 1.
        tensors: Names of node outputs; None for all that are float32 or float16.
        limit: Bytes; a tensor that exceeds it alone makes a chunk of its own.

    Returns:
        Names in the order of the nodes.

    Raises:
        UsageError: The graph has no float tensor of such a name.
    """
    sizes = _float_tensors(model)
    chunks: list[list[str]] = []
    room = 0
    for name in _chosen(model, tensors):
        if sizes[name] > room:
            chunks.append([])
            room = limit
        chunks[-1].append(name)
        room -= sizes[name]
    return chunks


def _chosen(model: onnx.ModelProto, tensors: Sequence[str] | None) -> list[str]:
    known = _float_tensors(model)
    if tensors is None:
        return list(known)
    unknown = sorted(set(tensors) - known.keys())
    if unknown:
        raise UsageError(
            f"The graph computes no float tensor {', '.join(unknown)}.",
            hint="Tensors are named by the outputs of nodes; weights and inputs are none.",
        )
    wanted = set(tensors)
    return [name for name in known if name in wanted]


def _float_tensors(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of every float tensor that a node computes, in the order of the nodes."""
    kinds = _kinds(model)
    sizes = {}
    for node in model.graph.node:
        for name in node.output:
            kind, shape = kinds.get(name, (TensorProto.UNDEFINED, ()))
            if kind in _FLOATS:
                sizes[name] = _FLOATS[kind] * prod(shape)
    return sizes


def _kinds(model: onnx.ModelProto) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element type and shape by tensor, inferred where the graph does not say them."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            tuple(side.dim_value or 1 for side in value.type.tensor_type.shape.dim),
        )
        for value in (*graph.value_info, *graph.output)
    }


def _expose(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Make tensors outputs of the graph, and only them."""
    kinds = _kinds(model)
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(
        helper.make_tensor_value_info(name, kinds[name][0], None) for name in names
    )
    return exposed


def _range(value: NDArray[Any]) -> ActivationRange:
    finite = np.isfinite(value)
    whole = bool(finite.all())
    values = value if whole else value[finite]
    if not values.size:
        return ActivationRange(nan, nan, nan, whole)
    low, high = float(values.min()), float(values.max())
    return ActivationRange(low, high, max(-low, high), whole)


def _joined(one: ActivationRange | None, other: ActivationRange) -> ActivationRange:
    if one is None:
        return other
    finite = one.finite and other.finite
    # fmin and fmax pass over NaN, which here means "no finite value yet".
    low = float(np.fmin(one.minimum, other.minimum))
    high = float(np.fmax(one.maximum, other.maximum))
    return ActivationRange(low, high, float(np.fmax(one.absmax, other.absmax)), finite)
