"""Latencies are measured in turns, and what is said of them follows from the figures."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import export.verify.latency as latency
from export.verify.candidates import Candidate, list_candidates
from export.verify.latency import Latency, in_words, measure_latency
from sdk.bundle import Bundle
from sdk.errors import BackendError
from sdk.manifest import OnnxGraph

DURATION = {"fp32": 0.02, "fp16": 0.02, "int8": 0.01}  # seconds


class Sleeper:
    """A backend that takes a known time."""

    def __init__(self, candidate: Candidate, log: list[str]) -> None:
        self.candidate, self.log = candidate, log

    def infer(self, _inputs: object) -> None:
        self.log.append(str(self.candidate))
        time.sleep(DURATION[self.candidate.precision])


def test_real_backends_are_timed(small_bundle: Bundle) -> None:
    candidates = list_candidates(small_bundle)
    inputs = next(small_bundle.golden.frames())
    timed = measure_latency(small_bundle, candidates, inputs, rounds=5, threads=1)
    assert [one.candidate for one in timed] == [c for c in candidates if c.backend != "typed"]
    for one in timed:
        assert 0 < one.median_ms <= one.p90_ms
        assert one.low <= one.speedup <= one.high
        if one.candidate.precision == "fp32":
            assert one.speedup == 1


def test_turns_are_taken_and_speedups_come_out(
    small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []

    @contextmanager
    def opened(_bundle: Bundle, candidate: Candidate, _threads: int | None) -> Iterator[Any]:
        if candidate.precision == "fp16":
            raise BackendError("cannot")
        yield Sleeper(candidate, log)

    monkeypatch.setattr(latency, "open_candidate", opened)
    monkeypatch.setattr("sdk.backends.openvino.precisions", lambda: ("fp32",))
    timed = measure_latency(
        small_bundle, list_candidates(small_bundle, ["openvino"]), {}, rounds=12
    )
    assert [one.candidate.precision for one in timed] == ["fp32", "int8"]
    assert timed[1].speedup == pytest.approx(2, rel=0.2)
    rounds = [set(log[start : start + 2]) for start in range(2 * latency.WARM_UP, len(log), 2)]
    assert len(rounds) == 12
    assert all(len(names) == 2 for names in rounds)  # both in each round
    firsts = set(log[2 * latency.WARM_UP :: 2])
    assert len(firsts) == 2  # neither is always first


def one(precision: str, median: float, speedup: float, low: float, high: float) -> Latency:
    graph = OnnxGraph(file="f", opset=20, precision=precision)
    return Latency(Candidate(graph, "openvino", precision), median, median, speedup, low, high)


def test_words_follow_the_interval() -> None:
    words = in_words(
        [one("fp32", 20, 1, 1, 1), one("fp16", 18, 1.1, 1.01, 1.2), one("int8", 10, 2, 1.8, 2.2)]
    )
    assert words == [
        "fp16 on openvino is not worth it here: 1.10× as fast as fp32 here (1.01 to 1.20).",
        "int8 on openvino is 2.00× as fast as fp32 here (1.80 to 2.20).",
        "Fastest here: int8 on openvino, 10.0 ms a frame.",
    ]
    assert in_words([]) == []


def test_without_fp32_nothing_is_said_of_gains() -> None:
    lonely = latency._latency(one("int8", 1, 1, 1, 1).candidate, np.array([3.0, 4.0, 5.0]), None)
    assert lonely.median_ms == 4
    assert math.isnan(lonely.speedup)
    assert in_words([lonely]) == ["Fastest here: int8 on openvino, 4.0 ms a frame."]
