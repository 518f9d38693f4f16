from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.convention import ImageConvention
from export.from_onnx import OnnxOriginal, fixed_size, load_onnx
from export.reference import run_onnx
from sdk.errors import UsageError
from sdk.views import View

from .test_fold import CROPS, ONE, PLAIN, network, picture


def original(model: onnx.ModelProto, view: View = ONE) -> OnnxOriginal:
    convention = ImageConvention(mean=(0.4,) * 3, std=(0.2,) * 3, low=-2, high=2)
    return OnnxOriginal(Path("net.onnx"), model, ("image", view), convention)


@pytest.mark.parametrize("view", [ONE, CROPS])
@pytest.mark.parametrize("opset", [9, 13, 17, 20, 21, 22])
def test_graphs_of_any_opset_score_as_the_file_does(opset: int, view: View) -> None:
    made = original(network(opset=opset), view)
    frame = {"image": picture(view)}
    [found] = run_onnx(made.graph().SerializeToString(), [frame])
    assert found["score"] == pytest.approx(made.run(frame)["score"], abs=1e-4)
    assert 20 < found["score"][0] < 80
    assert 17 <= made.graph().opset_import[0].version <= 20


def with_node(node: onnx.NodeProto, opset: int = 20) -> onnx.ModelProto:
    model = network(opset=opset)
    model.graph.node.append(node)
    model.graph.output[0].name = "end"
    return model


def test_operators_that_other_runtimes_lack_are_named() -> None:
    gelu = helper.make_node("FastGelu", ["quality"], ["end"], domain="com.microsoft", name="act")
    model = with_node(gelu)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(UsageError, match=r"com\.microsoft::FastGelu at node 'act', which is no"):
        original(model).graph()


def test_an_operator_newer_than_the_profile_is_named() -> None:
    model = with_node(helper.make_node("RMSNormalization", ["quality", "means"], ["end"]), 23)
    with pytest.raises(UsageError, match=r"opset 23 and operators that opset 20 lacks: .*RMSNorm"):
        original(model).graph()


def test_random_numbers_are_refused() -> None:
    model = with_node(helper.make_node("RandomNormalLike", ["quality"], ["end"], name="noise"))
    with pytest.raises(UsageError, match=r"random numbers \(RandomNormalLike\) at node 'noise'"):
        original(model).graph()


def test_native_attention_needs_attention() -> None:
    with pytest.raises(UsageError, match="holds no Attention operator"):
        original(network()).graph("native-attention")


def test_attention_of_a_file_is_kept_whole() -> None:
    sides = numpy_helper.from_array(np.array([0, 3, 8, 12], np.int64), "heads")
    nodes = [
        helper.make_node("Reshape", ["x", "heads"], ["q"]),
        helper.make_node("Attention", ["q", "q", "q"], ["mixed"], name="attend"),
        helper.make_node("GlobalAveragePool", ["mixed"], ["means"]),
        helper.make_node("ReduceMean", ["means"], ["quality"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "attends",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 12))],
        [helper.make_tensor_value_info("quality", TensorProto.FLOAT, None)],
        [sides],
    )
    opsets = [helper.make_opsetid("", 23)]
    made = original(helper.make_model(graph, opset_imports=opsets, ir_version=11))
    native = made.graph("native-attention")
    assert "attend" in [node.name for node in native.graph.node]
    assert (native.ir_version, native.opset_import[0].version) == (10, 23)
    frame = {"image": picture(ONE)}
    [found] = run_onnx(native.SerializeToString(), [frame])
    assert found["score"] == pytest.approx(made.run(frame)["score"], abs=1e-4)
    with pytest.raises(UsageError, match=r"operators that opset 20 lacks: .*Attention"):
        made.graph("compat")


def test_files(tmp_path: Path) -> None:
    onnx.save(network((1, 3, 8, 12)), tmp_path / "fixed.onnx")
    onnx.save(network(), tmp_path / "free.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "empty.onnx").touch()
    assert fixed_size(load_onnx(tmp_path / "fixed.onnx")) == "resize:8x12"
    assert fixed_size(load_onnx(tmp_path / "free.onnx")) is None
    seen = load_onnx(tmp_path / "fixed.onnx").seen_through(("image", ONE), PLAIN)
    assert seen.run({"image": picture(ONE)})["score"].shape == (1,)
    for name in ("text.onnx", "empty.onnx", "gone.onnx"):
        with pytest.raises(UsageError, match=rf"{name} cannot be read as ONNX: .+"):
            load_onnx(tmp_path / name)


def test_several_inputs_are_refused() -> None:
    model = network()
    model.graph.input.append(helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1]))
    with pytest.raises(UsageError, match=r"has 2 inputs \(x, depth\); one picture is expected"):
        original(model).graph()


def test_frames_differ() -> None:
    made = original(network())
    scores = [made.run({"image": picture(ONE, seed) // (seed + 1)})["score"][0] for seed in (0, 1)]
    assert np.ptp(scores) > 5
