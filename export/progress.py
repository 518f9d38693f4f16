"""How long work reports where it is; the command line draws it, programs may ignore it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on; raise from it to cancel."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Say how far a stage is.

        Args:
            stage: What is being done, in a word or two.
            done: Steps finished.
            total: Steps in all; 0 where that is not known.
        """


def silent(_stage: str, _done: int, _total: int, /) -> None:
    """Show nothing."""
