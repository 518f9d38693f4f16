"""Bundles that hold their network in several precisions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.write_bundle import write_bundle
from sdk.backends.registry import create_backend
from sdk.bundle import Bundle
from sdk.errors import BundleError
from sdk.manifest import OnnxGraph
from sdk.scorer import Scorer

from .tiny_model import FULL, tiny_golden, tiny_manifest, tiny_onnx

BACKENDS = ("openvino", "onnxruntime")


def scaled_onnx(factor: float) -> bytes:
    """The tiny network with its scores multiplied."""
    model = onnx.load(io.BytesIO(tiny_onnx()))
    [per_unit] = [x for x in model.graph.initializer if x.name == "per_unit"]
    scaled = np.array([factor * 100 / FULL], np.float32)
    per_unit.CopyFrom(numpy_helper.from_array(scaled, "per_unit"))
    return model.SerializeToString()


def free_batch_onnx() -> bytes:
    model = onnx.load(io.BytesIO(tiny_onnx()))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model.SerializeToString()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    factors = {"int8": 1.01, "fp16": 0.999, "int8+fp16": 1.5}
    files = {name: f"{name.replace('+', '-')}.onnx" for name in factors}
    members = {files[name]: scaled_onnx(factor) for name, factor in factors.items()}
    variants = tuple(OnnxGraph(file=file, opset=20, precision=name) for name, file in files.items())
    members |= {"model.onnx": tiny_onnx(), "golden.npz": tiny_golden()}
    path = tmp_path_factory.mktemp("variants") / "tiny.framescore"
    return write_bundle(path, tiny_manifest(variants=variants), members)


def test_the_reference_comes_first(bundle: Bundle) -> None:
    precisions = [graph.precision for graph in bundle.graphs()]
    assert precisions == ["fp32", "int8", "fp16", "int8+fp16"]
    assert bundle.graph("fp32") == bundle.onnx == tiny_onnx()
    assert bundle.graph("int8") == scaled_onnx(1.01)


def test_a_graph_that_is_not_there_is_named_with_those_that_are(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"has no bf16 graph; it has fp32 compat, int8 compat"):
        bundle.graph("bf16")
    with pytest.raises(BundleError, match="has no int8 native-attention graph"):
        bundle.graph("int8", "native-attention")


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("precision", "factor"), [("fp32", 1), ("int8", 1.01), ("fp16", 0.999)])
def test_each_precision_runs_its_own_graph(
    bundle: Bundle, name: str, precision: str, factor: float
) -> None:
    backend = create_backend(bundle, name, precision)
    assert backend.precision == precision
    for inputs, score in zip(bundle.golden.frames(), bundle.golden.score, strict=True):
        assert backend.infer(inputs)["score"][0] == pytest.approx(score * factor, rel=1e-4)


def test_auto_stays_with_the_reference(bundle: Bundle) -> None:
    with Scorer(bundle) as scorer:
        assert scorer.precision in ("fp32", "bf16")


def test_results_say_the_precision(bundle: Bundle) -> None:
    with Scorer(bundle, precision="int8") as scorer:
        assert scorer.score(np.full((300, 300, 3), 90, np.uint8)).precision == "int8"


@pytest.mark.parametrize("name", BACKENDS)
def test_drift_beyond_the_expected_is_warned_of(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    members = {"model.onnx": tiny_onnx(), "golden.npz": tiny_golden(), "x.onnx": scaled_onnx(1.2)}
    manifest = tiny_manifest(variants=(OnnxGraph(file="x.onnx", opset=20, precision="int8"),))
    create_backend(write_bundle(tmp_path / "x.framescore", manifest, members), name, "int8")
    assert "in int8 drifts by" in caplog.text


@pytest.mark.parametrize("name", BACKENDS)
def test_a_declared_free_batch_is_scored_frame_by_frame(tmp_path: Path, name: str) -> None:
    members = {"model.onnx": free_batch_onnx(), "golden.npz": tiny_golden()}
    manifest = tiny_manifest(
        onnx=OnnxGraph(file="model.onnx", opset=20, dynamic_batch=True),
        outputs=("score",),
        distortion_labels=(),
    )
    model = onnx.load(io.BytesIO(members["model.onnx"]))
    del model.graph.output[1:]
    members["model.onnx"] = model.SerializeToString()
    bundle = write_bundle(tmp_path / "free.framescore", manifest, members)
    backend = create_backend(bundle, name)
    [first, *_] = bundle.golden.frames()
    assert backend.infer(first)["score"][0] == pytest.approx(bundle.golden.score[0], rel=1e-6)
