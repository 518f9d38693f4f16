"""The progress line of a training run: on standard error, and only where someone watches."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from sdk.cli.exits import say
from sdk.cli.progress import stderr_is_watched


class Progress:
    """Counts steps, shows them, and says what validations found.

    Args:
        total: Steps of the run.
        first: Where it starts or resumes.
        leads: Whether this process speaks.
        label: What is done.
    """

    def __init__(self, total: int, first: int, leads: bool, label: str = "training") -> None:
        self.leads, self._steps, self._started = leads, 0, time.perf_counter()
        self._bar: Any = None
        if leads and stderr_is_watched():
            self._bar, self._task = _bar(total, first, label)

    @property
    def steps_per_s(self) -> float:
        """Mean speed of this run, validations included."""
        return self._steps / (time.perf_counter() - self._started)

    def advance(self) -> None:
        """Count a step."""
        self._steps += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1)

    def show(self, loss: float) -> None:
        """Show the loss in the bar."""
        if self._bar is not None:
            self._bar.update(self._task, loss=f"loss {loss:.4f}")

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(message, highlight=False, markup=False)
        elif self.leads:
            say(message)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar(total: int, first: int, label: str) -> tuple[Any, Any]:
    import rich.progress as rp
    from rich.console import Console

    bar = rp.Progress(
        rp.TextColumn(label),
        rp.BarColumn(),
        rp.MofNCompleteColumn(),
        rp.TimeRemainingColumn(compact=True),
        rp.TextColumn("{task.fields[loss]}"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
    return bar, bar.add_task("", total=total, completed=first, loss="")
