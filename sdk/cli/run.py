"""One run of `framescore score`: source after source into one sink, failures kept apart."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sdk.cli.exits import EXIT_BELOW, EXIT_FAILURE, EXIT_OK, report, say
from sdk.cli.progress import show_progress, stderr_is_watched
from sdk.errors import SinkError, SourceError
from sdk.series import ScoreSeries

if TYPE_CHECKING:
    from sdk.io import Source
    from sdk.results import FrameScore, VideoScore
    from sdk.scorer import Scorer
    from sdk.sinks import Sink


@dataclass(frozen=True, slots=True)
class Selection:
    """Which frames to score, and what a source cannot say about itself.

    Attributes:
        every: Score every n-th frame.
        fps: Score so many frames of each second instead.
        limit: Stop after so many scored frames of each source.
        raw_size: Width and height of raw frames.
        raw_format: Their pixel format.
        frame_rate: Declared rate of raw video or of images that are a sequence.
    """

    every: int = 1
    fps: float | None = None
    limit: int | None = None
    raw_size: tuple[int, int] | None = None
    raw_format: str | None = None
    frame_rate: float | None = None


class ScoreRun:
    """Scores sources one after another and remembers how each went.

    Args:
        scorer: What scores the frames.
        sink: What takes the scores.
        selection: Which frames to score.
        count_abstained: Frames on which the model abstains count in the pooled numbers.
        lines_on_stdout: Scores appear on standard output line by line, so that a progress bar on
            the same terminal would only be in their way.
    """

    def __init__(
        self,
        scorer: Scorer,
        sink: Sink,
        selection: Selection,
        *,
        count_abstained: bool = True,
        lines_on_stdout: bool = False,
    ) -> None:
        self._scorer = scorer
        self._sink = sink
        self._selection = selection
        self._count_abstained = count_abstained
        self._show_bar = stderr_is_watched() and not (lines_on_stdout and sys.stdout.isatty())
        self._failures: list[int] = []  # exit code of each source that failed
        self._videos: list[VideoScore] = []

    def score_all(self, specs: Sequence[str]) -> None:
        """Score every source and finish the sink, even if the run is interrupted.

        Args:
            specs: Sources, as `sdk.io.open_source` takes them.

        Raises:
            KeyboardInterrupt: After the sink was finished with what had been scored.
            SinkError: The output cannot be written; nothing can save the run.
        """
        try:
            for spec in specs:
                self._score_source(spec)
        except KeyboardInterrupt:
            self._sink.finish(self._videos)
            raise
        self._sink.finish(self._videos)
        if len(specs) > 1 and self._failures:
            say(f"{len(self._failures)} of {len(specs)} sources failed.")
            self._failures = [EXIT_FAILURE]  # even if they failed because of their options

    def exit_code(self, method: str, fail_under: float | None) -> int:
        """Return the exit code of the run; a failure outranks a low score.

        Args:
            method: Pooling method to compare.
            fail_under: Lowest score accepted, or None.
        """
        low = fail_under is not None and self._report_low(method, fail_under)
        if self._failures:
            return self._failures[0]
        return EXIT_BELOW if low else EXIT_OK

    def _report_low(self, method: str, fail_under: float) -> bool:
        low = False
        for video in self._videos:
            value = video.pooled()[method]
            if value < fail_under:
                say(f"{video.source}: {method} {value:.2f} is below --fail-under {fail_under:g}.")
                low = True
        return low

    def _score_source(self, spec: str) -> None:
        name = ""  # not spec, which may hold a password
        try:
            with self._open(spec) as source:
                name = source.name
                self._score_frames(source)
        except (SinkError, BrokenPipeError):
            raise
        except Exception as error:  # one bad file must not end a night's run over thousands
            self._failures.append(report(error, source=name))

    def _open(self, spec: str) -> Source:
        from sdk.io import open_source

        chosen = self._selection
        return open_source(
            spec, size=chosen.raw_size, format=chosen.raw_format, fps=chosen.frame_rate
        )

    def _score_frames(self, source: Source) -> None:
        from sdk.io.sampling import sample

        chosen = self._selection
        frames = sample(source, every=chosen.every, fps=chosen.fps, limit=chosen.limit)
        # A generator: closing it stops the decoding thread before the source goes.
        scores = cast("Generator[FrameScore, None, None]", self._scorer.stream(frames))
        series = ScoreSeries(source.name, count_abstained=self._count_abstained)
        complete = False
        try:
            with (
                closing(scores),
                show_progress(source.name, frames.length, visible=self._show_bar) as advance,
            ):
                for score in scores:
                    self._sink.append(score)
                    series.append(score)
                    advance(score.score)
            complete = True
        finally:
            if len(series):
                self._videos.append(series.summary(complete=complete))
        if not series.scored:
            raise SourceError(
                f"{source.name} gave {len(series)} frames, none with a score.",
                hint="Check that it can be played.",
            )
        if not series.counted:
            raise SourceError(
                f"{source.name}: the model abstains on all of its {series.scored} frames, and none "
                "may count.",
                hint="Leave out --skip-abstained to pool them nevertheless.",
            )
