from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import pytest

from export.precision.formats import FP16
from export.precision.regions import join_regions
from export.precision.rewrite import write_typed
from export.precision.rules import PRODUCTS
from export.precision.typed_graph import TypedGraph
from tests.export.precision.graphs import casts, read_graph

ENTRY = "a = Cast <to = 1> (x) first = MatMul (a, w)"
EXIT = "last = MatMul (z, w) score = Relu (last)"


def typed_graph(middle: str) -> TypedGraph:
    model = read_graph(
        f"{ENTRY} {middle} {EXIT}",
        x="4,4",
        score="4,4",
        w=np.eye(4, dtype=np.float32),
        c=np.float32(1),
    )
    return TypedGraph(model, FP16)


def test_without_anything_to_keep_all_is_short_but_the_output() -> None:
    graph = typed_graph("z = Relu (first)")
    assert join_regions(graph, ()) == set()
    assert casts(write_typed(graph, ())) == ["x", "score_fp16"]


def test_cheap_nodes_between_kept_ones_join_them() -> None:
    graph = typed_graph("e = Exp (first) f = Relu (e) g = Mul (f, c) z = Log (g)")
    assert join_regions(graph, {"e", "z"}) == {"e", "f", "g", "z"}


def test_a_product_between_kept_nodes_stays_short() -> None:
    graph = typed_graph("e = Exp (first) m = MatMul (e, w) z = Log (m)")
    assert join_regions(graph, {"e", "z"}) == {"e", "z"}


def test_a_cheap_node_beside_a_kept_one_stays_short_if_nothing_is_gained() -> None:
    graph = typed_graph("r = Relu (first) e = Exp (r) z = Neg (e)")
    assert join_regions(graph, {"e"}) == {"e"}


def test_a_tensor_is_cast_once_before_it_is_split() -> None:
    graph = typed_graph(
        "p, q = Split <axis = 1, num_outputs = 2> (first) "
        "e = Exp (p) f = Exp (q) z = Concat <axis = 1> (e, f)"
    )
    full = join_regions(graph, {"e", "f"})
    assert full == {"p", "e", "f", "z"}
    assert casts(write_typed(graph, full)) == ["x", "first", "z", "score_fp16"]


def test_among_equal_numbers_of_casts_the_smaller_tensors_are_cast() -> None:
    graph = typed_graph("e = Exp (first) s = ReduceMax <keepdims = 0> (e) z = Mul (first, s)")
    full = join_regions(graph, {"e"})
    assert full == {"e", "s"}  # one number is cast rather than sixteen


def test_an_output_is_float32_for_those_outside() -> None:
    model = read_graph(
        f"{ENTRY} e = Exp (first) m = MatMul (first, w) score = Add (e, m)",
        x="4,4",
        score="4,4",
        w=np.eye(4, dtype=np.float32),
    )
    full = join_regions(TypedGraph(model, FP16), {"e"})
    assert full == {"e", "score"}  # one cast of m; short, e and the score would be cast
    assert casts(write_typed(TypedGraph(model, FP16), full)) == ["x", "first", "m"]


def random_graph(seed: int) -> tuple[onnx.ModelProto, set[str]]:
    """Eight nodes that read one or two tensors before them, and those to keep."""
    random = np.random.default_rng(seed)
    tensors, lines, kept = ["first"], [], set()
    for number in range(8):
        name = f"n{number}"
        one, other = random.choice(tensors, 2)
        operator = random.choice(["Relu", "Add", "Mul", "MatMul", "Exp"])
        reads = one if operator in ("Relu", "Exp") else f"{one}, {other}"
        lines.append(f"{name} = {operator} ({reads})")
        if operator == "Exp":
            kept.add(name)
        tensors.append(name)
    unread = [name for name in tensors if sum(line.count(name) for line in lines) < 2]
    lines.append(f"z = Sum ({', '.join([*unread, tensors[-1]])})")
    model = read_graph(
        f"{ENTRY} {' '.join(lines)} {EXIT}", x="4,4", score="4,4", w=np.eye(4, dtype=np.float32)
    )
    return model, kept


@pytest.mark.parametrize("seed", range(12))
def test_no_other_choice_has_fewer_casts(seed: int) -> None:
    model, kept = random_graph(seed)
    graph = TypedGraph(model, FP16)
    free = [
        node.name
        for node in graph.nodes.values()
        if node.name not in kept and node.op not in PRODUCTS
    ]
    every = (
        kept | {name for name, full in zip(free, choice, strict=True) if full}
        for choice in product([False, True], repeat=len(free))
    )
    fewest = min(crossings(graph, full) for full in every)
    found = join_regions(graph, kept)
    assert kept <= found
    assert crossings(graph, found) == fewest
    inner = [name for name in casts(write_typed(graph, found)) if name != "x"]
    assert len(inner) == fewest


def crossings(graph: TypedGraph, full: set[str]) -> int:
    """Tensors that nodes of the other precision than their maker's read; each costs one cast."""
    count = 0
    for tensor, maker in graph.makers.items():
        users = {reader.name in full for reader in graph.readers.get(tensor, ())}
        users |= {True} if tensor in graph.outputs else set()
        count += (maker.name not in full) in users
    return count
