from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from export.int8 import placement
from export.int8.placement import place
from export.int8.wiring import Wiring
from export.int8.work import multiply_adds

from .networks import Network, residual_cnn, transformer


def kinds(model: onnx.ModelProto) -> dict[str, str]:
    return {site.node: site.kind for site in place(Wiring(model)).sites}


def reasons(model: onnx.ModelProto) -> dict[str, str]:
    return dict(place(Wiring(model)).left_out)


def test_a_cnn_is_quantised_but_for_its_head() -> None:
    model = residual_cnn()
    assert kinds(model) == {
        **dict.fromkeys(("n_stem", "n_a0", "n_b0", "n_a1", "n_b1"), "convolution"),
        **dict.fromkeys(("n_sum0", "n_sum1"), "residual add"),
    }
    assert reasons(model) == {"n_raw": placement.POOLED}


def test_a_sum_is_quantised_on_its_skip_side_and_stands_with_its_convolution() -> None:
    sums = {site.node: site for site in place(Wiring(residual_cnn())).sites}
    assert (sums["n_sum0"].activation, sums["n_sum0"].unit) == ("stem_r", "n_b0")
    assert (sums["n_sum1"].activation, sums["n_sum1"].unit) == ("sum0_r", "n_b1")


def test_of_a_transformer_only_the_products_with_weights() -> None:
    model = transformer()
    linears = ("q", "k", "v", "proj", "fc1", "fc2")
    assert kinds(model) == {f"n_{name}_product": "linear" for name in linears}
    assert reasons(model) == {
        "n_patches": placement.PATCHES,
        "n_qk": placement.PRODUCT,
        "n_mixed": placement.PRODUCT,
        "n_stream1": placement.STREAM,
        "n_stream2": placement.STREAM,
        "n_raw": placement.POOLED,
    }


def test_overlapping_patches_before_a_layer_norm() -> None:
    net = Network()
    embedded = net.conv(net.picture, "patches", (32, 3, 7, 7), strides=[4, 4], pads=[3] * 4)
    normed = net.layer_norm(net.tokens(embedded, "tokens", 32), "norm", np.ones(32, np.float32))
    model = net.score(net.linear(normed, "fc", (32, 32)), 32, axes=(1,))
    assert reasons(model)["n_patches"] == placement.PATCHES
    assert kinds(model) == {"n_fc_product": "linear"}


def test_tiles_in_the_middle_of_a_network_are_a_convolution() -> None:
    net = Network()
    data = net.conv(net.picture, "stem", (16, 3, 3, 3), pads=[1] * 4)
    data = net.conv(data, "down", (16, 16, 4, 4), strides=[4, 4])
    assert kinds(net.score(data, 16)) == {"n_stem": "convolution", "n_down": "convolution"}


def test_squeeze_and_excitation_stays_in_float() -> None:
    net = Network()
    data = net.conv(net.picture, "stem", (16, 3, 3, 3), pads=[1] * 4)
    pooled = net.add("GlobalAveragePool", data, out="squeezed")
    gate = net.add("Sigmoid", net.conv(pooled, "excite", (16, 16, 1, 1)), out="gate")
    data = net.conv(net.add("Mul", data, gate, out="gated"), "after", (16, 16, 1, 1))
    model = net.score(data, 16)
    assert reasons(model)["n_excite"] == placement.POOLED
    assert kinds(model) == {"n_stem": "convolution", "n_after": "convolution"}


def test_depthwise_and_grouped_convolutions_count() -> None:
    net = Network()
    data = net.conv(net.picture, "stem", (16, 3, 3, 3))
    data = net.conv(data, "depthwise", (16, 1, 3, 3), group=16)
    data = net.conv(data, "grouped", (16, 4, 1, 1), group=4)
    sites = {site.node: site for site in place(Wiring(net.score(data, 16))).sites}
    assert {site.kind for site in sites.values()} == {"convolution"}
    assert {name: site.pairs for name, site in sites.items()} == {
        "n_stem": True, "n_depthwise": False, "n_grouped": True
    }  # fmt: skip


@pytest.mark.parametrize(
    ("weight", "reason"),
    [((32, 8), "below 16"), ((32, 1), "last layer before an output")],
)
def test_narrow_and_last_layers(weight: tuple[int, int], reason: str) -> None:
    net = Network()
    tokens = net.tokens(net.conv(net.picture, "patches", (32, 3, 4, 4), strides=[4, 4]), "t", 32)
    data = net.linear(tokens, "fc", weight)
    if weight[1] > 1:
        model = net.score(data, weight[1], axes=(1,))
        assert reason in reasons(model)["n_fc_product"]
        return
    mean = net.add("ReduceMean", data, net.constant("axes", np.array([1, 2])), out="m", keepdims=0)
    net.add("Sigmoid", mean, out="score")
    assert reasons(net.model())["n_fc_product"] == reason


def test_two_convolutions_in_a_sum_quantise_the_earlier_ones_result() -> None:
    net = Network()
    data = net.conv(net.picture, "stem", (16, 3, 3, 3))
    shortcut = net.conv(data, "shortcut", (16, 16, 1, 1))
    model = net.score(
        net.add("Add", net.conv(data, "main", (16, 16, 1, 1)), shortcut, out="sum"), 16
    )
    site = {site.node: site for site in place(Wiring(model)).sites}["n_sum"]
    assert (site.activation, site.unit) == ("shortcut", "n_main")


def test_work_is_counted() -> None:
    counts = multiply_adds(Wiring(residual_cnn()))
    assert counts["n_stem"] == 32 * 32 * 16 * 3 * 9
    assert counts["n_a0"] == 32 * 32 * 16 * 16 * 9
    assert counts["n_raw"] == 16
    counts = multiply_adds(Wiring(transformer()))
    assert counts["n_q_product"] == 64 * 32 * 32
    assert counts["n_qk"] == counts["n_mixed"] == 64 * 64 * 32
    assert "n_stream1" not in counts


@pytest.mark.parametrize("make", [residual_cnn, transformer])
def test_a_free_batch_changes_nothing(make: Callable[[], onnx.ModelProto]) -> None:
    model = make()
    free = make()
    for value in (*free.graph.input, *free.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del free.graph.value_info[:]
    free = onnx.shape_inference.infer_shapes(free)
    assert place(Wiring(free)) == place(Wiring(model))
    assert multiply_adds(Wiring(free)) == multiply_adds(Wiring(model))
