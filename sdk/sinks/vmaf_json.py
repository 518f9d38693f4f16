"""The JSON log of libvmaf, so that tools which plot and compare VMAF read our scores as well."""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from sdk import __version__
from sdk.results import FrameScore, VideoScore, json_number
from sdk.sinks.output import OutputOwner

METRIC: Final = "framescore"
"""Name under which the score stands where libvmaf has `vmaf`."""


class VmafJsonSink(OutputOwner):
    """Writes one document at the end of the run.

    One source gives libvmaf's own layout: `version`, `fps` (frames scored per second, as libvmaf
    has it), `frames`, `pooled_metrics`, `aggregate_metrics`. Several sources give `version`, `fps`
    and `sources`, a list in which each entry has `source` and the other keys of that layout.

    Args:
        target: File to write, an open text stream, or None for standard output.
        several: Use the layout for several sources even if only one of them gave frames, so that
            a program which asked for two never finds another layout because one failed.
    """

    def __init__(self, target: str | Path | TextIO | None = None, *, several: bool = False) -> None:
        super().__init__(target)
        self._several = several
        self._indices = array("q")
        self._scores = array("d")
        self._started = time.perf_counter()

    def append(self, score: FrameScore) -> None:
        """Keep the score of one frame (16 bytes) for the document."""
        self._indices.append(score.frame_index)
        self._scores.append(score.score)

    def finish(self, videos: Sequence[VideoScore]) -> None:
        """Write the document."""
        elapsed = max(time.perf_counter() - self._started, 1e-9)
        document: dict[str, Any] = {
            "version": __version__,
            "fps": round(len(self._scores) / elapsed, 2),
        }
        parts = self._parts(videos)
        if len(parts) == 1 and not self._several:
            document.update(parts[0])
        else:
            named = zip(videos, parts, strict=True)
            document["sources"] = [{"source": video.source, **part} for video, part in named]
        text = json.dumps(
            document, indent=2, ensure_ascii=not self._output.is_unicode, allow_nan=False
        )
        self._output.write(text + "\n")

    def _parts(self, videos: Sequence[VideoScore]) -> list[dict[str, Any]]:
        """The document of each source; its frames are the next ones in order of arrival."""
        parts = []
        start = 0
        for video in videos:
            stop = start + video.frames + video.unscored
            parts.append(_part(self._indices[start:stop], self._scores[start:stop], video))
            start = stop
        return parts


def _part(indices: array[int], scores: array[float], video: VideoScore) -> dict[str, Any]:
    numbered = zip(indices, scores, strict=True)
    pooled = {
        "min": video.min,
        "max": float(np.fmax.reduce(np.asarray(scores))),
        "mean": video.mean,
        "harmonic_mean": video.harmonic_mean,
    }
    return {
        "frames": [
            {"frameNum": index, "metrics": {METRIC: json_number(score)}}
            for index, score in numbered
        ],
        "pooled_metrics": {METRIC: {name: json_number(value) for name, value in pooled.items()}},
        "aggregate_metrics": {},
    }
