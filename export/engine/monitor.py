"""TensorRT's progress, which comes as phases within phases, as one bar that only grows."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from export.engine.surface import TensorRT

TOTAL: Final = 100  # the bar counts percent


class Phases:
    """Where a build is.

    A phase's steps are taken for equally long, and a phase within it for one of its steps. That is
    not so, but the builder tells nothing better, and what is done grows towards the whole.

    Args:
        report: Called with the steps of `TOTAL` that are done, each time they become more.
    """

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps done, steps
        self._done = 0
        self._lock = Lock()  # the builder calls from several threads

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase."""
        with self._lock:
            self._phases[name] = (parent, 0, max(1, steps))
            self._say(name)

    def step(self, name: str, step: int) -> None:
        """Finish step number `step`, from 0, of a phase."""
        with self._lock:
            parent, _, steps = self._phases.get(name, (None, 0, 1))
            self._phases[name] = (parent, min(step + 1, steps), steps)
            self._say(name)

    def finish(self, name: str) -> None:
        """End a phase."""
        with self._lock:
            self._phases.pop(name, None)

    def _say(self, name: str) -> None:
        done = int(TOTAL * self._fraction(name))
        if done > self._done:
            self._done = done
            self._report(done)

    def _fraction(self, name: str) -> float:
        """How far the whole build is, seen from a phase: 0 to 1."""
        inner, seen = 0.0, set[str]()
        current: str | None = name
        while current in self._phases and current not in seen:
            seen.add(current)
            parent, done, steps = self._phases[current]
            inner = min(1.0, (done + inner) / steps)
            current = parent
        return inner


def make_monitor(trt: TensorRT, phases: Phases) -> Any:
    """Return a progress monitor that TensorRT takes."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self._heard = True

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._tell(lambda: phases.start(phase_name, parent_phase, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(lambda: phases.step(phase_name, step))
            return self._heard  # False cancels the build

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

        def _tell(self, tell: Callable[[], None]) -> None:
            """Nothing may be raised through TensorRT; when nobody listens, the build is over."""
            try:
                tell()
            except OSError:
                self._heard = False

    return Monitor()
