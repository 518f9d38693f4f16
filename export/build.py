"""From a trained network to a bundle: trace, check against torch, pack."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.description import Description
from export.graph import count_operators, count_parameters
from export.reference import run_onnx
from export.write_bundle import npz_bytes, write_bundle
from sdk import __version__
from sdk.bundle import Bundle
from sdk.errors import BundleError
from sdk.frames import as_frame
from sdk.golden import MAX_GOLDEN
from sdk.manifest import GoldenFile, Manifest, OnnxGraph
from sdk.views import View

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from export.to_onnx import Network

MAX_DRIFT = 0.05  # points between torch and the exported graph; float32 noise is far below
_TOOLS = ("torch", "onnx", "onnxscript", "onnxslim", "onnxruntime", "numpy")

Outputs = Mapping[str, "NDArray[np.float32]"]


def build_bundle(
    model: str | Network,
    weights: Path | None,
    golden_frames: Iterable[object],
    out: Path,
    description: Description,
    *,
    members: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Export a network, compare it with the original on golden frames, and write a bundle.

    Args:
        model: "package.module:function" that returns an nn.Module, or the module; see
            `export.to_onnx.export_onnx` for what it must take and return.
        weights: Its state dictionary; None if the module has its weights.
        golden_frames: 1 to 256 frames, as `sdk.frames.as_frame` takes them: of many contents and
            qualities, because backends and precisions are judged on them.
        out: Where the bundle goes.
        description: What the model is.
        members: Further files for the bundle by name, such as LICENSE or a model card.

    Returns:
        The bundle as it was written.

    Raises:
        UsageError: The model cannot be built or exported, or the weights do not fit.
        FrameError: A golden frame is none.
        BundleError: The graph computes other scores than the network, or the parts do not fit.
        SinkError: The bundle cannot be written.
    """
    from export.to_onnx import OPSET, export_onnx, load_model, run_torch

    network = load_model(model, weights)
    views = {view.input: View.parse(view.spec) for view in description.views}
    frames = [_gather(frame, views) for frame in golden_frames]
    if not frames:
        raise BundleError(
            f"No golden frames for {description.id}; a bundle needs 1 to {MAX_GOLDEN}.",
            hint="Give pictures of many contents and qualities.",
        )
    graph = export_onnx(network, views, description.outputs, opset=OPSET)
    data = graph.SerializeToString(deterministic=True)
    exported = run_onnx(data, frames)
    drift = _drift([run_torch(network, description.outputs, frame) for frame in frames], exported)
    _refuse_drift(drift, description.id)
    golden = _golden(frames, exported)
    manifest = Manifest(
        **{name: getattr(description, name) for name in description.__struct_fields__},
        onnx=OnnxGraph(file="model.onnx", opset=OPSET),
        golden=GoldenFile(file="golden.npz"),
        certificate=_certificate(graph, len(frames), drift),
    )
    return write_bundle(
        out, manifest, {**(members or {}), "model.onnx": data, "golden.npz": golden}
    )


def _gather(frame: object, views: Mapping[str, View]) -> dict[str, NDArray[np.uint8]]:
    picture = as_frame(frame)
    return {name: view.apply(picture) for name, view in views.items()}


def _golden(frames: Sequence[Mapping[str, NDArray[np.uint8]]], outputs: Sequence[Outputs]) -> bytes:
    """Pack the frames [G, H, W, 3] (or [G, N, H, W, 3]) and scores [G] of golden.npz."""
    stacked = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
    single = {name: x[:, 0] if x.shape[1] == 1 else x for name, x in stacked.items()}
    score = np.array([output["score"][0] for output in outputs], np.float32)
    return npz_bytes({**single, "score": score})


def _drift(expected: Sequence[Outputs], found: Sequence[Outputs]) -> dict[str, float]:
    """Largest difference over the frames for each output."""
    return {
        name: max(
            float(np.abs(one[name] - other[name]).max())
            for one, other in zip(expected, found, strict=True)
        )
        for name in expected[0]
    }


def _refuse_drift(drift: Mapping[str, float], name: str) -> None:
    if not drift["score"] <= MAX_DRIFT:
        raise BundleError(
            f"The exported graph of {name} scores the golden frames up to {drift['score']:.3g} "
            f"points off the original network; allowed are {MAX_DRIFT}.",
            hint="Does the network behave otherwise in training mode, or draw random numbers?",
        )


def _certificate(graph: onnx.ModelProto, frames: int, drift: Mapping[str, float]) -> dict[str, Any]:
    return {
        "graph": {
            "ir_version": graph.ir_version,
            "operators": count_operators(graph),
            "parameters": count_parameters(graph),
        },
        "golden": {
            "frames": frames,
            "reference": "onnxruntime fp32, one thread",
            "max_abs_difference_to_torch": dict(drift),
        },
        "tools": {
            "framescore": __version__,
            "python": platform.python_version(),
            **{tool: _version(tool) for tool in _TOOLS},
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
