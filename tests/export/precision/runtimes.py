"""Runtimes that must take a typed graph, beside ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from export.reference import Inputs


def openvino_scores(graph: bytes, frames: Sequence[Inputs]) -> NDArray[np.float64]:
    """Scores on OpenVINO's CPU device [F]."""
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    model = core.compile_model(core.read_model(graph), "CPU", options)
    return np.array([model(dict(frame))["score"].item() for frame in frames])


def rtx_plan(graph: bytes) -> tuple[bytes, Counter[tuple[str, str]]]:
    """A strongly typed plan for one GPU generation, and its layers by kind and type."""
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(graph), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    layers = (network.get_layer(index) for index in range(network.num_layers))
    types = Counter((layer.type.name, layer.get_output(0).dtype.name) for layer in layers)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None
    return bytes(plan), types
