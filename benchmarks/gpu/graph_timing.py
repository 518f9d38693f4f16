"""Times GPU work as an engine runs it: many launches in one CUDA graph, inputs taking turns.

Hot: eight sets of inputs, which the L2 cache keeps, as in an engine where the producer has just
written them. Cold: as many sets as it takes to be twice the cache, so that each launch reads from
memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

HOT_SETS = 8
COLD_BYTES = 128 * 1024 * 1024  # twice the largest L2 cache we know, 72 MiB, or nearly
MAX_COLD_SETS = 256
LAUNCHES = 200  # in one graph
REPLAYS = 20

Launch = Callable[[int], object]  # puts one launch on the current stream, with inputs number i


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of one launch.

    Attributes:
        median: Over the replays, each the mean of a graph's launches.
        p10: 10th percentile.
        p90: 90th percentile.
    """

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, replays: Iterable[float]) -> Timing:
        """Summarise samples in µs.

        Raises:
            ValueError: There are none.
        """
        values = list(replays)
        if not values:
            raise ValueError("There are no samples to summarise; give at least one.")
        p10, p90 = np.percentile(values, [10, 90])
        return cls(*(float(f"{x:.4g}") for x in (statistics.median(values), p10, p90)))

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"us": self.median, "p10": self.p10, "p90": self.p90}


def cold_sets(bytes_each: int) -> int:
    """How many sets of inputs overflow the cache twice over.

    Args:
        bytes_each: What one launch reads and writes.
    """
    return min(MAX_COLD_SETS, max(HOT_SETS, -(-COLD_BYTES // max(1, bytes_each))))


def time_graph(launch: Launch, sets: int, *, launches: int = LAUNCHES) -> Timing:
    """Capture `launches` launches and replay them.

    Args:
        launch: Called with 0 .. sets - 1 in turns; must be fit for capture.
        sets: How many sets of inputs there are.
        launches: Launches in the graph; at least one of each set is captured.
    """
    import torch

    launches = max(launches, sets)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # compiles, picks algorithms, fills the allocator
        for number in range(min(sets, 3)):
            launch(number)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for number in range(launches):
            launch(number % sets)
    samples = [_replay(graph, stream, launches) for _ in range(REPLAYS + 2)][2:]
    return Timing.of(samples)


def time_alone(launch: Launch, sets: int, runs: int = 50) -> Timing:
    """One launch at a time between events, outside a graph: shows what the host's call costs."""
    import torch

    samples = []
    for number in range(runs + 5):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        before.record()
        launch(number % sets)
        after.record()
        after.synchronize()
        samples.append(before.elapsed_time(after) * 1e3)
    return Timing.of(samples[5:])


def _replay(graph: Any, stream: Any, launches: int) -> float:
    """Microseconds a launch."""
    import torch

    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.stream(stream):
        before.record()
        graph.replay()
        after.record()
    after.synchronize()
    return float(before.elapsed_time(after)) * 1e3 / launches
