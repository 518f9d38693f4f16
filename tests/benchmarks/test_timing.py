"""Statistics of the samples."""

from __future__ import annotations

import pytest

from benchmarks.timing import interleave, ratios, summarise


def test_summary_of_known_samples() -> None:
    summary = summarise(range(101, 0, -1))  # 1 to 101: the 99th percentile is the 100th of them
    assert summary == {"median": 51, "p99": 100, "min": 1, "max": 101, "runs": 101}


def test_percentile_lies_between_samples() -> None:
    assert summarise([0, 100])["p99"] == 99


def test_figures_keep_five_digits() -> None:
    assert summarise([1234.5678])["median"] == 1234.6


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarise([])


def test_ratios_are_taken_pair_by_pair() -> None:
    # The second pair was measured in a moment ten times as slow.
    assert ratios([20, 200, 60], [10, 100, 20])["median"] == 2


def test_ratios_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


def test_calls_take_turns_and_warm_up_is_not_counted() -> None:
    order: list[tuple[str, int]] = []
    calls = {name: lambda number, name=name: order.append((name, number)) for name in "ab"}
    samples = interleave(calls, runs=2, warm_up=1)
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert {name: len(values) for name, values in samples.items()} == {"a": 2, "b": 2}
