"""From an ONNX file that somebody else exported to the graph of a bundle; no torch needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import onnx
from onnx import TensorProto, version_converter

from export.convention import ImageConvention
from export.fold import fit_input, fold, image_input
from export.graph import MAX_IR_VERSION, OPSETS, finish_graph
from export.reference import open_session
from export.shapes import shape_of
from sdk.errors import UsageError
from sdk.views import View

if TYPE_CHECKING:
    from export.reference import Inputs, Outputs

OLDEST_OPSET: Final = 17  # the first in which LayerNormalization is one operator


@dataclass(frozen=True)
class OnnxOriginal:
    """An ONNX file from pictures to a number, as `export.original.Original`.

    Attributes:
        path: The file.
        model: Its graph.
        view: What it takes, with the name of the bundle's input.
        convention: How it reads pixels, and what its number means.
    """

    path: Path
    model: onnx.ModelProto
    view: tuple[str, View]
    convention: ImageConvention

    outputs = ("score",)

    @property
    def name(self) -> str:
        """The file."""
        return str(self.path)

    @property
    def views(self) -> Mapping[str, View]:
        """The one input."""
        return dict([self.view])

    def graph(self, profile: str = "compat", *, dynamic_batch: bool = False) -> onnx.ModelProto:
        """Fold the file's graph; see `export.original.Original.graph`."""
        model = _with_opset(self.model, profile, self.name)
        folded = fold(model, *self.view, self.convention, dynamic_batch=dynamic_batch)
        return finish_graph(folded, self.views, self.outputs, dynamic_batch=dynamic_batch)

    def run(self, inputs: Inputs) -> Outputs:
        """Run the file as it is on ONNX Runtime, with pixels and score computed in numpy."""
        [pictures] = inputs.values()
        source = onnx.ValueInfoProto()
        source.CopyFrom(image_input(self.model.graph))
        channels_first = fit_input(source, self.view[1])
        if source.type.tensor_type.elem_type == TensorProto.UINT8:
            values = pictures.transpose(0, 3, 1, 2) if channels_first else pictures
        else:
            values = self.convention.pixels(pictures, channels_first=channels_first)
        names = [output.name for output in self._session.get_outputs()]
        found = dict(zip(names, self._session.run(names, {source.name: values}), strict=True))
        shapes = {name: value.shape for name, value in found.items()}
        chosen = self.convention.choose(shapes, len(pictures))
        return {"score": self.convention.score(found[chosen])}

    @cached_property
    def _session(self) -> Any:
        return open_session(self.model.SerializeToString())


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was read.

    Attributes:
        path: The file.
        model: Its graph.
    """

    path: Path
    model: onnx.ModelProto

    def seen_through(self, view: tuple[str, View], convention: ImageConvention) -> OnnxOriginal:
        """Say what it takes, and how it reads pixels."""
        return OnnxOriginal(self.path, self.model, view, convention)


def load_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file, with weights that lie beside it.

    Raises:
        UsageError: It is missing, damaged or no ONNX.
    """
    try:
        model = onnx.load(path)
        if not model.graph.node:
            raise ValueError("it holds no graph")
    except Exception as error:  # protobuf's DecodeError is nobody's subclass
        reason = getattr(error, "strerror", None) or str(error).rstrip(".") or "it is damaged"
        raise UsageError(
            f"{path} cannot be read as ONNX: {reason}.",
            hint="Weights in files of their own must lie beside it.",
        ) from error
    return OnnxFile(path, model)


def fixed_size(file: OnnxFile) -> str | None:
    """Return the view that fits a graph of one fixed size, or None if it takes any.

    Raises:
        UsageError: It has several inputs, or takes other numbers than float32 and uint8.
    """
    sides = shape_of(image_input(file.model.graph))
    if len(sides) != 4:
        return None
    height, width = sides[2:] if sides[1] == 3 else sides[1:3]
    fixed = isinstance(height, int) and isinstance(width, int)
    return f"resize:{height}x{width}" if fixed else None


def _with_opset(model: onnx.ModelProto, profile: str, name: str) -> onnx.ModelProto:
    """Bring a graph into a profile's operator set.

    A newer set is lowered by declaring the older one: most operators are the same in both, the
    checker refuses the others, and scores are compared with the original's anyway.
    """
    newest = OPSETS[profile]
    opset = next((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), 1)
    if profile == "native-attention" and not any(
        n.op_type == "Attention" for n in model.graph.node
    ):
        raise UsageError(
            f"{name} (opset {opset}) holds no Attention operator; the profile native-attention "
            "needs them.",
            hint="Export it with opset 23, export the torch model (--torch), or leave --profile "
            "away.",
        )
    if opset < OLDEST_OPSET:
        return _raise_opset(model, opset, name)
    if opset <= newest:
        return model
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    for entry in lowered.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = newest
    context = onnx.checker.C.CheckerContext()
    context.ir_version, context.opset_imports = MAX_IR_VERSION, {"": newest}
    try:
        for node in lowered.graph.node:
            onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        raise UsageError(
            f"{name} has opset {opset} and operators that opset {newest} lacks: "
            f"{str(error).splitlines()[0].rstrip('.')}.",
            hint=f"Export it with opset {newest} (torch.onnx.export(..., opset_version={newest})).",
        ) from error
    return lowered


def _raise_opset(model: onnx.ModelProto, opset: int, name: str) -> onnx.ModelProto:
    try:
        raised: onnx.ModelProto = version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:  # the converter raises RuntimeError for what it lacks, and others
        raise UsageError(
            f"{name} has opset {opset}, which cannot be raised to {OLDEST_OPSET}: "
            f"{(str(error).splitlines() or ['no reason given'])[0].rstrip('.')}.",
            hint=f"Export it with an opset from {OLDEST_OPSET} to {OPSETS['compat']}.",
        ) from error
    return raised
