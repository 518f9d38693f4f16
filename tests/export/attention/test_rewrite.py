from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from export.attention import AHEAD, LIBRARY, rewrite_attention
from export.graph import OPSETS
from export.half_weights import store_half
from export.reference import run_onnx

from .networks import NETWORKS, frames, typed
from .reference import in_standard_operators, plugins, widened

pytestmark = pytest.mark.slow

NOISE = 1e-5  # of the largest number; float32, and sums in another order
SCORE_NOISE = 1e-3  # points
NOTICED = 0.02


def run(model: onnx.ModelProto, name: str, tensors: list[str]) -> list[NDArray[Any]]:
    """The scores of some frames, and tensors within, stacked over the frames."""
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    for tensor in tensors:
        probed.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    found = run_onnx(probed.SerializeToString(), frames(NETWORKS[name]()))
    return [np.stack([frame[tensor] for frame in found]) for tensor in ("score", *tensors)]


def results(rewritten: onnx.ModelProto) -> list[str]:
    """The tensors that the plugins give; the graph before has them too."""
    return [node.output[0] for node in rewritten.graph.node if node.domain]


def largest_error(changed: onnx.ModelProto, model: onnx.ModelProto, name: str) -> float:
    """The error of what the plugins give, as a share of its largest number."""
    tensors = results(changed)
    _, *expected = run(widened(model), name, tensors)
    _, *found = run(in_standard_operators(changed), name, tensors)
    errors = [np.abs(x - y).max() / np.abs(x).max() for x, y in zip(expected, found, strict=True)]
    return float(np.max(errors))  # NaN, if one is


@pytest.fixture(scope="module", params=[(n, p) for n in NETWORKS for p in OPSETS], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[str, onnx.ModelProto]:
    name, profile = request.param
    return name, typed(name, profile)


def test_scores_stay_equal(case: tuple[str, onnx.ModelProto]) -> None:
    name, model = case
    before = model.SerializeToString()
    rewritten = rewrite_attention(model, LIBRARY)
    assert model.SerializeToString() == before
    assert [block.reason for block in rewritten.blocks] == ["", ""]
    assert len(results(rewritten.model)) == 2
    assert largest_error(rewritten.model, model, name) < NOISE
    [expected], [found] = (
        run(widened(model), name, []),
        run(in_standard_operators(rewritten.model), name, []),
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=SCORE_NOISE)


def test_no_layouts_remain(case: tuple[str, onnx.ModelProto]) -> None:
    """Between the product of queries, keys and values and the projection is one node."""
    _, model = case
    graph = rewrite_attention(model, LIBRARY).model.graph
    makers = {name: node for node in graph.node for name in node.output}
    for node in (node for node in graph.node if node.domain):
        assert makers[node.input[0]].op_type in ("MatMul", "Add")
        readers = {other.op_type for other in graph.node if node.output[0] in other.input}
        assert readers == {"MatMul"}
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    read = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= read


def test_nodes_are_what_the_plugins_expect() -> None:
    model = typed("glint-edge", "compat")
    [first, second] = plugins(rewrite_attention(model, LIBRARY).model)
    assert first == second
    assert first["heads"] == 3
    assert first["scale"] == pytest.approx(64**-0.5, rel=1e-3)
    assert (first["plugin_namespace"], first["plugin_version"]) == (b"framescore", b"1")
    ahead = rewrite_attention(model, AHEAD)
    assert {node.op_type for node in ahead.model.graph.node if node.domain} == {"attention"}
    assert plugins(ahead.model)[0]["aot"] == 1


def test_three_products_become_one() -> None:
    model = typed("ViT-S", "compat")
    rewritten = rewrite_attention(model, LIBRARY).model
    shapes = {tensor.name: tuple(tensor.dims) for tensor in rewritten.graph.initializer}
    merged = [shapes[n.input[1]] for n in rewritten.graph.node if n.op_type == "MatMul"]
    assert merged.count((384, 3 * 384)) == 2
    assert not any("q_proj" in node.name for node in rewritten.graph.node)


def change_plugin(model: onnx.ModelProto, name: str, value: float) -> onnx.ModelProto:
    """The rewritten graph with another setting in its first plugin."""
    changed = rewrite_attention(model, LIBRARY).model
    node = next(node for node in changed.graph.node if node.domain)
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    return changed


@pytest.mark.parametrize(("setting", "value"), [("scale", 0.25), ("heads", 3), ("heads", 12)])
def test_wrong_settings_are_noticed(setting: str, value: float) -> None:
    name = "GlintIQA's ViT"
    model = typed(name, "compat")
    assert largest_error(change_plugin(model, setting, value), model, name) > NOTICED


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1)], ids=["kqv", "qvk"])
def test_wrong_packing_is_noticed(order: tuple[int, int, int]) -> None:
    name = "ViT-S"
    model = typed(name, "compat")
    changed = rewrite_attention(model, LIBRARY).model
    weight = next(t for t in changed.graph.initializer if t.name.endswith("/weight"))
    values = onnx.numpy_helper.to_array(weight).reshape(384, 3, 384)[:, order].reshape(384, -1)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    assert largest_error(changed, model, name) > NOTICED


def test_weights_stored_in_half_stay_so() -> None:
    """Heads that stay float32 are stored in half by bundles where fp16 holds them."""
    model = typed("glint-edge", "compat")
    stored = store_half(model)
    assert stored.ByteSize() <= model.ByteSize()
    rewritten = rewrite_attention(stored, LIBRARY)
    expected = rewrite_attention(model, LIBRARY)
    assert rewritten.blocks == expected.blocks
    assert rewritten.model == store_half(expected.model)
    assert rewrite_attention(model, LIBRARY).model == expected.model


def test_bf16_is_rewritten_too() -> None:
    name = "ViT-S"
    model = typed(name, "compat", "bf16")
    rewritten = rewrite_attention(model, LIBRARY)
    assert {block.kind for block in rewritten.blocks} == {"bf16"}
    assert largest_error(rewritten.model, model, name) < NOISE
