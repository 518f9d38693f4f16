"""Run typed graphs on a CPU as an engine would: every short tensor is truly rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from export.activations import iterate_activations, tensor_chunks
from export.precision.formats import BF16, FP16, full_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.reference import Inputs

_SHORT: dict[int, str] = {form.kind: form.name for form in (FP16, BF16)}


@dataclass(frozen=True)
class NonFinite:
    """The first node that gives NaN or an infinity.

    Attributes:
        node: The node's name.
        operator: Its operator.
        tensor: What it gives.
        frame: Index of the frame where it does.
        value: "nan" or "inf".
    """

    node: str
    operator: str
    tensor: str
    frame: int
    value: str

    def __str__(self) -> str:
        value = "NaN" if self.value == "nan" else "infinity"
        return f"{value} at {self.node} ({self.operator}), frame {self.frame}"


def emulate(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write a float32 graph that rounds where a typed graph would.

    ONNX Runtime's CPU provider has few kernels for fp16 and none for bf16. It widens, and drops
    the casts between one widened node and the next, so on a CPU a typed fp16 graph runs in float32
    almost throughout, and overflows vanish. Here each node computes in float32 (as tensor cores
    accumulate) and then its result is cast to the short format and back; these casts are the
    graph's own and stay.

    Args:
        model: A typed graph; it is not changed.

    Returns:
        A graph with the same names of nodes and tensors, all of them float32.
    """
    kinds = _kinds(model)
    short = {name: kind for name, kind in kinds.items() if kind in _SHORT}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.data_type in _SHORT:
            tensor.CopyFrom(full_tensor(tensor, tensor.name))
    del copy.graph.value_info[:], copy.graph.node[:]
    for node in model.graph.node:
        copy.graph.node.extend(_rounded(node, short))
    return copy


def find_nonfinite(model: onnx.ModelProto, frames: Sequence[Inputs]) -> NonFinite | None:
    """Run a typed graph as an engine would and name the first node that gives NaN or infinity.

    Args:
        model: A typed graph, or a float32 one; it is not changed.
        frames: For each frame uint8 [N, H, W, 3] by input.

    Returns:
        The first such node in the order of the graph, and a frame that shows it; None if all
        values are finite.

    Raises:
        BackendError: ONNX Runtime is not installed.
    """
    emulated = emulate(model)
    made = {name: node for node in model.graph.node for name in node.output}
    kinds = _kinds(model)
    floats = [name for name in made if kinds.get(name) in {TensorProto.FLOAT, *_SHORT}]
    for chunk in tensor_chunks(emulated, floats):
        found: dict[str, tuple[int, str]] = {}
        for frame, values in enumerate(iterate_activations(emulated, frames, chunk)):
            for name in values.keys() - found.keys():
                if not np.isfinite(values[name]).all():
                    found[name] = frame, "nan" if np.isnan(values[name]).any() else "inf"
        for name in chunk:
            if name in found:
                return NonFinite(made[name].name, made[name].op_type, name, *found[name])
    return None


def _kinds(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    values = (*graph.value_info, *graph.input, *graph.output)
    return kinds | {value.name: value.type.tensor_type.elem_type for value in values}


def _rounded(node: onnx.NodeProto, short: Mapping[str, int]) -> list[onnx.NodeProto]:
    """The node in float32, then for each of its short outputs the rounding."""
    wide = onnx.NodeProto()
    wide.CopyFrom(node)
    for attribute in wide.attribute:
        if attribute.name in ("to", "output_dtype") and attribute.i in _SHORT:
            attribute.i = TensorProto.FLOAT
    nodes = [wide]
    for position, name in enumerate(node.output):
        if name in short:
            exact, rounded = f"{name}_exact", f"{name}_rounded"
            wide.output[position] = exact
            nodes += [
                helper.make_node("Cast", [exact], [rounded], name=rounded, to=short[name]),
                helper.make_node("Cast", [rounded], [name], name=f"{name}_widened",
                                 to=TensorProto.FLOAT),
            ]  # fmt: skip
    return nodes
