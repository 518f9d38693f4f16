"""The scores of one source, kept small: 25 bytes a frame, so that a stream may run for days."""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

from sdk.errors import UsageError
from sdk.pooling import POOL_METHODS, Window, pool, worst_windows
from sdk.results import FrameScore, Segment, VideoScore


class ScoreSeries:
    """Collects the scores of one source and summarises them at any time.

    Args:
        source: Name for the summary; by default that of the first score.
        count_abstained: False leaves frames on which the model abstains out of the pooled numbers
            and the worst stretches.
    """

    def __init__(self, source: str = "", *, count_abstained: bool = True) -> None:
        self._source = source
        self._model = ""
        self._scores = array("d")
        self._times = array("d")  # NaN where a frame has no time stamp
        self._indices = array("q")
        self._abstains = array("b")
        self._count_abstained = count_abstained

    def __len__(self) -> int:
        """Count the frames, those without a score included."""
        return len(self._scores)

    @property
    def scored(self) -> int:
        """Count the frames that have a score."""
        return int(np.count_nonzero(~np.isnan(np.asarray(self._scores))))

    @property
    def counted(self) -> int:
        """Count the frames on which the pooled numbers rest."""
        return int(np.count_nonzero(~np.isnan(self._votes())))

    def append(self, score: FrameScore) -> None:
        """Add the next score in order of presentation."""
        self._source = self._source or score.source
        self._model = score.model
        self._scores.append(score.score)
        self._times.append(math.nan if score.pts_s is None else score.pts_s)
        self._indices.append(score.frame_index)
        self._abstains.append(score.abstain)

    def summary(
        self, *, worst: int = 3, window_s: float = 1.0, complete: bool = True
    ) -> VideoScore:
        """Pool what has been collected so far.

        Args:
            worst: Number of worst stretches to find.
            window_s: Their length in seconds (25 frames where there are no time stamps).
            complete: Whether the source was read to its end.

        Returns:
            The summary; its numbers are NaN if no frame has a score that counts.

        Raises:
            UsageError: There is no frame.
        """
        if not len(self):
            raise UsageError(
                f"Nothing to summarise: {self._source or 'the series'} has no frames.",
                hint="Add the score of at least one frame.",
            )
        scored, votes = self.scored, self._votes()
        windows = worst_windows(votes, self._times, count=worst, window_s=window_s)
        return VideoScore(
            source=self._source,
            frames=scored,
            worst=tuple(self._segment(window) for window in windows),
            model=self._model,
            unscored=len(self) - scored,
            complete=complete,
            abstained=int(np.count_nonzero(~np.isnan(self._scores) & self._abstained())),
            abstained_counted=self._count_abstained,
            **{
                method: pool(votes, method) if self.counted else math.nan for method in POOL_METHODS
            },
        )

    def _abstained(self) -> NDArray[np.bool_]:
        return np.asarray(self._abstains, bool)

    def _votes(self) -> NDArray[np.float64]:
        """The scores that are pooled [N]; NaN where a frame has none or does not count."""
        scores = np.array(self._scores, np.float64)
        return scores if self._count_abstained else np.where(self._abstained(), math.nan, scores)

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
