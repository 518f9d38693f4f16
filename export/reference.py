"""The FP32 reference: what a graph computes on ONNX Runtime with one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sdk.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def run_onnx(
    graph: bytes, frames: Sequence[Mapping[str, NDArray[np.uint8]]]
) -> list[dict[str, NDArray[np.float32]]]:
    """Run a graph on frames, one after another.

    Args:
        graph: The ONNX file.
        frames: For each frame uint8 [N, H, W, 3] by input.

    Returns:
        For each frame float32 by output.

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
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, dict(frame)), strict=True)) for frame in frames]
