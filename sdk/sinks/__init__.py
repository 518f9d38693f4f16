"""Where scores go: a table for eyes, JSONL and CSV for programs, VMAF's JSON for its tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, TextIO, TypeVar

from sdk.errors import UsageError
from sdk.results import FrameScore, VideoScore

_Self = TypeVar("_Self")

SINK_FORMATS: Final = ("table", "jsonl", "csv", "vmaf-json")
"""Names that `open_sink` takes."""


class Sink(Protocol):
    """What takes the scores of one run.

    Frames arrive source by source; `finish` is called once, after the last frame, with one
    summary for each source that gave frames, in the same order.
    """

    def append(self, score: FrameScore) -> None:
        """Take the score of the next frame.

        Raises:
            SinkError: The output cannot be written.
            BrokenPipeError: The reader has gone.
        """
        ...

    def finish(self, videos: Sequence[VideoScore]) -> None:
        """Write what belongs at the end; raises as `append` does."""
        ...

    def __enter__(self: _Self) -> _Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_sink(
    format: str,
    target: str | Path | TextIO | None = None,
    *,
    pool: Sequence[str] = ("mean", "p5", "min"),
    several: bool = False,
) -> Sink:
    """Open a sink by the name of its format.

    Args:
        format: One of `SINK_FORMATS`.
        target: File to write, an open text stream, or None for standard output.
        pool: Pooling methods that the table shows; the other formats always carry all of them.
        several: Whether the run has several sources, which `vmaf-json` needs to know beforehand.

    Raises:
        UsageError: The format is unknown.
        SinkError: The file cannot be opened.
    """
    if format == "table":
        from sdk.sinks.table import TableSink

        return TableSink(target, pool=pool)
    if format == "jsonl":
        from sdk.sinks.jsonl import JsonlSink

        return JsonlSink(target)
    if format == "csv":
        from sdk.sinks.csv import CsvSink

        return CsvSink(target)
    if format == "vmaf-json":
        from sdk.sinks.vmaf_json import VmafJsonSink

        return VmafJsonSink(target, several=several)
    raise UsageError(
        f"Unknown output format {format!r}; allowed are {', '.join(SINK_FORMATS)}.",
        hint="Give one of them as --format.",
    )
