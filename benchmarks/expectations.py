"""What was expected of the figures, written down before any of them was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

_FORMATS = ("bgr", "nv12", "i420", "yuyv")
_THREADS = ("all_cores", "one_thread")


@dataclass(frozen=True, slots=True)
class Expectation:
    """A bound that figures have to keep.

    Attributes:
        statement: What is expected.
        bound: Its value.
        kind: Whether the bound must not be exceeded or must be reached.
        paths: Where the figures lie in the results; the worst of them counts.
        unit: Of the bound, for people.
    """

    statement: str
    bound: float
    kind: Literal["at most", "at least"]
    paths: tuple[str, ...]
    unit: str

    def judge(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Return the expectation with what was measured; None where nothing was."""
        found = [value for path in self.paths if (value := look_up(results, path)) is not None]
        worst = max if self.kind == "at most" else min
        measured = worst(found) if len(found) == len(self.paths) else None
        return {
            "statement": self.statement,
            "bound": f"{self.kind} {self.bound:g} {self.unit}".rstrip(),
            "measured": measured,
            "unit": self.unit,
            "kept": None if measured is None else self._keeps(measured),
        }

    def _keeps(self, value: float) -> bool:
        return value <= self.bound if self.kind == "at most" else value >= self.bound


EXPECTATIONS = (
    Expectation(
        "1080p frame to both views on one core, median, slowest of BGR, NV12, I420, YUYV",
        1000,
        "at most",
        tuple(f"preprocessing.{name}.views_us.median" for name in _FORMATS),
        "µs",
    ),
    Expectation(
        "4K over 480p, scoring a decoded frame, median, worse of all cores and one thread",
        1.15,
        "at most",
        tuple(f"scoring.{name}.ratio_4k_to_480p.median" for name in _THREADS),
        "×",
    ),
    Expectation(
        "BRISQUE's time over framescore's at 1080p, all cores, median: expected",
        15,
        "at least",
        ("brisque.all_cores.1080p.ratio.median",),
        "×",
    ),
    Expectation(
        "BRISQUE's time over framescore's at 1080p, all cores, median: goal",
        25,
        "at least",
        ("brisque.all_cores.1080p.ratio.median",),
        "×",
    ),
    Expectation("import sdk, median", 150, "at most", ("start.import_sdk_ms.median",), "ms"),
)


def look_up(results: Mapping[str, Any], path: str) -> Any:
    """Follow a dotted path into nested results; None where it ends early."""

    def step(node: Any, key: str) -> Any:
        return node.get(key) if isinstance(node, Mapping) else None

    return reduce(step, path.split("."), results)
