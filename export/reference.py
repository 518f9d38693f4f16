"""The FP32 reference: what a graph computes on ONNX Runtime with one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sdk.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Inputs: TypeAlias = "Mapping[str, NDArray[np.uint8]]"
"""One frame as a network takes it: uint8 [N, H, W, 3] by input."""

Outputs: TypeAlias = "Mapping[str, NDArray[np.float32]]"
"""What a network says of one frame: float32 by output."""


def run_onnx(graph: bytes, frames: Sequence[Inputs]) -> list[dict[str, NDArray[np.float32]]]:
    """Run a graph on frames, one after another.

    Args:
        graph: The ONNX file.
        frames: For each frame uint8 [N, H, W, 3] by input.

    Returns:
        For each frame float32 by output.

    Raises:
        BackendError: ONNX Runtime is not installed.
    """
    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, dict(frame)), strict=True)) for frame in frames]


def run_scores(graph: bytes, frames: Sequence[Inputs]) -> NDArray[np.float64]:
    """Run a graph on frames and keep the scores alone, [F].

    Args:
        graph: The ONNX file; its output `score` has one number.
        frames: For each frame uint8 [N, H, W, 3] by input.

    Raises:
        BackendError: ONNX Runtime is not installed.
    """
    scores = [output["score"].item() for output in run_onnx(graph, frames)]
    return np.array(scores, np.float64)


def open_session(graph: bytes, *, optimise: bool = True) -> Any:
    """Open a session on one thread.

    Args:
        graph: The ONNX file.
        optimise: False runs the nodes as they are, none folded, fused or dropped.

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        BackendError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        raise BackendError(
            f"Golden scores are computed with ONNX Runtime, which cannot be imported ({error}).",
            hint="Install it: pip install 'framescore[onnxruntime]'",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
