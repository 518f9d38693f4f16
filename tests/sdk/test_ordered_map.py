from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from queue import Queue

import pytest

from sdk.ordered_map import ordered_map

PATIENCE_S = 30  # never waited for unless something is broken


def lane_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("framescore-")]


def test_results_come_in_the_order_of_the_items() -> None:
    """The first item finishes last: it waits until every other worker has been busy."""
    others_done = threading.Semaphore(0)

    def work(item: int) -> int:
        if item == 0:
            for _ in range(4):
                assert others_done.acquire(timeout=PATIENCE_S)
        else:
            others_done.release()
        return item * item

    assert list(ordered_map(work, iter(range(50)), workers=3)) == [n * n for n in range(50)]


def test_several_items_are_worked_on_at_once() -> None:
    together = threading.Barrier(3)
    results = ordered_map(lambda _: together.wait(PATIENCE_S) >= 0, iter(range(9)), workers=3)
    assert list(results) == [True] * 9


def test_result_does_not_wait_for_the_next_item() -> None:
    items: Queue[int | None] = Queue()
    source = iter(items.get, None)
    with closing(ordered_map(abs, source, workers=4)) as results:  # type: ignore[type-var]
        for value in (-1, -2, -3):
            items.put(value)
            assert next(results) == -value  # while the feeder waits for another item
        items.put(None)
        assert list(results) == []


def test_error_of_the_items_comes_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("cable pulled")

    results = ordered_map(abs, items(), workers=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="cable pulled"):
        next(results)
    assert lane_threads() == []


def test_error_of_the_function_is_raised_in_its_place() -> None:
    def work(item: int) -> float:
        return 1 / (item - 3)

    results = ordered_map(work, iter(range(9)), workers=2)
    assert len([next(results) for _ in range(3)]) == 3
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert lane_threads() == []


def test_closing_stops_an_endless_source_and_its_threads() -> None:
    closed = threading.Event()
    drawn = []

    def endless() -> Iterator[int]:
        try:
            while True:
                drawn.append(len(drawn))
                yield drawn[-1]
        finally:
            closed.set()

    results = ordered_map(abs, endless(), workers=2)
    assert [next(results), next(results)] == [0, 1]
    results.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert lane_threads() == []
    assert len(drawn) <= 2 + 2 * 2 + 1  # delivered, waiting or in work, one in hand


def test_no_items_no_results() -> None:
    assert list(ordered_map(abs, iter(()), workers=1)) == []
    assert lane_threads() == []
