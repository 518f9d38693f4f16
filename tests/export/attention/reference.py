"""What the plugins compute, in standard operators, so that graphs with them run on a CPU.

Written from the contract in kernels/include/framescore/kernels/attention.h, not from the rewriting.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, parser

from export.precision.formats import full_tensor

SHORT = (TensorProto.FLOAT16, TensorProto.BFLOAT16)

# qkv [batch, tokens, 3, heads, head_dim]; out[b, i, h, :] = sum_j softmax_j(scale q_i k_j) v_j
_PLAIN = """
<opset_import: ["" : 20], domain: "framescore">
{name} <heads: int, scale: float> (qkv{bias}) => (out) {{
    head_count = Constant <value_int: int = @heads> ()
    axis = Constant <value_ints = [0]> ()
    one = Unsqueeze (head_count, axis)
    before = Constant <value_ints = [0, 0, 3]> ()
    after = Constant <value_ints = [-1]> ()
    sides = Concat <axis = 0> (before, one, after)
    parts = Reshape (qkv, sides)
    turned = Transpose <perm = [2, 0, 3, 1, 4]> (parts)
    q1, k1, v1 = Split <axis = 0, num_outputs = 3> (turned)
    q = Squeeze (q1, axis)
    k = Squeeze (k1, axis)
    v = Squeeze (v1, axis)
    kt = Transpose <perm = [0, 1, 3, 2]> (k)
    products = MatMul (q, kt)
    factor = Constant <value_float: float = @scale> ()
    scaled = Mul (products, factor)
    {scores}
    weights = Softmax <axis = -1> (scores)
    mixed = MatMul (weights, v)
    rows = Transpose <perm = [0, 2, 1, 3]> (mixed)
    joined = Constant <value_ints = [0, 0, -1]> ()
    out = Reshape (rows, joined)
}}
"""
_BIASED = """all = Shape (products)
    last = Constant <value_ints = [3]> ()
    four = Constant <value_ints = [4]> ()
    tokens = Slice (all, last, four)
    two = Constant <value_ints = [2]> ()
    cut = Slice (bias, axis, tokens, two)
    scores = Add (scaled, cut)"""


def in_standard_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph in which each plugin is a function, and every float a float32.

    Without the roundings of 16 bits two graphs that are equal give equal numbers.
    """
    full = widened(model)
    for name in {node.op_type for node in full.graph.node if node.domain == "framescore"}:
        uses = [node for node in full.graph.node if node.op_type == name]
        assert len({len(node.input) for node in uses}) == 1
        for node in uses:  # functions know no attribute that they don't use
            kept = [a for a in node.attribute if a.name in ("heads", "scale")]
            del node.attribute[:]
            node.attribute.extend(kept)
        biased = len(uses[0].input) == 2
        text = _PLAIN.format(
            name=name,
            bias=", bias" if biased else "",
            scores=_BIASED if biased else "scores = Identity (scaled)",
        )
        full.functions.append(parser.parse_function(text))
    return full


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with float32 for fp16 and bf16."""
    full = onnx.ModelProto()
    full.CopyFrom(model)
    del full.graph.value_info[:]
    for tensor in full.graph.initializer:
        if tensor.data_type in SHORT:
            tensor.CopyFrom(full_tensor(tensor, tensor.name))
    for node in full.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in SHORT:
                attribute.i = TensorProto.FLOAT
    return full


def plugins(model: onnx.ModelProto) -> list[dict[str, object]]:
    """The settings of every plugin node."""
    return [
        {a.name: helper.get_attribute_value(a) for a in node.attribute}
        for node in model.graph.node
        if node.domain == "framescore"
    ]
