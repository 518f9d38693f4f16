"""The progress of long work: a bar a stage, on standard error, only where someone watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from export.progress import Progress, silent
from sdk.cli.progress import stderr_is_watched


@contextmanager
def show_stages() -> Iterator[Progress]:
    """Show the stage under way, with a bar where its length is known.

    Yields:
        What to pass as `progress`; it shows nothing where standard error is no terminal.
    """
    if not stderr_is_watched():
        yield silent
        return
    import rich.progress as rp
    from rich.console import Console

    columns = [
        rp.SpinnerColumn(),
        rp.TextColumn("{task.description}", markup=False),
        rp.BarColumn(),
        rp.MofNCompleteColumn(),
        rp.TimeRemainingColumn(compact=True),
    ]
    # The stream itself: tracing points sys.stderr elsewhere while it runs.
    console = Console(file=sys.stderr)
    with rp.Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None)
        shown = ""

        def show(stage: str, done: int, total: int) -> None:
            nonlocal shown
            if stage != shown:  # a bar of its own: the time left is that of the stage
                bar.reset(task, description=stage)
                shown = stage
            bar.update(task, completed=done, total=total or None)

        yield show
