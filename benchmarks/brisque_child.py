"""Scores frames from stdin with OpenCV's BRISQUE; needs cv2.quality and nothing of framescore.

    python brisque_child.py MODEL RANGE THREADS

A frame is a line with its shape as JSON, then its bytes (BGR). The answer is a line of JSON:
{"ms": what compute() took, "score": ...}.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any

import cv2
import numpy as np


def main() -> None:
    model, ranges, threads = sys.argv[1:]
    if not hasattr(cv2, "quality"):
        raise SystemExit(
            f"OpenCV {cv2.__version__} here has no cv2.quality. In an environment of its own: "
            "pip install opencv-contrib-python-headless"
        )
    cv2.setNumThreads(int(threads))
    brisque = cv2.quality.QualityBRISQUE_create(model, ranges)
    answer({"opencv": cv2.__version__, "threads": cv2.getNumThreads()})
    while line := sys.stdin.buffer.readline():
        shape = json.loads(line)
        frame = np.frombuffer(sys.stdin.buffer.read(int(np.prod(shape))), np.uint8).reshape(shape)
        start = perf_counter()
        score = brisque.compute(frame)[0]
        answer({"ms": (perf_counter() - start) * 1e3, "score": score})


def answer(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
