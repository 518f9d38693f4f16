"""The scores of one source, kept small: 24 bytes a frame, so that a stream may run for days."""

from __future__ import annotations

import math
from array import array

import numpy as np

from sdk.errors import UsageError
from sdk.pooling import POOL_METHODS, Window, pool, worst_windows
from sdk.results import FrameScore, Segment, VideoScore


class ScoreSeries:
    """Collects the scores of one source and summarises them at any time.

    Args:
        source: Name for the summary; by default that of the first score.
    """

    def __init__(self, source: str = "") -> None:
        self._source = source
        self._model = ""
        self._scores = array("d")
        self._times = array("d")  # NaN where a frame has no time stamp
        self._indices = array("q")

    def __len__(self) -> int:
        """Count the frames, those without a score included."""
        return len(self._scores)

    @property
    def scored(self) -> int:
        """Count the frames that have a score."""
        return int(np.count_nonzero(~np.isnan(np.asarray(self._scores))))

    def append(self, score: FrameScore) -> None:
        """Add the next score in order of presentation."""
        self._source = self._source or score.source
        self._model = score.model
        self._scores.append(score.score)
        self._times.append(math.nan if score.pts_s is None else score.pts_s)
        self._indices.append(score.frame_index)

    def summary(
        self, *, worst: int = 3, window_s: float = 1.0, complete: bool = True
    ) -> VideoScore:
        """Pool what has been collected so far.

        Args:
            worst: Number of worst stretches to find.
            window_s: Their length in seconds (25 frames where there are no time stamps).
            complete: Whether the source was read to its end.

        Returns:
            The summary; its numbers are NaN if no frame has a score.

        Raises:
            UsageError: There is no frame.
        """
        if not len(self):
            raise UsageError(
                f"Nothing to summarise: {self._source or 'the series'} has no frames.",
                hint="Add the score of at least one frame.",
            )
        scored = self.scored
        windows = worst_windows(self._scores, self._times, count=worst, window_s=window_s)
        return VideoScore(
            source=self._source,
            frames=scored,
            worst=tuple(self._segment(window) for window in windows),
            model=self._model,
            unscored=len(self) - scored,
            complete=complete,
            **{
                method: pool(self._scores, method) if scored else math.nan
                for method in POOL_METHODS
            },
        )

    def _segment(self, window: Window) -> Segment:
        return Segment(
            start_index=self._indices[window.first],
            end_index=self._indices[window.last],
            start_s=self._time(window.first),
            end_s=self._time(window.last),
            mean=window.mean,
        )

    def _time(self, position: int) -> float | None:
        time_s = self._times[position]
        return None if math.isnan(time_s) else time_s
