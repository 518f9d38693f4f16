"""What a table remembers of each frame, column by column: 50 bytes instead of an object."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from typing import Final, NamedTuple

from sdk.results import FrameScore

CLEAN: Final = "none"
"""Label of a model's posterior for a frame without a fault."""


class FrameRow(NamedTuple):
    """One frame as a table shows it; NaN where a number is unknown."""

    source: str
    frame_index: int
    pts_s: float
    score: float
    mos: float
    sigma: float
    distortion: str
    abstain: bool


class FrameColumns:
    """Frames in order of arrival, addressed by position."""

    def __init__(self) -> None:
        self._indices = array("q")
        self._times = array("d")
        self._scores = array("d")
        self._mos = array("d")
        self._sigmas = array("d")
        self._abstains = array("b")
        self._labels = array("B")  # position in _label_names; 0 for a model without posterior
        self._shares = array("d")  # its probability
        self._label_names = [""]
        self._name_starts: list[int] = []  # positions at which the name of the source changes
        self._names: list[str] = []

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._indices)

    def append(self, score: FrameScore) -> None:
        """Add the next frame."""
        if not self._names or self._names[-1] != score.source:
            self._name_starts.append(len(self))
            self._names.append(score.source)
        label, share = max(score.distortions.items(), key=lambda item: item[1], default=("", 0.0))
        if label not in self._label_names:
            self._label_names.append(label)
        self._indices.append(score.frame_index)
        self._times.append(math.nan if score.pts_s is None else score.pts_s)
        self._scores.append(score.score)
        self._mos.append(score.mos)
        self._sigmas.append(math.nan if score.sigma is None else score.sigma)
        self._abstains.append(score.abstain)
        self._labels.append(self._label_names.index(label))
        self._shares.append(share)

    def row(self, position: int) -> FrameRow:
        """Return one frame."""
        label = self.label(position)
        share = self._shares[position]
        return FrameRow(
            source=self._names[self._name_run(position)],
            frame_index=self._indices[position],
            pts_s=self._times[position],
            score=self._scores[position],
            mos=self._mos[position],
            sigma=self._sigmas[position],
            distortion=f"{label} {100 * share:.0f}%" if label and label != CLEAN else label,
            abstain=bool(self._abstains[position]),
        )

    def label(self, position: int) -> str:
        """Return the likeliest distortion of one frame, empty where the model names none."""
        return self._label_names[self._labels[position]]

    def names_change(self, positions: range) -> bool:
        """Whether some frames come under more than one name, as the files of a folder do."""
        return self._name_run(positions[0]) != self._name_run(positions[-1])

    def span(self, positions: range, start_index: int, end_index: int) -> range:
        """Return those of the positions whose frame index lies between two, both inclusive."""
        inside = [p for p in positions if start_index <= self._indices[p] <= end_index]
        return range(inside[0], inside[-1] + 1) if inside else range(0)

    def _name_run(self, position: int) -> int:
        return bisect_right(self._name_starts, position) - 1
