"""Scores of a quantised graph as exact arithmetic gives them, in float and fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from export.reference import Inputs


def emulate_scores(model: onnx.ModelProto, frames: Sequence[Inputs]) -> NDArray[np.float64]:
    """Run a Q/DQ graph on frames with every value rounded as it says and products in float.

    Products of int8 values are sums of integers below 2^24 in all but the widest layers, so
    float32 gives what int32 would, up to the last bits. Runtimes' own integer kernels may not:
    on x86 without VNNI they saturate, so ONNX Runtime is kept from using them.

    Args:
        model: The graph.
        frames: For each frame uint8 [N, H, W, 3] by input.

    Returns:
        The scores [F].
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    scores = [session.run(["score"], dict(frame))[0].item() for frame in frames]
    return np.array(scores, np.float64)
