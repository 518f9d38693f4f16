"""Where the border between the precisions runs: as few and as small casts as can be."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from export.precision.rules import PRODUCTS
from export.precision.typed_graph import TypedGraph

if TYPE_CHECKING:
    from collections.abc import Collection

_ENDLESS: Final = 1 << 60
_FULL: Final = ("", "fp32")  # the two ends of the flow; tensors' names are never pairs
_SHORT: Final = ("", "short")


def join_regions(graph: TypedGraph, kept: Collection[str]) -> set[str]:
    """Choose the precision of all nodes that neither need float32 nor gain much without it.

    Products that are not kept take the short format. The others go with their neighbours, such
    that the number of casts is the least possible, and among equals the casts' tensors are the
    smallest: a minimum cut between the kept nodes and the products (Edmonds and Karp 1972).

    Args:
        graph: The graph.
        kept: Nodes that are float32.

    Returns:
        All nodes that are float32.
    """
    network = _Network()
    for node in graph.nodes.values():
        if node.name in kept:
            network.add(_FULL, node.name, _ENDLESS)
        elif node.op in PRODUCTS:
            network.add(node.name, _SHORT, _ENDLESS)
    whole = 1 + sum(graph.size(name) for name in graph.kinds if graph.is_float(name))
    for tensor in _tensors(graph):
        price = whole + graph.size(tensor)  # one cast more always costs more than larger ones
        _charge(network, graph, tensor, price)
    return network.cut() & graph.nodes.keys()


def _tensors(graph: TypedGraph) -> list[str]:
    """Activations that a float node computes."""
    return [name for name in graph.makers if graph.is_float(name)]


def _charge(network: _Network, graph: TypedGraph, tensor: str, price: int) -> None:
    """Let a cast cost: one for all readers of the other precision than the tensor's maker."""
    maker = graph.makers[tensor]
    source = maker.name if tensor in maker.writes else _FULL
    users: list[object] = [
        reader.name if tensor in reader.reads else _FULL for reader in graph.readers.get(tensor, ())
    ]
    if tensor in graph.outputs:
        users.append(_FULL)
    widened, narrowed = ("widened", tensor), ("narrowed", tensor)
    network.add(widened, source, price)
    network.add(source, narrowed, price)
    for user in users:
        network.add(user, widened, _ENDLESS)
        network.add(narrowed, user, _ENDLESS)


class _Network:
    """A flow network whose source is float32 and whose sink is the short format."""

    def __init__(self) -> None:
        self.room: dict[object, dict[object, int]] = {_FULL: {}, _SHORT: {}}

    def add(self, start: object, end: object, room: int) -> None:
        """Let flow pass from one node to another."""
        if start != end:
            forth = self.room.setdefault(start, {})
            forth[end] = forth.get(end, 0) + room
            self.room.setdefault(end, {}).setdefault(start, 0)

    def cut(self) -> set[str]:
        """Fill the network; the source's side of the smallest cut, itself as small as possible."""
        while True:
            came = self._search()
            if _SHORT not in came:
                return {node for node in came if isinstance(node, str)}
            path: list[object] = [_SHORT]
            while path[-1] != _FULL:
                path.append(came[path[-1]])
            steps = list(zip(path[1:], path, strict=False))
            flow = min(self.room[start][end] for start, end in steps)
            for start, end in steps:
                self.room[start][end] -= flow
                self.room[end][start] += flow

    def _search(self) -> dict[object, object]:
        """Nodes with room on the way from the source, each with the node before it."""
        came: dict[object, object] = {_FULL: _FULL}
        queue: deque[object] = deque([_FULL])
        while queue:
            node = queue.popleft()
            for end, room in self.room[node].items():
                if room > 0 and end not in came:
                    came[end] = node
                    queue.append(end)
        return came
