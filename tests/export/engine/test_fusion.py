from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto

from export.engine.fusion import (
    EngineLayer,
    Fusion,
    match_fusion,
    read_inspected_layers,
    read_logged_layers,
)

from .small_graphs import model, node

# As TensorRT-RTX 1.7.1 logs them, shortened.
LOGGED = (
    "Name: __myl_TranReshMove_myl0_0, LayerType: kgen, Inputs: [ { Name: k, Dimensions: [1,6] }], "
    "TacticName: __myl_TranReshMove_0x0dee, StreamId: 0, Metadata: [ONNX Layer: tr]\n"
    "Name: _gemm_mha_v2_myl0_3, LayerType: kgen, Inputs: [], TacticName: _gemm_mha_v2_0xd784, "
    "StreamId: 0, Metadata: [ONNX Layer: bmm2]\x1f[ONNX Layer: soft]\x1f[ONNX Layer: bmm1]\n"
    "Name: node_mha_attention_myl0_48, LayerType: gemm, Inputs: [], TacticName: __myelin_CASK_STUB,"
    " StreamId: 0, Metadata: [ONNX Layer: other]\n"
)


def test_logged_layers_are_read() -> None:
    move, fused, product = read_logged_layers(LOGGED)
    assert move == EngineLayer(
        "__myl_TranReshMove_myl0_0", "__myl_TranReshMove_0x0dee", frozenset({"tr"})
    )
    assert fused.nodes == {"bmm2", "soft", "bmm1"}
    assert [x.is_fused_attention for x in (move, fused, product)] == [False, True, False]


def test_inspected_layers_are_read() -> None:
    layer = {
        "Name": "_gemm_mha_v2_myl0_3",
        "LayerType": "kgen",
        "TacticName": "_gemm_mha_v2_0xd784",
        "Metadata": "[ONNX Layer: soft]\x1f[ONNX Layer: bmm1]",
    }
    text = json.dumps({"Layers": [layer, "only a name"], "Bindings": []})
    [fused] = read_inspected_layers(text)
    assert fused.nodes == {"soft", "bmm1"}
    assert fused.is_fused_attention
    assert list(read_inspected_layers("{}")) == []


@pytest.mark.parametrize(
    "name", ["_gemm_mha_v2_myl0_1", "__myl_fmha_v2_0", "mha", "_flash_attention_0"]
)
def test_names_of_fused_kernels(name: str) -> None:
    assert EngineLayer("x", name, frozenset()).is_fused_attention


def test_fusion_is_told_block_by_block() -> None:
    fusion = match_fusion(["soft", "other"], read_logged_layers(LOGGED), "builder log")
    assert [(block.node, block.kernel) for block in fusion.blocks] == [
        ("soft", "_gemm_mha_v2_myl0_3"),
        ("other", ""),
    ]
    assert fusion.unfused == ("other",)
    assert str(fusion) == "1 of 2 attention blocks fused (builder log)"


def test_kernels_that_name_no_nodes_count_too() -> None:
    kernel = EngineLayer("_gemm_mha_v2_0", "", frozenset())
    fusion = match_fusion(["a", "b"], [kernel], "inspector")
    assert fusion.unfused == ("b",)


def test_what_is_not_known_is_not_claimed() -> None:
    fusion = match_fusion(["a"], [], "inspector")
    assert fusion.unfused == ()
    assert str(fusion) == "not known without a GPU (attention blocks: 1)"
    assert str(Fusion()) == "no attention in this network"


def attention_of(graph: bytes) -> list[str]:
    """Parse a graph with the real parser; runs in this process, which builds nothing."""
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed: the extra rtx")
    from export.engine.api import load_toolkit
    from export.engine.fusion import find_attention
    from export.engine.network import layers_of, parse_graph

    logger = trt.Logger(trt.Logger.ERROR)
    toolkit = load_toolkit("tensorrt_rtx")
    builder = trt.Builder(logger)
    network = parse_graph(toolkit, builder, logger, graph)
    return find_attention(trt, layers_of(network), native=toolkit.features.native_attention)


HALF = TensorProto.FLOAT16


def test_attention_pooling_is_no_attention() -> None:
    """Its scores are a product with weights: no kernel would take it whole."""
    nodes = [
        node("MatMul", ["x", "weight"], "logits"),
        node("Softmax", ["logits"], "shares", axis=1),
        node("Transpose", ["shares"], "row", perm=[0, 2, 1]),
        node("MatMul", ["row", "x"], "y"),
    ]
    weight = {"weight": np.ones((8, 1), np.float16)}
    graph = model(nodes, [("x", HALF, [1, 16, 8])], [("y", HALF, [1, 1, 8])], weight)
    assert attention_of(graph) == []


def test_a_softmax_at_the_end_is_no_attention() -> None:
    nodes = [node("MatMul", ["x", "x"], "logits"), node("Softmax", ["logits"], "y", axis=1)]
    assert attention_of(model(nodes, [("x", HALF, [8, 8])], [("y", HALF, [8, 8])])) == []


def test_masks_and_casts_around_a_softmax_do_not_hide_attention() -> None:
    nodes = [
        node("MatMul", ["x", "x"], "logits"),
        node("Add", ["logits", "mask"], "masked"),
        node("Cast", ["masked"], "full", to=TensorProto.FLOAT),
        node("Softmax", ["full"], "shares", axis=1, name="soft"),
        node("Cast", ["shares"], "short", to=HALF),
        node("MatMul", ["short", "x"], "y"),
    ]
    mask = {"mask": np.zeros((8, 8), np.float16)}
    assert attention_of(model(nodes, [("x", HALF, [8, 8])], [("y", HALF, [8, 8])], mask)) == [
        "soft"
    ]
