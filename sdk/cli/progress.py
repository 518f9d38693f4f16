"""The progress line of a run: on standard error, and only where someone watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Called after each scored frame."""

    def __call__(self, score: float, /) -> None:
        """Count one frame and show its score."""


@contextmanager
def show_progress(name: str, total: int | None, *, visible: bool) -> Iterator[Progress]:
    """Show a bar with the time left, or a spinner with the rate where the length is unknown.

    Args:
        name: What is being scored.
        total: Frames expected, or None.
        visible: False yields a progress that shows nothing and costs nothing.
    """
    if not visible:
        yield _ignore
        return
    import rich.progress as rp
    from rich.console import Console

    ending = [rp.BarColumn(), rp.MofNCompleteColumn(), rp.TimeRemainingColumn(compact=True)]
    columns: list[rp.ProgressColumn] = [
        rp.SpinnerColumn() if total is None else rp.TextColumn(""),
        rp.TextColumn("{task.fields[label]}", markup=False),
        *(ending if total is not None else [rp.TextColumn("{task.completed} frames")]),
        rp.TextColumn("{task.fields[rate]}"),
        rp.TextColumn("{task.fields[score]}"),
    ]
    # Redirecting standard output would send scores to stderr; messages do belong above the bar.
    bar = rp.Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
    with bar:
        task = bar.add_task("", total=total, label=_short(name), rate="", score="")

        def advance(score: float) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:.1f} fps" if speed else ""
            bar.update(task, advance=1, rate=rate, score=f"score {score:.1f}")

        yield advance


def stderr_is_watched() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def _short(name: str, width: int = 28) -> str:
    return name if len(name) <= width else "…" + name[1 - width :]


def _ignore(_score: float) -> None:
    """Show nothing."""
