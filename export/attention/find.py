"""Find multi-head self-attention in a graph, and what each one computes with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from export.attention.layout import CannotReplaceError, Graph, Indices, Origin, read

_USUAL: Final = {"is_causal": 0, "softcap": 0.0}


class Operand(NamedTuple):
    """Queries, keys or values.

    Attributes:
        source: The tensor that holds them.
        columns: For head and place in it, the place in the source's last axis, [heads, head_dim].
    """

    source: str
    columns: Indices


@dataclass(frozen=True)
class Attention:
    """One attention as the kernel computes it.

    Attributes:
        node: The Attention, or the Softmax of one in elementary operators.
        result: The tensor [batch, heads, tokens, head_dim] that it gives.
        shape: The sides of it; batch and heads may be one.
        operands: Queries, keys, values.
        sizes: Batch, heads, tokens, head_dim.
        kind: Element type of its products.
        scale: Factor of the scores.
        bias: Constant that is added to them, [heads, tokens, tokens]; None without.
    """

    node: str
    result: str
    shape: tuple[int, ...]
    operands: tuple[Operand, Operand, Operand]
    sizes: tuple[int, int, int, int]
    kind: int
    scale: float
    bias: NDArray[np.float32] | None

    def is_like(self, other: Attention) -> bool:
        """Whether it computes the same of every image of another batch."""
        columns = [
            np.array_equal(mine.columns, its.columns)
            for mine, its in zip(self.operands, other.operands, strict=True)
        ]
        if self.bias is None or other.bias is None:
            same_bias = self.bias is other.bias
        else:
            same_bias = np.array_equal(self.bias, other.bias)
        return self.sizes[1:] == other.sizes[1:] and all(columns) and same_bias


class Scores(NamedTuple):
    """What becomes of the product of queries and keys before the softmax."""

    product: NodeProto
    factor: float
    mask: str


def candidates(graph: Graph) -> Iterator[tuple[NodeProto, NodeProto]]:
    """Yield every attention: the node that names it, and the node that gives its result."""
    for node in graph.proto.node:
        if node.op_type == "Attention" and not node.domain:
            yield node, node
        softmax = _softmax_before(graph, node) if node.op_type == "MatMul" else None
        if softmax is not None:
            yield softmax, node


def examine(graph: Graph, anchor: NodeProto, last: NodeProto) -> Attention:
    """Find out what an attention computes.

    Args:
        graph: The graph.
        anchor: The node that names it.
        last: The node that gives its result.

    Raises:
        CannotReplaceError: It isn't what the kernel computes.
    """
    if set(anchor.output) & graph.outputs:
        raise CannotReplaceError("the network returns its weights")
    if anchor is last:
        return _native(graph, anchor)
    return _decomposed(graph, anchor, last)


def _decomposed(graph: Graph, softmax: NodeProto, last: NodeProto) -> Attention:
    settings = {a.name: helper.get_attribute_value(a) for a in softmax.attribute}
    rank = len(graph.shape(softmax.output[0]))
    if settings.get("axis", -1) not in (-1, rank - 1):
        raise CannotReplaceError("its softmax is not over the last axis")
    scores = _scores(graph, softmax)
    query, key = scores.product.input
    origins = [graph.origin(name) for name in (query, key, last.input[1])]
    origins[1] = origins[1]._replace(indices=np.swapaxes(origins[1].indices, -1, -2))
    kinds = [graph.kind(name) for name in (query, key, last.input[1], last.output[0])]
    scale = scores.factor * origins[0].factor * origins[1].factor
    return _make(graph, softmax.name, last.output[0], origins, kinds, scale, scores.mask)


def _native(graph: Graph, node: NodeProto) -> Attention:
    settings: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for name, usual in _USUAL.items():
        if settings.get(name, usual) != usual:
            raise CannotReplaceError(f"its {name} is {settings[name]}")
    if any(node.input[4:]) or any(node.output[1:]):
        raise CannotReplaceError("it keeps keys and values, or gives more than its result")
    origins = [graph.origin(name) for name in node.input[:3]]
    heads = settings.get("q_num_heads")
    if heads is not None:
        if settings.get("kv_num_heads") != heads:
            raise CannotReplaceError("its keys have other heads than its queries")
        raise CannotReplaceError("its heads lie beside each other in three dimensions")
    scale = settings.get("scale") or origins[0].indices.shape[-1] ** -0.5
    scale *= origins[0].factor * origins[1].factor
    kinds = [graph.kind(name) for name in (*node.input[:3], node.output[0])]
    mask = node.input[3] if len(node.input) > 3 else ""
    return _make(graph, node.name, node.output[0], origins, kinds, scale, mask)


def _make(
    graph: Graph,
    node: str,
    result: str,
    origins: list[Origin],
    kinds: list[int],
    scale: float,
    mask: str,
) -> Attention:
    if len(set(kinds)) != 1:
        raise CannotReplaceError("its products are of different types")
    if origins[2].factor != 1:
        raise CannotReplaceError("it multiplies its values by a number")
    if not scale > 0:
        raise CannotReplaceError(f"its scale is {scale:g}")
    shapes = [origin.indices.shape for origin in origins]
    if len(set(shapes)) != 1:
        raise CannotReplaceError("queries, keys and values differ in shape: no self-attention")
    found = [_operand(graph, origin) for origin in origins]
    sizes = found[0][1]
    if any(other != sizes for _, other in found):
        raise CannotReplaceError("queries, keys and values have different heads")
    first, second, third = (operand for operand, _ in found)
    bias = _bias(graph, mask, sizes) if mask else None
    return Attention(node, result, shapes[0], (first, second, third), sizes, kinds[0], scale, bias)


def _operand(graph: Graph, origin: Origin) -> tuple[Operand, tuple[int, int, int, int]]:
    """Read from the indices which column of which token each number is.

    Raises:
        CannotReplaceError: Tokens or heads do not lie as the kernel takes them.
    """
    indices, shape = origin.indices, graph.shape(origin.source)
    if indices.ndim < 3:
        raise CannotReplaceError("its queries have no dimension of their own for heads")
    tokens, width = indices.shape[-2:]
    rows, columns = np.divmod(indices, shape[-1])
    heads = np.unique(columns).size // width
    if not heads or indices.size % (heads * tokens * width):
        raise CannotReplaceError("its heads overlap")
    sizes = (indices.size // (heads * tokens * width), heads, tokens, width)
    rows, columns = rows.reshape(sizes), columns.reshape(sizes)
    expected = np.arange(sizes[0] * tokens).reshape(-1, 1, tokens, 1)  # [batch, 1, tokens, 1]
    if not (rows == expected).all():
        raise CannotReplaceError("its tokens do not lie image by image in the product before it")
    per_head = columns[:1, :, :1]  # [1, heads, 1, head_dim]
    if not (columns == per_head).all():
        raise CannotReplaceError("its heads are made of different columns for different tokens")
    return Operand(origin.source, per_head[0, :, 0]), sizes


def _bias(graph: Graph, mask: str, sizes: tuple[int, int, int, int]) -> NDArray[np.float32] | None:
    """Return a constant mask as one for all images; None if it is 0 everywhere."""
    _, heads, tokens, _ = sizes
    values = graph.known(mask)
    if values is None:
        raise CannotReplaceError("its mask is computed")
    if values.ndim > 3 and (values == values[:1]).all():
        values = values[0]
    if values.dtype == np.bool_:  # whether a key is attended to
        values = np.where(values, np.float32(0), np.float32(-np.inf))
    try:
        whole = np.broadcast_to(values, (heads, tokens, tokens))
    except ValueError:
        raise CannotReplaceError("its mask differs from image to image") from None
    if np.isneginf(whole).all(-1).any():
        raise CannotReplaceError("its mask leaves a token without any key")
    return whole if whole.any() else None


def _scores(graph: Graph, softmax: NodeProto) -> Scores:
    """Go back from the softmax to the product, past casts, one mask and factors.

    Raises:
        CannotReplaceError: Something else lies between, or is read elsewhere too.
    """
    tensor, factor, mask = softmax.input[0], 1.0, ""
    while True:
        node = graph.makers.get(tensor)
        if node is None:
            raise CannotReplaceError("its scores are no product")
        _refuse_other_readers(graph, tensor)
        scaled = graph.scaled(node)
        if node.op_type == "MatMul":
            return Scores(node, factor, mask)
        if node.op_type in ("Cast", "Identity"):
            tensor = node.input[0]
        elif scaled is not None:
            tensor, factor = scaled[0], factor * scaled[1]
        elif node.op_type == "Add" and not mask and factor == 1:
            tensor, mask = _masked(graph, node)
        else:
            raise CannotReplaceError(f"{node.op_type} changes its scores before the softmax")


def _masked(graph: Graph, node: NodeProto) -> tuple[str, str]:
    """Scores and mask of an addition."""
    first, second = node.input
    made = [graph.makers.get(name) for name in (first, second)]
    constant = [name in graph.constants for name in (first, second)]
    if constant[1] or (made[1] is not None and made[1].op_type not in ("MatMul", "Mul", "Div")):
        return first, second
    return second, first


def _refuse_other_readers(graph: Graph, tensor: str) -> None:
    if len(graph.readers(tensor)) > 1 or tensor in graph.outputs:
        raise CannotReplaceError("its scores are read elsewhere too")


def _softmax_before(graph: Graph, product: NodeProto) -> NodeProto | None:
    """The softmax whose weights a product takes; weights of NaN may have been made 0.

    PyTorch does that for rows without any key, of which there are none without a mask; the kernel
    gives 0 for those too.
    """
    tensor = product.input[0]
    while (node := graph.makers.get(tensor)) is not None:
        if node.op_type == "Softmax":
            break
        if node.op_type in ("Cast", "Identity"):
            tensor = node.input[0]
        elif node.op_type == "Where" and _replaces_nan(graph, node):
            tensor = node.input[2]
        else:
            return None
    return node


def _replaces_nan(graph: Graph, node: NodeProto) -> bool:
    condition = graph.makers.get(node.input[0])
    zero = graph.constants.get(node.input[1])
    if condition is None or zero is None:
        return False
    return condition.op_type == "IsNaN" and not read(zero).any()
