"""What every backend must do, on each that is installed here."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from export.write_bundle import write_bundle
from sdk.backends import BACKENDS, Backend, create_backend
from sdk.bundle import Bundle
from sdk.errors import BackendError, BundleError

from ..tiny_model import (
    FULL,
    OUTPUTS,
    SIGMA,
    UNCERTAINTY,
    tiny_features,
    tiny_manifest,
    tiny_members,
    tiny_onnx,
    tiny_score,
    write_rich_bundle,
)

Inputs = dict[str, NDArray[np.uint8]]


@pytest.fixture(params=list(BACKENDS))
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(BACKENDS[request.param].package)
    return str(request.param)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


@pytest.fixture(params=[1, 3], ids=["one lane", "three lanes"])
def backend(request: pytest.FixtureRequest, name: str, bundle: Bundle) -> Iterator[Backend]:
    opened = create_backend(bundle, name, "fp32", threads=3, lanes=request.param)
    assert opened.lanes == request.param
    yield opened
    opened.close()


def frames(count: int) -> list[Inputs]:
    random = np.random.default_rng(3)
    return [
        {
            name: random.integers(0, 2 + 30 * i, (1, 224, 224, 3), np.uint8)
            for name in ("fragments", "resize")
        }
        for i in range(count)
    ]


def test_computes_the_network(backend: Backend, name: str) -> None:
    assert (backend.name, backend.precision) == (name, "fp32")
    assert backend.device
    for inputs in frames(4):
        outputs = backend.infer(inputs)
        assert {k: v.shape for k, v in outputs.items()} == {
            "score": (1,),
            "mos": (1,),
            "sigma": (1,),
            "distortions": (3,),
        }
        assert all(values.dtype == np.float32 for values in outputs.values())
        assert outputs["score"][0] == pytest.approx(tiny_score(inputs), rel=1e-6)
        assert outputs["mos"][0] == pytest.approx(1 + tiny_score(inputs) / 25, rel=1e-6)
        assert outputs["sigma"][0] == SIGMA
        assert outputs["distortions"].sum() == pytest.approx(1, abs=1e-6)


def test_results_belong_to_the_caller(backend: Backend) -> None:
    dark, bright = frames(2)
    first = backend.infer(dark)
    kept = {name: values.copy() for name, values in first.items()}
    backend.infer(bright)
    for name, values in first.items():
        np.testing.assert_array_equal(values, kept[name])
        values[:] = -1  # writing into them must not reach the backend
    np.testing.assert_array_equal(backend.infer(dark)["sigma"], [SIGMA])


def test_many_threads_get_the_bits_of_one(backend: Backend) -> None:
    inputs = frames(6)
    alone = [backend.infer(item) for item in inputs]
    with ThreadPoolExecutor(8) as pool:
        for index, outputs in enumerate(pool.map(backend.infer, inputs * 20)):
            for name, values in outputs.items():
                np.testing.assert_array_equal(values, alone[index % 6][name])


def test_lanes_agree_to_the_last_bit(name: str, bundle: Bundle) -> None:
    one = create_backend(bundle, name, "fp32", lanes=1)
    three = create_backend(bundle, name, "fp32", threads=3, lanes=3)
    for inputs in frames(3):
        assert one.infer(inputs)["score"] == three.infer(inputs)["score"]


def test_closed_backend_refuses(backend: Backend) -> None:
    inputs = frames(1)[0]
    backend.infer(inputs)
    backend.close()
    backend.close()
    for _ in range(4):
        with pytest.raises(BackendError, match=f"The {backend.name} backend is closed"):
            backend.infer(inputs)


def test_close_while_threads_are_at_work(backend: Backend) -> None:
    """Each call either gives a good result or the error of a closed backend; none hangs."""
    inputs = frames(1)[0]
    started = threading.Barrier(7)

    def work() -> int:
        started.wait(30)
        for count in range(10_000):
            try:
                assert backend.infer(inputs)["sigma"] == SIGMA
            except BackendError as error:
                assert "closed" in str(error)  # noqa: PT017 - the loop ends here, in any thread
                return count
        pytest.fail("close() had no effect")

    with ThreadPoolExecutor(6) as pool:
        counts = [pool.submit(work) for _ in range(6)]
        started.wait(30)
        backend.close()
        assert all(future.result(timeout=60) >= 0 for future in counts)


def rewritten(tmp_path: Path, graph: bytes, **changes: object) -> Bundle:
    members = {**tiny_members(), "model.onnx": graph}
    return write_bundle(tmp_path / "other.framescore", tiny_manifest(**changes), members)


def edited_onnx(old: str, new: str) -> bytes:
    """The tiny network with one of its values renamed everywhere."""
    model = onnx.load(io.BytesIO(tiny_onnx()))
    for value in [*model.graph.input, *model.graph.output]:
        value.name = new if value.name == old else value.name
    for node in model.graph.node:
        node.input[:] = [new if edge == old else edge for edge in node.input]
        node.output[:] = [new if edge == old else edge for edge in node.output]
    return model.SerializeToString()


def test_renamed_input_is_named(name: str, tmp_path: Path) -> None:
    bundle = rewritten(tmp_path, edited_onnx("resize", "whole"))
    with pytest.raises(BundleError, match=r"input 'resize' of model\.onnx is missing"):
        create_backend(bundle, name)


def test_input_of_another_shape_is_named(name: str, tmp_path: Path) -> None:
    model = onnx.load(io.BytesIO(tiny_onnx()))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32
    bundle = rewritten(tmp_path, model.SerializeToString())
    with pytest.raises(BundleError, match=r"'fragments' .* is uint8 \[1, 224, 32, 3\]; .*224, 224"):
        create_backend(bundle, name)


def test_outputs_keep_their_names_when_a_chain_is_fused(name: str, tmp_path: Path) -> None:
    """OpenVINO gives the value of a fused chain the names of all its links."""
    model = onnx.load(io.BytesIO(tiny_onnx()))
    graph = model.graph
    graph.node.remove(next(node for node in graph.node if "sigma" in node.output))
    graph.node.extend(
        [
            helper.make_node("MatMul", ["rows", "per_row"], ["shares"]),
            helper.make_node("Squeeze", ["shares", "axis_row"], ["logit"]),
            helper.make_node("Clip", ["logit", "low", "high"], ["clamp"]),
            helper.make_node("Mul", ["clamp", "quarter"], ["half"]),
            helper.make_node("Exp", ["half"], ["exp"]),
            helper.make_node("Mul", ["exp", "two_and_half"], ["mul"]),
            helper.make_node("Add", ["mul", "one"], ["sigma"]),
        ]
    )
    graph.initializer.append(helper.make_tensor("per_row", 1, [224, 1], [4 / FULL] * 224))
    bounds = {"low": -8.0, "high": 4.0}
    graph.initializer.extend(helper.make_tensor(k, 1, [], [v]) for k, v in bounds.items())
    backend = create_backend(rewritten(tmp_path, model.SerializeToString()), name, "fp32")
    inputs = frames(2)[1]
    outputs = backend.infer(inputs)
    assert set(outputs) == {"score", "mos", "sigma", "distortions"}
    expected = 1 + SIGMA * np.exp(0.25 * tiny_score(inputs) / 25)
    assert outputs["sigma"][0] == pytest.approx(expected, rel=1e-4)  # vector exp is no exact one


def test_free_batch_size_is_refused(name: str, tmp_path: Path) -> None:
    model = onnx.load(io.BytesIO(tiny_onnx()))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    bundle = rewritten(tmp_path, model.SerializeToString())
    with pytest.raises(BundleError, match=r"'fragments' .* is uint8 \[-1, 224, 224, 3\]"):
        create_backend(bundle, name)


def test_output_that_the_manifest_does_not_know(name: str, tmp_path: Path) -> None:
    bundle = rewritten(tmp_path, tiny_onnx(), outputs=("score",), distortion_labels=())
    with pytest.raises(BundleError, match=r"output 'distortions' .* asks for missing"):
        create_backend(bundle, name)


def test_wrong_number_of_labels(name: str, tmp_path: Path) -> None:
    bundle = rewritten(tmp_path, tiny_onnx(), distortion_labels=("a", "b"))
    with pytest.raises(BundleError, match=r"'distortions' .* \[1, 3\]; .* \[1, 2\]"):
        create_backend(bundle, name)


@pytest.mark.parametrize("graph", [b"not an onnx file", b"", tiny_onnx()[:400]])
def test_broken_network(name: str, tmp_path: Path, graph: bytes) -> None:
    with pytest.raises((BackendError, BundleError), match=r"model\.onnx") as caught:
        create_backend(rewritten(tmp_path, graph), name)
    assert "other.framescore" in str(caught.value)


@pytest.mark.parametrize("lanes", [1, 3])
def test_features_come_only_when_asked_for(name: str, rich_bundle: Path, lanes: int) -> None:
    bundle = Bundle.load(rich_bundle)
    plain = create_backend(bundle, name, "fp32", threads=3, lanes=lanes)
    asked = create_backend(bundle, name, "fp32", threads=3, lanes=lanes, features=True)
    for inputs in frames(3):
        without, outputs = plain.infer(inputs), asked.infer(inputs)
        assert list(without) == [*OUTPUTS, "uncertainty", "scenes"]
        assert set(outputs) - set(without) == {"features"}
        np.testing.assert_allclose(outputs["features"], tiny_features(inputs), rtol=1e-6)
        for output in without:
            np.testing.assert_array_equal(outputs[output], without[output])
        np.testing.assert_array_equal(outputs["uncertainty"], [*UNCERTAINTY.values()])


def test_asking_a_model_without_features(name: str, bundle: Bundle) -> None:
    backend = create_backend(bundle, name, "fp32", features=True)
    assert list(backend.infer(frames(1)[0])) == list(OUTPUTS)


def test_uncertainty_of_another_width_is_named(name: str, tmp_path: Path) -> None:
    labels = ("task", "light", "motion")
    path = write_rich_bundle(tmp_path / "rich.framescore", uncertainty_labels=labels)
    with pytest.raises(BundleError, match=r"'uncertainty' .* \[1, 2\]; .* \[1, 3\]"):
        create_backend(Bundle.load(path), name)


def test_scenes_of_another_width_are_named(name: str, tmp_path: Path) -> None:
    path = write_rich_bundle(tmp_path / "rich.framescore", scene_labels=("night", "day"))
    with pytest.raises(BundleError, match=r"'scenes' .* \[1, 3\]; .* \[1, 2\]"):
        create_backend(Bundle.load(path), name)


def test_features_must_be_one_row(name: str, tmp_path: Path) -> None:
    model = onnx.load(io.BytesIO(tiny_onnx(("score", "features"))))
    model.graph.node.append(helper.make_node("Squeeze", ["row", "axis_batch"], ["features"]))
    for node in model.graph.node:
        node.output[:] = ["row" if x == "features" and node.op_type == "Mul" else x
                          for x in node.output]  # fmt: skip
    del model.graph.output[1].type.tensor_type.shape.dim[0]
    bundle = rewritten(
        tmp_path, model.SerializeToString(), outputs=("score", "features"), distortion_labels=()
    )
    with pytest.raises(BundleError, match=r"'features' of model\.onnx is float32 \[6\]"):
        create_backend(bundle, name)
