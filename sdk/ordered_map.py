"""A map over several threads whose results come in order, as soon as they are there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, Queue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

JOIN_S = 2.0  # a read that blocks longer, as on a silent pipe, is left to its daemon thread


def ordered_map(
    function: Callable[[Item], Result], items: Iterator[Item], workers: int
) -> Iterator[Result]:
    """Apply a function to each item, `workers` at a time.

    The items are drawn in a thread of their own, at most 2 * `workers` ahead of the results, so
    that a slow iterator does not hold back the results of what it has already given.

    Args:
        function: Must be thread-safe, and release the GIL to be worth the threads.
        items: Closed at the end if it has a `close`.
        workers: Threads that run the function.

    Yields:
        The results in the order of the items. An error of the function or of the iterator is
        raised in its place, after the results before it.
    """
    futures: Queue[Future[Result] | None] = Queue(maxsize=workers)
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="framescore-lane")
    feeder = threading.Thread(
        target=_feed,
        args=(lambda item: pool.submit(function, item), items, futures, stop),
        name="framescore-feeder",
        daemon=True,
    )
    feeder.start()
    try:
        while (future := futures.get()) is not None:
            yield future.result()
    finally:
        stop.set()
        _drain(futures)  # wakes a feeder that waits for room
        feeder.join(JOIN_S)
        pool.shutdown(cancel_futures=True)


def _feed(
    submit: Callable[[Item], Future[Result]],
    items: Iterator[Item],
    futures: Queue[Future[Result] | None],
    stop: threading.Event,
) -> None:
    """Fill the queue; after `stop` at most one more future is put, and the drained queue has room.

    The error of an iterator travels as a future that has failed.
    """
    try:
        for item in items:
            if stop.is_set():
                break
            futures.put(submit(item))
    except BaseException as error:
        failed: Future[Result] = Future()
        failed.set_exception(error)
        if not stop.is_set():
            futures.put(failed)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
    if not stop.is_set():
        futures.put(None)


def _drain(futures: Queue[Future[Result] | None]) -> None:
    try:
        while (future := futures.get_nowait()) is not None:
            future.cancel()
    except Empty:
        return
