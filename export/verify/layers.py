"""Two forms of one graph, layer by layer: what each layer adds to the error.

Passes keep the names of tensors, so the tensors that both forms compute cut them into the same
layers. Each layer of the other form is run on the reference's values: an error found that way is
the layer's own, whatever happened before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from export.activations import CHUNK_BYTES, tensor_chunks
from export.mixed_precision import emulate
from export.precision.formats import BF16, FP16, Format, round_to
from export.progress import Progress, silent
from export.reference import open_session
from sdk.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.reference import Inputs

    Values = Mapping[str, NDArray[Any]]

_GIVEN = "__given"  # suffix of a tensor that is fed, where the graph computes one of its name too
_FORMATS = {form.kind: form for form in (FP16, BF16)}


@dataclass(frozen=True, slots=True)
class LayerError:
    """What one layer does to one tensor.

    Attributes:
        tensor: The layer's result.
        node: The node of the reference that computes it.
        operator: Its operator.
        low: Smallest value in the reference.
        high: Largest value in the reference.
        own: Relative error (L2) when the layer reads the reference's values; infinite if a value
            is not finite that should be.
        total: Relative error when all layers before it are of the other form too.
    """

    tensor: str
    node: str
    operator: str
    low: float
    high: float
    own: float
    total: float


class Forms:
    """A reference graph and another form of it, cut at the tensors that both compute.

    Args:
        reference: The FP32 graph.
        other: The form to examine; typed graphs are run as their types say.
        frame: The frame that both are run on.

    Attributes:
        reference: The FP32 graph.
        other: The other form in FP32 arithmetic, rounding written out.
        frame: The frame.
        shared: Tensors that both compute from the frame, in the order of the reference.

    Raises:
        UsageError: The graphs share no tensor.
    """

    def __init__(self, reference: onnx.ModelProto, other: onnx.ModelProto, frame: Inputs) -> None:
        self.reference = reference
        self.other = emulate(other)
        self.frame = frame
        self._kinds = {name: kind for name, (kind, _) in _types(other).items()}
        self._known: dict[str, NDArray[Any]] = {}
        computed, mine, its = _from_inputs(self.other), _types(reference), _types(self.other)
        self.shared = [x for x in _floats(reference) if x in computed and mine[x] == its.get(x)]
        if set(self.shared) <= {output.name for output in reference.graph.output}:
            raise UsageError(
                "The graphs share no tensor between input and score, so layers cannot be compared.",
                hint="Compare graphs that come from one export.",
            )

    def measure(self, progress: Progress = silent) -> list[LayerError]:
        """Measure every layer, in the order of the reference."""
        makers = {name: node for node in self.reference.graph.node for name in node.output}
        found = []
        for chunk in self._chunks():
            wanted = self.values(chunk)
            own, total = self.own(chunk), self.own(chunk, shared=())
            for name in chunk:
                value, node = wanted[name], makers[name]
                errors = relative_error(value, own[name]), relative_error(value, total[name])
                low, high = float(np.min(value)), float(np.max(value))
                found.append(LayerError(name, node.name, node.op_type, low, high, *errors))
            progress("layers", len(found), len(self.shared))
        return found

    def own(self, tensors: Sequence[str], shared: Collection[str] | None = None) -> Values:
        """Compute tensors in the other form, each from the reference's values.

        Args:
            tensors: What to compute.
            shared: Where layers begin; by default at every shared tensor.
        """
        part = cut(self.other, tensors, self.shared if shared is None else shared)
        given = [value.name.removesuffix(_GIVEN) for value in part.graph.input]
        values = self.values([name for name in given if name not in self.frame])
        feed = {f"{name}{_GIVEN}": self._as_typed(name, value) for name, value in values.items()}
        return _run(part, {**self.frame, **feed}, tensors)

    def values(self, tensors: Iterable[str]) -> Values:
        """The reference's values of tensors; some are kept for the next call."""
        names = list(tensors)
        missing = [name for name in names if name not in self._known]
        if missing:
            if sum(value.nbytes for value in self._known.values()) > CHUNK_BYTES:
                self._known = {name: self._known[name] for name in names if name in self._known}
            self._known |= _run(cut(self.reference, missing, ()), self.frame, missing)
        return {name: self._known[name] for name in names}

    def score_with(self, tensor: str, value: NDArray[Any]) -> float:
        """The reference's score if one tensor had another value."""
        part = cut(self.reference, ["score"], [tensor])
        return float(_run(part, {**self.frame, f"{tensor}{_GIVEN}": value}, ["score"])["score"][0])

    def own_error(self, tensors: Sequence[str], shared: Collection[str] | None = None) -> float:
        """The largest relative error of tensors as `own` computes them."""
        wanted, found = self.values(tensors), self.own(tensors, shared)
        return max(relative_error(wanted[name], found[name]) for name in tensors)

    def is_rescaled(self, tensor: str, noise: float) -> bool:
        """Whether a tensor is off, and a factor for each channel explains most of it."""
        wanted, found = self.values([tensor])[tensor], self.own([tensor])[tensor]
        error = relative_error(wanted, found)
        if not noise < error < np.inf:
            return False
        left = (_unexplained(wanted, found, axis) for axis in (1, -1) if wanted.ndim > 1)
        return min(left, default=error) < error / 4

    def readers(self, tensors: Collection[str]) -> list[str]:
        """The shared tensors whose layers would read one of `tensors`, were those not shared."""
        reach, shared = {*tensors}, {*self.shared} - {*tensors}
        found = []
        for node in self.other.graph.node:
            if reach.intersection(node.input):
                found += [name for name in node.output if name in shared]
                reach.update(name for name in node.output if name not in shared)
        return found

    def format_of(self, tensor: str) -> Format | None:
        """The short format that a tensor of the other form has; None if it is FP32."""
        return _FORMATS.get(self._kinds.get(tensor, TensorProto.FLOAT))

    def _chunks(self) -> list[list[str]]:
        return tensor_chunks(self.reference, self.shared)

    def _as_typed(self, name: str, value: NDArray[Any]) -> NDArray[Any]:
        """Round a value that is fed; what does not fit is the fault of the layer that made it."""
        form = self.format_of(name)
        if form is None:
            return value
        return np.clip(round_to(value, form), -form.largest, form.largest)


def align_names(reference: onnx.ModelProto, other: onnx.ModelProto) -> onnx.ModelProto:
    """Give the tensors of a graph the names of another export of the same network.

    Exporters number tensors, each version in its own way, so equal names may mean different things.

    Args:
        reference: Whose names are taken.
        other: The graph to rename, weights in FP32; it is not changed.

    Returns:
        `other` with the reference's names if both are the same operators in the same order;
        otherwise as it is.
    """
    nodes = [(node.op_type, len(node.output)) for node in reference.graph.node]
    if nodes != [(node.op_type, len(node.output)) for node in other.graph.node]:
        return other
    names = {
        name: wanted.output[place]
        for wanted, node in zip(reference.graph.node, other.graph.node, strict=True)
        for place, name in enumerate(node.output)
    }
    names |= {tensor.name: f"{tensor.name}__weight" for tensor in other.graph.initializer}
    renamed = onnx.ModelProto()
    renamed.CopyFrom(other)
    del renamed.graph.value_info[:]
    for tensor in renamed.graph.initializer:
        tensor.name = names[tensor.name]
    for node in renamed.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    return renamed


def relative_error(reference: NDArray[Any], found: NDArray[Any]) -> float:
    """Length of the difference over length of the reference; infinite where that is not finite."""
    if reference.shape != found.shape:
        return float("inf")
    same = reference == found  # infinities of masks among them
    if not np.isfinite(found[~same]).all():
        return float("inf")
    expected = np.where(np.isfinite(reference), reference, 0).astype(np.float64)
    difference = np.where(same, 0, found.astype(np.float64) - expected)
    length = float(np.linalg.norm(expected))
    return float(np.linalg.norm(difference)) / length if length else float(difference.any())


def _unexplained(wanted: NDArray[Any], found: NDArray[Any], axis: int) -> float:
    """Relative error that is left when each channel has the factor that fits it best."""
    x, y = (
        np.moveaxis(v, axis, 0).reshape(v.shape[axis], -1).astype(float) for v in (wanted, found)
    )
    size = (x * x).sum(axis=1)
    gain = np.divide((x * y).sum(axis=1), size, out=np.ones(len(x)), where=size > 0)
    return relative_error(y, gain[:, None] * x)


def cut(model: onnx.ModelProto, targets: Iterable[str], given: Iterable[str]) -> onnx.ModelProto:
    """Take the part of a graph that computes tensors from others.

    Args:
        model: A graph of FP32 arithmetic.
        targets: What to compute.
        given: Tensors that are fed, under their name and a suffix, wherever a node reads them.

    Returns:
        A graph whose inputs are those of `given`, and of the graph's own, that it needs.
    """
    targets = list(targets)
    fed, needed, read = {*given}, [*targets], set()
    makers = {name: node for node in model.graph.node for name in node.output}
    kept: set[int] = set()
    while needed:
        node = makers.get(needed.pop())
        if node is None or id(node) in kept:
            continue
        kept.add(id(node))
        read.update(node.input)
        needed += [name for name in node.input if name not in fed]
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = part.graph
    graph.name = model.graph.name
    for node in model.graph.node:
        if id(makers[node.output[0]]) in kept:
            graph.node.add().CopyFrom(node)
            graph.node[-1].input[:] = [f"{x}{_GIVEN}" if x in fed else x for x in node.input]
    graph.input.extend(value for value in model.graph.input if value.name in read - fed)
    graph.input.extend(_float(f"{name}{_GIVEN}") for name in sorted(read & fed))
    graph.output.extend(_float(name) for name in targets)
    graph.initializer.extend(x for x in model.graph.initializer if x.name in read)
    return part


def _run(part: onnx.ModelProto, feed: Values, tensors: Sequence[str]) -> dict[str, NDArray[Any]]:
    session = open_session(part.SerializeToString(), optimise=False)
    wanted = {value.name: feed[value.name] for value in part.graph.input}
    return dict(zip(tensors, session.run(list(tensors), wanted), strict=True))


def _float(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _floats(model: onnx.ModelProto) -> list[str]:
    """FP32 tensors that depend on the frame, in the order of the graph."""
    moving = _from_inputs(model)
    return [name for chunk in tensor_chunks(model) for name in chunk if name in moving]


def _from_inputs(model: onnx.ModelProto) -> set[str]:
    """Tensors that depend on the graph's inputs."""
    moving = {value.name for value in model.graph.input}
    for node in model.graph.node:
        if moving.intersection(node.input):
            moving.update(node.output)
    return moving


def _types(model: onnx.ModelProto) -> dict[str, tuple[int, tuple[int, ...]]]:
    """ONNX type and sides of what a graph computes, by tensor."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            tuple(side.dim_value for side in value.type.tensor_type.shape.dim),
        )
        for value in (*graph.value_info, *graph.output)
    }
