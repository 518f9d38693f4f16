"""The figures that tables show: what each is called and how it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.backends import VARIANTS
from benchmarks.brisque import SIZES as BRISQUE_SIZES
from benchmarks.expectations import look_up
from benchmarks.fresh import MEMORY_SIZES
from benchmarks.settings import SIZES

Results = Mapping[str, Any]
Reading = Callable[[Any], str]

_PLAIN = ("bgr", "views")
_THREADS = {"all_cores": "all cores", "one_thread": "one thread"}
_START = {
    "import_sdk": "`import sdk`",
    "construct": "`Scorer()`",
    "first_score": "first score, 1080p",
    "second_score": "second score, 1080p",
    "to_first_score": "from the start of Python to the first score",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of a table.

    Attributes:
        label: What it is.
        path: Where it lies in the results, dotted.
        read: Turns what lies there into text.
        headline: What the short table calls it; empty where it isn't shown there.
    """

    label: str
    path: str
    read: Reading
    headline: str = ""

    def text(self, results: Results) -> str:
        """Return what was measured, or why nothing was."""
        value = look_up(results, self.path)
        if value is not None:
            return self.read(value)
        parent = self.path
        while parent := parent.rpartition(".")[0]:
            reason = look_up(results, f"{parent}.unavailable")
            if reason is not None:
                return str(reason)
        return "not measured"


def number(value: float) -> str:
    """Write a figure with three digits, or all before the point."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def with_unit(unit: str) -> Reading:
    """Read a single figure."""
    return lambda value: f"{number(value)} {unit}"


def median(unit: str) -> Reading:
    """Read the median of a summary."""
    return lambda summary: f"{number(summary['median'])} {unit}"


def median_and_p99(unit: str) -> Reading:
    """Read the median and the 99th percentile of a summary."""
    return lambda summary: f"{number(summary['median'])} / {number(summary['p99'])} {unit}"


def _whole_path() -> list[Figure]:
    labels = {**_THREADS, "decode_only": "decoding alone"}
    return [
        Figure(
            f"{size} file, {label}",
            f"whole_path.{size}.frames_per_s.{name}",
            median("frames/s"),
            f"{size} file: frames scored a second, with decoding" if name == "all_cores" else "",
        )
        for size in SIZES
        for name, label in labels.items()
    ]


def _scoring() -> list[Figure]:
    rows = []
    for threads, words in _THREADS.items():
        for size in SIZES:
            at, label = f"scoring.{threads}.sizes.{size}", f"{size} frame, {words}"
            headline = f"scoring a decoded {label}: median / p99" if size == "1080p" else ""
            rows += [
                Figure(label, f"{at}.score_ms", median_and_p99("ms"), headline),
                Figure(f"{label}: views", f"{at}.pre_ms", median_and_p99("ms")),
                Figure(f"{label}: network", f"{at}.infer_ms", median_and_p99("ms")),
            ]
        path = f"scoring.{threads}.ratio_4k_to_480p"
        headline = f"time of a decoded 4K frame over one of 480p, {words}"
        rows.append(Figure(f"4K over 480p, {words}", path, median("×"), headline))
    return rows


def _preprocessing() -> list[Figure]:
    kinds = {
        "views": "both views",
        "opencv_area": "OpenCV's area average",
        "numpy": "both views by numpy",
    }
    return [
        Figure(
            f"{name.upper()}: {label}",
            f"preprocessing.{name}.{kind}_us",
            median_and_p99("µs"),
            "inputs of a 1080p frame, one core: median / p99" if (name, kind) == _PLAIN else "",
        )
        for name in ("bgr", "nv12", "i420", "yuyv")
        for kind, label in kinds.items()
    ]


def _backends() -> list[Figure]:
    columns = {
        "all_cores_ms": ("all cores", median_and_p99("ms")),
        "one_thread_ms": ("one thread", median_and_p99("ms")),
        "batch_frames_per_s": ("`score_batch`, all cores", median("frames/s")),
    }
    return [
        Figure(f"{name}, {label}", f"backends.{name}.{key}", read)
        for name in VARIANTS
        for key, (label, read) in columns.items()
    ]


def _brisque() -> list[Figure]:
    rows = []
    for threads, words in _THREADS.items():
        for size in BRISQUE_SIZES:
            at, label = f"brisque.{threads}.{size}", f"{size}, {words}"
            headline = f"time of OpenCV's BRISQUE over ours, {label}" if size == "1080p" else ""
            rows += [
                Figure(f"{label}: framescore", f"{at}.framescore_ms", median("ms")),
                Figure(f"{label}: BRISQUE", f"{at}.brisque_ms", median("ms")),
                Figure(f"{label}: BRISQUE over framescore", f"{at}.ratio", median("×"), headline),
            ]
    return rows


def _fresh_process() -> list[Figure]:
    rows = [
        Figure(label, f"start.{name}_ms", median("ms"), label if name == "to_first_score" else "")
        for name, label in _START.items()
    ]
    for size in MEMORY_SIZES:
        label, path = f"peak memory, {size} file", f"memory.{size}.peak_mib"
        rows.append(Figure(label, path, with_unit("MiB"), label if size == "4K" else ""))
    return rows


SECTIONS: Mapping[str, list[Figure]] = {
    "Whole path: file in, scores out": _whole_path(),
    "Scoring a decoded frame (median / p99)": _scoring(),
    "Making the inputs of a 1080p frame, one core (median / p99)": _preprocessing(),
    "Backends and precisions, 1080p frames (median / p99)": _backends(),
    "Beside OpenCV's BRISQUE, frame by frame (medians)": _brisque(),
    "A fresh process": _fresh_process(),
}
"""Figures by the heading of their table."""
