#!/usr/bin/env python3
"""Watch a camera and tell when its picture goes bad and when it is good again.

    python examples/score_camera.py SOURCE [MODEL]

SOURCE is a camera's number, rtsp://..., v4l2:///dev/video0, or a video file to try it on. Live
sources give their latest frame. Two thresholds and some patience keep one odd frame, or a score
that wavers around one threshold, from ringing the bell.
"""

from __future__ import annotations

import sys

from sdk import Scorer

BAD, GOOD = 40.0, 50.0  # points: the alarm goes on below BAD and off above GOOD
PATIENCE = 3  # scored frames in a row
FPS = 2.0  # frames to score each second


def watch(source: str, model: str | None = None) -> None:
    alarm, streak = False, 0
    with Scorer(model) as scorer:
        for result in scorer.stream(source, fps=FPS):
            crossed = result.score > GOOD if alarm else result.score < BAD
            streak = streak + 1 if crossed else 0
            if streak == PATIENCE:
                alarm, streak = not alarm, 0
                faults = {k: v for k, v in result.distortions.items() if k != "none"}
                cause = max(faults, key=faults.__getitem__, default="")
                state = f"BAD ({cause})" if alarm else "good again"
                print(f"{result.pts_s:8.1f} s  {state}  score {result.score:.1f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    watch(*sys.argv[1:])
