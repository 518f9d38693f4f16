"""Locks between processes: a plan that two of them want is built once."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_POLL_S: Final = 0.1


@contextmanager
def hold_lock(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; it ends with the process, however that ends.

    Args:
        path: The file that stands for it.
        waiting: Called again and again while another process holds it.
    """
    while True:
        with path.open("a") as file:
            while not try_lock(file.fileno()):
                waiting()
                time.sleep(_POLL_S)
            # Whoever held it may have removed the file; then others lock a new one.
            if _names(path, file.fileno()):
                yield
                return


def try_lock(descriptor: int) -> bool:
    """Lock a file unless another process has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _names(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
