"""Small graphs built node by node, from a picture to a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.frame_set import FrameSet, collect_frames
from sdk.views import View

SIDE = 32
VIEWS = {"x": View.parse(f"resize:{SIDE}x{SIDE}")}


class Network:
    """Nodes one after another; each method returns the tensor it computes."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)
        self.add("Cast", "x", out="bytes", to=TensorProto.FLOAT)
        self.add("Div", "bytes", self.constant("peak", np.float32(255)), out="unit")
        self.picture = self.add("Transpose", "unit", out="picture", perm=[0, 3, 1, 2])

    def add(self, operator: str, *inputs: str, out: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [out], name=f"n_{out}", **attributes))
        return out

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def random(self, *shape: int) -> NDArray[np.float32]:
        spread = np.sqrt(2 / np.prod(shape[1:]))
        return (self._rng.standard_normal(shape) * spread).astype(np.float32)

    def conv(
        self,
        data: str,
        out: str,
        weight: Sequence[int] | NDArray[np.float32],
        *,
        bias: bool = True,
        **attributes: Any,
    ) -> str:
        values = weight if isinstance(weight, np.ndarray) else self.random(*weight)
        names = [self.constant(f"{out}_w", values)]
        if bias:
            zeros = np.zeros(len(values), np.float32)
            names.append(self.constant(f"{out}_b", zeros))
        return self.add("Conv", data, *names, out=out, **attributes)

    def linear(self, data: str, out: str, weight: Sequence[int] | NDArray[np.float32]) -> str:
        """A product with weights [C, O] and a bias."""
        values = weight if isinstance(weight, np.ndarray) else self.random(*weight[::-1]).T
        product = self.add("MatMul", data, self.constant(f"{out}_w", values), out=f"{out}_product")
        bias = self.constant(f"{out}_b", np.zeros(values.shape[1], np.float32))
        return self.add("Add", product, bias, out=out)

    def layer_norm(self, data: str, out: str, scale: NDArray[np.float32]) -> str:
        names = [
            self.constant(f"{out}_scale", scale),
            self.constant(f"{out}_bias", np.zeros_like(scale)),
        ]
        return self.add("LayerNormalization", data, *names, out=out)

    def tokens(self, data: str, out: str, channels: int) -> str:
        """[1, C, H, W] as [1, H W, C]."""
        shape = self.constant(f"{out}_shape", np.array([1, channels, -1], np.int64))
        flat = self.add("Reshape", data, shape, out=f"{out}_flat")
        return self.add("Transpose", flat, out=out, perm=[0, 2, 1])

    def score(self, data: str, channels: int, axes: Sequence[int] = (2, 3)) -> onnx.ModelProto:
        """Pool, and end in a Gemm and a sigmoid."""
        places = self.constant("axes", np.array(axes, np.int64))
        pooled = self.add("ReduceMean", data, places, out="pooled", keepdims=0)
        weight = self.constant("head_w", 4 * self.random(1, channels))
        raw = self.add("Gemm", pooled, weight, out="raw", transB=1)
        flat = self.add(
            "Reshape", raw, self.constant("score_shape", np.array([1], np.int64)), out="flat"
        )
        share = self.add("Sigmoid", flat, out="share")
        self.add("Mul", share, self.constant("hundred", np.float32(100)), out="score")
        return self.model()

    def model(self, opset: int = 20) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        onnx.checker.check_model(made, full_check=True)
        return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def residual_cnn() -> onnx.ModelProto:
    """A stem, two residual blocks, pooling, a head."""
    net = Network()
    data = net.add("Relu", net.conv(net.picture, "stem", (16, 3, 3, 3), pads=[1] * 4), out="stem_r")
    for number in range(2):
        inner = net.conv(data, f"a{number}", (16, 16, 3, 3), pads=[1] * 4)
        inner = net.add("Relu", inner, out=f"a{number}_r")
        inner = net.conv(inner, f"b{number}", (16, 16, 3, 3), pads=[1] * 4)
        data = net.add("Add", inner, data, out=f"sum{number}")
        data = net.add("Relu", data, out=f"sum{number}_r")
    return net.score(data, 16)


def transformer(outlier: float = 1.0, *, gelu: bool = True) -> onnx.ModelProto:
    """A patch embedding and a block of attention and MLP; LayerNorm may scale two channels up."""
    net = Network()
    embedded = net.conv(net.picture, "patches", (32, 3, 4, 4), strides=[4, 4])
    tokens = net.tokens(embedded, "tokens", 32)
    scale = np.ones(32, np.float32)
    scale[[3, 17]] = outlier
    normed = net.layer_norm(tokens, "norm1", scale)
    query, key, value = (net.linear(normed, name, _quieter(net, scale)) for name in "qkv")
    turned = net.add("Transpose", key, out="k_t", perm=[0, 2, 1])
    weights = net.add("Softmax", net.add("MatMul", query, turned, out="qk"), out="attention")
    mixed = net.add("MatMul", weights, value, out="mixed")
    tokens = net.add("Add", tokens, net.linear(mixed, "proj", (32, 32)), out="stream1")
    hidden = net.linear(net.layer_norm(tokens, "norm2", scale), "fc1", _quieter(net, scale))
    hidden = net.add("Gelu" if gelu else "Relu", hidden, out="hidden")
    tokens = net.add("Add", tokens, net.linear(hidden, "fc2", (32, 32)), out="stream2")
    return net.score(tokens, 32, axes=(1,))


def _quieter(net: Network, scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights that bring loud channels back, so that they do not rule the score."""
    return (net.random(32, 32).T / scale[:, None]).astype(np.float32)


def frames(count: int, seed: int = 0) -> FrameSet:
    return collect_frames(None, VIEWS, count, seed=seed)
