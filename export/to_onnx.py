"""From a torch module to one ONNX graph. The only module here that imports torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnxscript import ir
from onnxscript.optimizer import fold_constants, remove_unused_nodes
from torch import nn

from export.graph import finish_graph
from export.half_weights import store_half
from sdk.errors import UsageError
from sdk.views import View

if TYPE_CHECKING:
    from numpy.typing import NDArray

Network = nn.Module
OPSET = 20  # the newest that TensorRT 10.3 reads


def load_model(model: str | nn.Module, weights: Path | None = None) -> nn.Module:
    """Build a network and load its weights.

    Args:
        model: "package.module:function" that returns a module, or the module.
        weights: State dictionary, .safetensors or torch's own; fp16 tensors become float32.
            None keeps the weights that the module has.

    Raises:
        UsageError: The name leads nowhere, or the weights do not fit.
    """
    network = _build(model) if isinstance(model, str) else model
    if weights is not None:
        try:
            network.load_state_dict(
                {name: tensor.float() if tensor.is_floating_point() else tensor
                 for name, tensor in _read_weights(weights).items()}
            )  # fmt: skip
        except (RuntimeError, OSError, ValueError, UnpicklingError) as error:
            raise UsageError(f"Weights {weights} do not fit the model: {error}.") from error
    return network.eval()


def export_onnx(
    model: nn.Module,
    views: Mapping[str, View],
    outputs: Sequence[str],
    *,
    opset: int = OPSET,
    half_weights: bool = True,
) -> onnx.ModelProto:
    """Trace a network in FP32 with batch 1 and static shapes.

    Args:
        model: Takes uint8 [N, H, W, 3] tensors named like `views` and returns float32 tensors in
            the order of `outputs`, each [1] or [1, K].
        views: The inputs in the order of the module's arguments.
        outputs: Names of what it returns.
        opset: ONNX operator set.
        half_weights: Store weights that fp16 holds exactly as fp16; scores keep every bit.

    Raises:
        UsageError: The module's inputs or outputs are others, or it permutes uint8.
    """
    arguments = {name: torch.zeros(view.shape, dtype=torch.uint8) for name, view in views.items()}
    with _quiet(), torch.no_grad():
        traced = _trace(model.eval(), arguments, outputs, opset)
        fold_constants(traced, onnx_shape_inference=True, output_size_limit=2**30)
        remove_unused_nodes(traced)
        graph = finish_graph(ir.to_proto(traced), views, outputs)
    return store_half(graph) if half_weights else graph


def run_torch(
    model: nn.Module, outputs: Sequence[str], inputs: Mapping[str, NDArray[np.uint8]]
) -> dict[str, NDArray[np.float32]]:
    """Run the original network on one frame.

    Args:
        model: The network.
        outputs: Names of what it returns.
        inputs: uint8 [N, H, W, 3] by name, in the order of the module's arguments.
    """
    with torch.no_grad():
        values = model(*(torch.from_numpy(array) for array in inputs.values()))
    values = (values,) if isinstance(values, torch.Tensor) else values
    return {name: value.numpy() for name, value in zip(outputs, values, strict=True)}


def _trace(
    model: nn.Module, arguments: Mapping[str, torch.Tensor], outputs: Sequence[str], opset: int
) -> ir.Model:
    try:
        program = torch.onnx.export(
            model,
            tuple(arguments.values()),  # distinct tensors: a shared one becomes a shared input
            dynamo=True,
            opset_version=opset,
            input_names=list(arguments),
            output_names=list(outputs),
            optimize=False,  # its rewriting would fold batch norms and round the weights anew
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        cause = _root_cause(error)
        raise UsageError(
            f"{type(model).__name__} cannot be traced: {type(cause).__name__}: {cause}.",
            hint="Replace the operation in the network's forward() that this names.",
        ) from error
    assert program is not None  # so typed for exports to a file
    return program.model


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _build(name: str) -> nn.Module:
    module, _, function = name.partition(":")
    try:
        network = getattr(import_module(module), function)()
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"Model {name!r} cannot be built: {error}.",
            hint="Give package.module:function, for example iqa.models.glint_edge:build",
        ) from error
    if isinstance(network, nn.Module):
        return network
    raise UsageError(f"{name} returns a {type(network).__name__}; it must return an nn.Module.")


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix != ".safetensors":
        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    from safetensors.torch import load_file

    return load_file(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on its own internals away from the user."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
