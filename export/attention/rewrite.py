"""Replace attention subgraphs by one node each, with the layouts around them.

The node reads what the QKV product writes and writes what the projection reads, so that nothing is
moved in memory between. Where queries, keys and values come from three products of one tensor, or
their heads lie in another order, the weights' columns are put together and in order: the same
products, of the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.attention.find import Attention, Operand, candidates, examine
from export.attention.layout import (
    CannotReplaceError,
    Graph,
    Indices,
    has_free_batch,
    read,
    write,
)
from export.attention.plugins import DOMAIN, HEAD_DIMS, KINDS, MAX_TOKENS, MAX_WIDTH, PluginForm
from export.half_weights import restore_half, store_half


@dataclass(frozen=True, slots=True)
class Block:
    """One attention of a network.

    Attributes:
        node: The Attention, or the Softmax of one in elementary operators.
        reason: Why it stays as it is; empty where it was replaced.
        head_dim: Width of a head; 0 where it stays.
        kind: "fp16" or "bf16"; empty where it stays.
    """

    node: str
    reason: str = ""
    head_dim: int = 0
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A graph with our attention, and what became of each block.

    Attributes:
        model: The graph.
        blocks: Every attention in the order of the graph.
    """

    model: onnx.ModelProto
    blocks: tuple[Block, ...]

    @property
    def replaced(self) -> tuple[str, ...]:
        """The nodes whose attention is ours now; the new node bears the name."""
        return tuple(block.node for block in self.blocks if not block.reason)


class Linear(NamedTuple):
    """A product with constant weights: source tensor, weights [in, out], bias [out]."""

    source: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None


class Replacement(NamedTuple):
    """New nodes, their constants, and the tensor that they compute instead of its maker."""

    nodes: list[NodeProto]
    constants: list[TensorProto]
    target: str


def rewrite_attention(model: onnx.ModelProto, form: PluginForm) -> Rewritten:
    """Replace every self-attention that our kernel computes.

    Args:
        model: A typed graph of either profile, its weights stored in half or not; it is not
            changed.
        form: Which plugin the nodes are for.

    Returns:
        The graph, and for each attention whether it was replaced or why not.
    """
    full = restore_half(model)
    stored = len(full.graph.node) < len(model.graph.node)
    # A free batch is tried with two numbers, neither of them 1: what is equal for both is for all.
    graphs = [Graph(full, batch) for batch in ((2, 3) if has_free_batch(full) else (1,))]
    blocks, replacements = [], []
    for anchor, last in candidates(graphs[0]):
        try:
            found = _examine(graphs, anchor, last)
            _check_kernel(found, form)
            replacements.append(_replace(graphs, found, form))
        except CannotReplaceError as reason:
            blocks.append(Block(anchor.name, str(reason)))
        else:
            kind = "fp16" if found.kind == TensorProto.FLOAT16 else "bf16"
            blocks.append(Block(anchor.name, "", found.sizes[-1], kind))
    if not replacements:
        return Rewritten(model, tuple(blocks))
    written = _write(full, replacements)
    return Rewritten(store_half(written) if stored else written, tuple(blocks))


def _examine(graphs: Sequence[Graph], anchor: NodeProto, last: NodeProto) -> Attention:
    found, *others = (examine(graph, anchor, last) for graph in graphs)
    if not all(found.is_like(other) for other in others):
        raise CannotReplaceError("it is another attention for every batch")
    return found


def _check_kernel(found: Attention, form: PluginForm) -> None:
    """Refuse what the kernel is not built for.

    Raises:
        CannotReplaceError: Names the number and what there is.
    """
    batch, heads, tokens, head_dim = found.sizes
    if found.kind not in KINDS:
        raise CannotReplaceError("it computes in float32; there are kernels for fp16 and bf16")
    if head_dim not in HEAD_DIMS:
        dims = ", ".join(map(str, HEAD_DIMS))
        raise CannotReplaceError(f"its heads are {head_dim} wide; there are kernels for {dims}")
    if tokens > MAX_TOKENS or heads * head_dim > MAX_WIDTH or batch >= 2**16:
        raise CannotReplaceError(f"{batch} x {tokens} tokens of {heads} heads are too many")
    if found.bias is not None and not form.takes_bias:
        raise CannotReplaceError("it adds a bias, which only the plugin library takes")


def _replace(graphs: Sequence[Graph], found: Attention, form: PluginForm) -> Replacement:
    batch, heads, tokens, head_dim = found.sizes
    graph = graphs[0]
    first = batch if len(graphs) == 1 else -1
    packed = (batch, tokens, 3 * heads * head_dim)
    qkv, nodes, constants = _packed(graph, found)
    shape = graph.shape(qkv) if qkv in graph.makers else _merged_shape(graph, found)
    kind = graph.kind(found.operands[0].source)
    if kind != found.kind:
        nodes.append(_node("Cast", [qkv], f"{found.node}/typed"))
        nodes[-1].attribute.append(helper.make_attribute("to", found.kind))
        qkv = nodes[-1].output[0]
    if shape != packed:
        qkv = _reshape(qkv, f"{found.node}/packed", (first, *packed[1:]), nodes, constants)
    inputs = [qkv]
    if found.bias is not None:
        constants.append(_padded_bias(found))
        inputs.append(constants[-1].name)
    target, sides = _result(graphs, found)
    whole = sides == (batch, tokens, heads * head_dim)
    output = target if whole else f"{found.node}/joined"
    nodes.append(form.node(inputs, output, name=found.node, heads=heads, scale=found.scale))
    if not whole:
        _reshape(output, target, sides, nodes, constants)  # a free batch needs none
    return Replacement(nodes, constants, target)


def _packed(graph: Graph, found: Attention) -> tuple[str, list[NodeProto], list[TensorProto]]:
    """The tensor [.., 3 * heads * head_dim], with what computes it where it isn't there yet.

    Raises:
        CannotReplaceError: It isn't there, and no weights could be put in order for it.
    """
    sources = {operand.source for operand in found.operands}
    order = np.concatenate([operand.columns.ravel() for operand in found.operands])
    if len(sources) == 1:
        [source] = sources
        if np.array_equal(order, np.arange(graph.shape(source)[-1])):
            return source, [], []
    linears = [_linear(graph, operand) for operand in found.operands]
    if len({linear.source for linear in linears}) > 1:
        raise CannotReplaceError("queries, keys and values come from different tensors")
    return _merge(graph, found, linears)


def _merge(
    graph: Graph, found: Attention, linears: Sequence[Linear]
) -> tuple[str, list[NodeProto], list[TensorProto]]:
    """One product in place of several of the same tensor."""
    kind = graph.kind(found.operands[0].source)
    weight = np.concatenate([linear.weight for linear in linears], axis=1)
    nodes = [_node("MatMul", [linears[0].source, f"{found.node}/weight"], f"{found.node}/product")]
    constants = [write(weight, kind, f"{found.node}/weight")]
    if any(linear.bias is not None for linear in linears):
        biases = [np.zeros(x.weight.shape[1]) if x.bias is None else x.bias for x in linears]
        constants.append(write(np.concatenate(biases), kind, f"{found.node}/bias"))
        nodes.append(_node("Add", [nodes[0].output[0], constants[1].name], f"{found.node}/qkv"))
    return nodes[-1].output[0], nodes, constants


def _merged_shape(graph: Graph, found: Attention) -> tuple[int, ...]:
    rows = graph.shape(found.operands[0].source)[:-1]
    return (*rows, 3 * found.operands[0].columns.size)


def _linear(graph: Graph, operand: Operand) -> Linear:
    """The product that makes an operand, with the columns that the operand takes, in its order.

    Raises:
        CannotReplaceError: Something else makes it.
    """
    node, bias = graph.makers.get(operand.source), None
    if node is not None and node.op_type == "Add":
        first, second = node.input
        if first in graph.constants:
            first, second = second, first
        bias = _row(graph, second, graph.shape(operand.source)[-1])
        node = graph.makers.get(first) if bias is not None else None
    columns = operand.columns.ravel()
    if node is not None and node.op_type == "Gemm" and bias is None:
        return _gemm(graph, node, columns)
    if node is None or node.op_type != "MatMul":
        what = "computed otherwise" if node is None else f"what {node.op_type} gives"
        raise CannotReplaceError(f"its queries, keys or values are {what}, not one product's")
    weight = _weight(graph, node.input[1])
    return Linear(node.input[0], weight[:, columns], None if bias is None else bias[columns])


def _gemm(graph: Graph, node: NodeProto, columns: NDArray[np.int64]) -> Linear:
    settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    plain = settings.get("alpha", 1) == settings.get("beta", 1) == 1 and not settings.get("transA")
    weight = _weight(graph, node.input[1])
    weight = weight.T if settings.get("transB") else weight
    third = node.input[2] if len(node.input) > 2 else ""
    bias = _row(graph, third, weight.shape[1]) if third else None
    if not plain or (third and bias is None):
        raise CannotReplaceError("its queries, keys or values are not a plain product's")
    return Linear(node.input[0], weight[:, columns], None if bias is None else bias[columns])


def _weight(graph: Graph, name: str) -> NDArray[np.float32]:
    tensor = graph.constants.get(name)
    if tensor is None or len(tensor.dims) != 2:
        maker = graph.makers.get(name)
        quantised = maker is not None and maker.op_type == "DequantizeLinear"
        what = "are quantised" if quantised else "are no constant matrix"
        raise CannotReplaceError(f"the weights of its queries, keys or values {what}")
    return read(tensor)


def _row(graph: Graph, name: str, width: int) -> NDArray[np.float32] | None:
    """The numbers of a constant of one row."""
    tensor = graph.constants.get(name)
    if tensor is None or np.prod(tensor.dims, dtype=int) != width:
        return None
    return read(tensor).reshape(-1)


def _padded_bias(found: Attention) -> TensorProto:
    """The bias [heads, tokens, stride], its rows of even length.

    Raises:
        CannotReplaceError: The kernel's type does not hold its numbers.
    """
    assert found.bias is not None
    bias = np.pad(found.bias, ((0, 0), (0, 0), (0, found.bias.shape[2] % 2)))
    with np.errstate(over="ignore"):
        tensor = write(bias, found.kind, f"{found.node}/added")
    if not np.array_equal(read(tensor), bias):
        raise CannotReplaceError("its bias is of float32 and loses digits in the kernel's type")
    return tensor


def _result(graphs: Sequence[Graph], found: Attention) -> tuple[str, tuple[int, ...]]:
    """The tensor in which the heads of each token lie side by side, and its sides.

    Raises:
        CannotReplaceError: There is none.
    """
    batch, heads, tokens, head_dim = found.sizes
    whole = (batch, tokens, heads * head_dim)
    wanted = np.arange(np.prod(whole)).reshape(found.sizes)
    wanted = wanted.transpose(0, 2, 1, 3).ravel()  # [batch, tokens, heads, head_dim]
    joined: tuple[str, tuple[int, ...]] | None = None
    for tensor, numbers in _onwards(graphs[0], found):
        if np.array_equal(numbers.ravel(), wanted):
            joined = tensor, numbers.shape
            if numbers.shape == whole:
                break
    if joined is None:
        raise CannotReplaceError("its heads are not put side by side again behind it")
    if len(graphs) > 1 and joined[1] != whole:
        raise CannotReplaceError("the batch is not the first dimension of its result")
    return joined


def _onwards(graph: Graph, found: Attention) -> Iterator[tuple[str, Indices]]:
    """Follow the result as long as it is only moved; where each number lay in it."""
    tensor = found.result
    numbers = np.arange(np.prod(found.sizes)).reshape(found.shape)
    while True:
        yield tensor, numbers
        readers = graph.readers(tensor)
        if len(readers) != 1 or tensor in graph.outputs or not graph.moves(readers[0]):
            return
        if readers[0].input[0] != tensor or len(readers[0].output) != 1:
            return
        tensor = readers[0].output[0]
        numbers = graph.move(readers[0], numbers, tensor)


def _reshape(
    tensor: str,
    output: str,
    shape: tuple[int, ...],
    nodes: list[NodeProto],
    constants: list[TensorProto],
) -> str:
    constants.append(numpy_helper.from_array(np.array(shape, np.int64), f"{output}_shape"))
    nodes.append(_node("Reshape", [tensor, constants[-1].name], output))
    return output


def _node(operator: str, inputs: list[str], output: str) -> NodeProto:
    """A node with one output, called like it."""
    return helper.make_node(operator, inputs, [output], name=output)


def _write(model: onnx.ModelProto, replacements: Sequence[Replacement]) -> onnx.ModelProto:
    """Put the new nodes where the tensors that they compute were made; drop what is unused."""
    new = onnx.ModelProto()
    new.CopyFrom(model)
    by_target = {replacement.target: replacement for replacement in replacements}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        replacement = by_target.get(node.output[0])
        nodes.extend([node] if replacement is None else replacement.nodes)
    added = [tensor for replacement in replacements for tensor in replacement.constants]
    kept, read_names = _needed(nodes, [value.name for value in model.graph.output])
    del new.graph.node[:], new.graph.initializer[:]
    new.graph.node.extend(kept)
    new.graph.initializer.extend(
        tensor for tensor in (*model.graph.initializer, *added) if tensor.name in read_names
    )
    made = {name for node in kept for name in node.output}
    values = [value for value in model.graph.value_info if value.name in made]
    del new.graph.value_info[:]
    new.graph.value_info.extend(values)
    new.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return new


def _needed(nodes: list[NodeProto], outputs: Sequence[str]) -> tuple[list[NodeProto], set[str]]:
    """The nodes that outputs depend on, and every tensor that these read."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1], wanted
