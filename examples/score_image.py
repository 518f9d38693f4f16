#!/usr/bin/env python3
"""Score one picture in memory and say what is most likely wrong with it.

python examples/score_image.py PICTURE [MODEL]
"""

from __future__ import annotations

import sys

import cv2

from sdk import Scorer


def main(path: str, model: str | None = None) -> None:
    picture = cv2.imread(path)  # BGR uint8 [H, W, 3]: any array of this kind will do
    if picture is None:
        sys.exit(f"{path} is missing or not a readable image.")
    with Scorer(model) as scorer:
        result = scorer.score(picture)
    spread = "" if result.sigma is None else f" ± {result.sigma:.1f}"
    print(f"{path}: score {result.score:.1f}{spread} of 100, MOS {result.mos:.2f} of 5")
    likely = sorted(result.distortions.items(), key=lambda item: -item[1])[:3]
    for label, probability in likely:
        print(f"  {label:12} {probability:4.0%}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
