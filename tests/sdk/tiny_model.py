"""A network small enough to check by hand: brightness is quality.

Row sums are cut to multiples of four, so that every sum is an integer below 2**24 and thus exact
in float32, in whatever order a runtime adds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from export.write_bundle import npz_bytes, write_bundle
from sdk.manifest import GoldenFile, Manifest, OnnxGraph, Provenance, ViewInput

LABELS = ("dark", "bright", "none")
SIGMA = 2.5
UNCERTAINTY = {"task": 1.5, "light": 2.0}  # the root of the sum of squares is SIGMA
SCENES = ("night", "day", "still life")
OUTPUTS = ("score", "mos", "sigma", "distortions")
FEATURES = 6  # mean of each colour, 0 to 1, of both views
PIXELS = 224 * 224 * 255
FULL = 224 * 3 * 255 // 4 * 224 * 2  # what two white views add up to


def tiny_score(inputs: dict[str, NDArray[np.uint8]]) -> np.float32:
    """The score of one frame's views, uint8 [1, 224, 224, 3]."""
    rows = [view.astype(np.int64).sum(axis=(2, 3)) // 4 for view in inputs.values()]
    return np.float32(np.sum(rows)) * np.float32(100 / FULL)


def tiny_features(inputs: dict[str, NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The features of one frame's views: float32 [6]."""
    sums = [view.astype(np.int64).sum(axis=(0, 1, 2)) for view in inputs.values()]
    return np.concatenate(sums).astype(np.float32) * np.float32(1 / PIXELS)


def tiny_onnx(outputs: tuple[str, ...] = OUTPUTS, sigma: str = "two_and_half") -> bytes:
    """The network; its sigma is a constant, or "share", a 25th of the score."""
    nodes = [*_row_sums("fragments"), *_row_sums("resize")]
    nodes += [
        helper.make_node("Add", ["fragments_rows", "resize_rows"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axis_row"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "per_unit"], ["score"]),
        helper.make_node("Mul", ["score", "per_mos"], ["share"]),
        helper.make_node("Add", ["share", "one"], ["mos"]),
        helper.make_node("Identity", [sigma], ["sigma"]),
        helper.make_node("Neg", ["share"], ["dark"]),
        helper.make_node("Concat", ["dark", "share", "one"], ["logits"], axis=0),
        helper.make_node("Unsqueeze", ["logits", "axis_batch"], ["logits_row"]),
        helper.make_node("Softmax", ["logits_row"], ["distortions"], axis=1),
        helper.make_node("Sigmoid", ["logits_row"], ["scenes"]),
        helper.make_node("Identity", ["parts"], ["uncertainty"]),
        helper.make_node("Concat", ["fragments_hue", "resize_hue"], ["hues"], axis=1),
        helper.make_node("Mul", ["hues", "per_pixel"], ["features"]),
    ]
    shapes = {
        "distortions": [1, len(LABELS)],
        "uncertainty": [1, len(UNCERTAINTY)],
        "features": [1, FEATURES],
        "scenes": [1, len(SCENES)],
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [_value(name, TensorProto.UINT8, [1, 224, 224, 3]) for name in ("fragments", "resize")],
        [_value(name, TensorProto.FLOAT, shapes.get(name, [1])) for name in outputs],
        [
            _constant("quarter", [0.25]),
            _constant("per_unit", [100 / FULL]),
            _constant("per_mos", [1 / 25]),
            _constant("one", [1.0]),
            _constant("two_and_half", [SIGMA]),
            _constant("per_pixel", [1 / PIXELS]),
            helper.make_tensor("parts", TensorProto.FLOAT, [1, 2], list(UNCERTAINTY.values())),
            _axes("axis_side", [1, 2]),
            _axes("axis_pixel", [2, 3]),
            _axes("axis_row", [1]),
            _axes("axis_batch", [0]),
        ],
    )
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def tiny_manifest(**changes: object) -> Manifest:
    fields: dict[str, object] = {
        "id": "tiny",
        "version": "1",
        "description": "Brightness is quality",
        "views": (
            ViewInput(input="fragments", spec="fragments:7x32"),
            ViewInput(input="resize", spec="resize:224x224"),
        ),
        "outputs": OUTPUTS,
        "distortion_labels": LABELS,
        "licence": "Apache-2.0",
        "sources": (Provenance(name="nothing", role="data", licence="CC0-1.0"),),
        "onnx": OnnxGraph(file="model.onnx", opset=20),
        "golden": GoldenFile(file="golden.npz"),
    }
    return Manifest(**{**fields, **changes})  # type: ignore[arg-type]


def tiny_golden() -> bytes:
    random = np.random.default_rng(0)
    levels = (40, 130, 256)
    inputs = {
        name: np.stack([random.integers(0, top, (224, 224, 3), np.uint8) for top in levels])
        for name in ("fragments", "resize")
    }
    score = [tiny_score({k: v[i : i + 1] for k, v in inputs.items()}) for i in range(len(levels))]
    return npz_bytes({**inputs, "score": np.array(score, np.float32)})


def tiny_members() -> dict[str, bytes]:
    return {"model.onnx": tiny_onnx(), "golden.npz": tiny_golden(), "LICENSE": b"free\n"}


def write_tiny_bundle(path: Path) -> Path:
    write_bundle(path, tiny_manifest(), tiny_members())
    return path


def write_rich_bundle(path: Path, sigma: str = "two_and_half", **changes: object) -> Path:
    """The tiny bundle with every output that there is."""
    fields = {
        "outputs": (*OUTPUTS, "uncertainty", "features", "scenes"),
        "uncertainty_labels": tuple(UNCERTAINTY),
        "scene_labels": SCENES,
        **changes,
    }
    manifest = tiny_manifest(**fields)
    members = {**tiny_members(), "model.onnx": tiny_onnx(manifest.outputs, sigma)}
    write_bundle(path, manifest, members)
    return path


def _row_sums(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", [f"{name}_float", "axis_pixel"], [f"{name}_sum"], keepdims=0),
        helper.make_node("Mul", [f"{name}_sum", "quarter"], [f"{name}_quarter"]),
        helper.make_node("Floor", [f"{name}_quarter"], [f"{name}_rows"]),
        helper.make_node("ReduceSum", [f"{name}_float", "axis_side"], [f"{name}_hue"], keepdims=0),
    ]


def _value(name: str, kind: int, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _constant(name: str, values: list[float]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, [len(values)], values)


def _axes(name: str, values: list[int]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
