"""Graphs run as their types say: what CPU runtimes skip, and strongly typed engines do.

ONNX Runtime and OpenVINO compute fp16 graphs in FP32 on most CPUs and drop the rounding between two
such layers, with every optimisation off too. An overflow that ruins a score on a GPU is then
invisible. Written out as FP32 arithmetic with explicit casts, the rounding stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.reference import open_session
from sdk.backends.base import first_line
from sdk.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.reference import Inputs

TYPED: Final = "typed"  # the name among the backends

_LOW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")
# These move numbers and compute none: their outputs are rounded already.
_MOVES = {
    *("Concat", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice", "Split"),
    *("Squeeze", "Tile", "Transpose", "Unsqueeze", "Relu", "Neg", "Abs", "Max", "Min"),
}


class TypedBackend:
    """A graph on ONNX Runtime, one thread, every fp16 and bf16 tensor rounded to its type.

    Args:
        graph: The ONNX file.
        precision: What to call it.

    Raises:
        BackendError: ONNX Runtime is not installed, or cannot load the graph.
    """

    name = TYPED
    device = "CPU"
    lanes = 1

    def __init__(self, graph: bytes, precision: str) -> None:
        self.precision = precision
        typed = round_as_typed(onnx.load_model_from_string(graph))
        # Unfused: an int8 kernel would be another arithmetic than the graph's.
        try:
            self._session = open_session(typed.SerializeToString(), optimise=False)
        except BackendError:
            raise
        except Exception as error:  # the runtime's exceptions have no common base but this
            raise BackendError(f"ONNX Runtime cannot load it: {first_line(error)}.") from error
        self._names = [output.name for output in self._session.get_outputs()]

    def infer(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """Run one frame; see `sdk.backends.base.Backend`."""
        values = self._session.run(self._names, dict(inputs))
        return {name: value.ravel() for name, value in zip(self._names, values, strict=True)}

    def close(self) -> None:
        """Nothing is held that needs closing."""


def round_as_typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write low-precision arithmetic out as FP32 arithmetic with explicit rounding.

    Each operator computes in FP32 and its result is rounded to the type that the graph gives it:
    what a GPU does that multiplies in fp16 and adds up in FP32. Names of tensors stay.

    Args:
        model: A typed graph; it is not changed.

    Returns:
        A graph with equal inputs and outputs whose floating-point tensors are all FP32.
    """
    kinds = low_precision_tensors(model)
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    graph = typed.graph
    for tensor in graph.initializer:
        _widen(tensor)
    nodes = [part for node in model.graph.node for part in _in_fp32(node, kinds)]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    return typed


def low_precision_tensors(model: onnx.ModelProto) -> dict[str, int]:
    """Find the tensors that are fp16 or bf16: their ONNX type by name."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    kinds |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    return {name: kind for name, kind in kinds.items() if kind in _LOW}


def _in_fp32(node: onnx.NodeProto, kinds: Mapping[str, int]) -> Iterator[onnx.NodeProto]:
    wide = onnx.NodeProto()
    wide.CopyFrom(node)
    for attribute in wide.attribute:
        if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _LOW:
            attribute.i = TensorProto.FLOAT
        elif attribute.type == onnx.AttributeProto.TENSOR:
            _widen(attribute.t)
    rounded = [name for name in node.output if name in kinds and node.op_type not in _MOVES]
    wide.output[:] = [f"{name}__exact" if name in rounded else name for name in node.output]
    yield wide
    for name in rounded:
        low, kind = f"{name}__low", kinds[name]
        yield helper.make_node("Cast", [f"{name}__exact"], [low], name=f"{low}_cast", to=kind)
        yield helper.make_node("Cast", [low], [name], name=f"{name}__cast", to=TensorProto.FLOAT)


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in _LOW:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
