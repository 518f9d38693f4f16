"""One JSON object a line: a line for each frame as it is scored, one for each source at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sdk.results import FrameScore, VideoScore
from sdk.sinks.output import OutputOwner


class JsonlSink(OutputOwner):
    """Writes `FrameScore.to_dict` with kind "frame" and `VideoScore.to_dict` with kind "summary".

    Every line is flushed before the next frame is scored.
    """

    def append(self, score: FrameScore) -> None:
        """Write the line of one frame."""
        self._write_line("frame", score.to_dict())

    def finish(self, videos: Sequence[VideoScore]) -> None:
        """Write a summary line for each source."""
        for video in videos:
            self._write_line("summary", video.to_dict())

    def _write_line(self, kind: str, fields: Mapping[str, Any]) -> None:
        record = {"schema": fields["schema"], "kind": kind, **fields}
        line = json.dumps(
            record, ensure_ascii=not self._output.is_unicode, allow_nan=False, separators=(",", ":")
        )
        self._output.write(line + "\n")
