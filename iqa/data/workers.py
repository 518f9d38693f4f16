"""Frames made by worker processes, given in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Made = TypeVar("Made")


def made_in_order(
    make: Callable[[Item], Made], items: Iterable[Item], workers: int, chunk: int
) -> Iterator[Made]:
    """Yield ``make(item)`` for each item.

    Args:
        make: A function that can be pickled.
        items: Its arguments.
        workers: Processes, of one thread each; 1 is this process itself.
        chunk: Items that a process takes at once.
    """
    if workers == 1:
        yield from map(make, items)
        return
    # Spawned: a fork would share locks that threads of torch and OpenCV hold, and wait for ever.
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield from pool.map(make, items, chunksize=chunk)
