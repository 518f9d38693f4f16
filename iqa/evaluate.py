"""What a model is worth: on distorted clean pictures against human means, and on rated pictures.

A model is any callable from one uint8 BGR frame ``[H, W, 3]`` to a score, higher better, so that
the shipped bundle, a torch model or a classical measure are judged by the same code.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from iqa.distortions.kadid import TYPES, distort, from_bytes, to_bytes
from iqa.metrics import agreement, srocc, within_contents

Picture8 = NDArray[np.uint8]  # BGR [H, W, 3]
Score = Callable[[Picture8], float]
CLEAR_STEP = 0.1  # a step of the human mean that a model must follow, in MOS points
LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Distorted:
    """One picture under one KADID setting; ``frame`` is uint8 BGR."""

    picture: str
    kind: int
    level: int
    frame: NDArray[np.uint8]


def distorted_set(folder: Path) -> Iterator[Distorted]:
    """Every picture of ``folder`` under all 25 types and 5 levels, seeded by all three."""
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        rgb = from_bytes(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
        for kind in TYPES:
            for level in LEVELS:
                image = distort(rgb, kind, level, np.random.default_rng([number, kind, level]))
                yield Distorted(
                    path.stem, kind, level, np.ascontiguousarray(to_bytes(image)[..., ::-1])
                )


def synthetic_report(
    score: Score, frames: Iterator[Distorted], means: dict[tuple[int, int], float]
) -> dict[str, object]:
    """SROCC against human (type, level) means, by type, and each clear step not followed."""
    rows = [(f.kind, f.level, score(f.frame)) for f in frames]
    values = np.array([r[2] for r in rows])
    opinions = np.array([means[r[0], r[1]] for r in rows])
    table = {
        kind: [
            float(np.mean([v for k, lv, v in rows if (k, lv) == (kind, level)])) for level in LEVELS
        ]
        for kind in TYPES
    }
    return {
        **agreement(values, opinions).to_dict(),
        "srocc_by_type": {
            TYPES[k][0]: round(srocc(values[s], opinions[s]), 4)
            for k in TYPES
            for s in [[i for i, r in enumerate(rows) if r[0] == k]]
        },
        "mean_score": {TYPES[k][0]: [round(v, 2) for v in levels] for k, levels in table.items()},
        "steps_not_followed": broken_steps(table, means),
    }


def broken_steps(
    table: dict[int, list[float]], means: dict[tuple[int, int], float]
) -> list[dict[str, object]]:
    """Neighbouring levels whose human means clearly differ and whose scores order otherwise."""
    out: list[dict[str, object]] = []
    for kind, scores in table.items():
        for level in LEVELS[:-1]:
            human = means[kind, level + 1] - means[kind, level]
            model = scores[level] - scores[level - 1]
            if abs(human) > CLEAR_STEP and human * model <= 0:
                step = {"type": TYPES[kind][0], "levels": [level, level + 1]}
                out.append({**step, "human": round(human, 3), "model": round(model, 3)})
    return out


def rated_report(score: Score, root: Path) -> dict[str, dict[str, float]]:
    """Agreement per set of ``root/index.csv`` (file, dataset, mos, content), never pooled.

    Where contents repeat, ``srocc_within`` is the mean over contents of the SROCC inside one.
    """
    with (root / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    report = {}
    for name in sorted({row["dataset"] for row in rows}):
        chosen = [row for row in rows if row["dataset"] == name]
        values = [score(cv2.imread(str(root / row["file"]))) for row in chosen]
        opinions = [float(row["mos"]) for row in chosen]
        report[name] = agreement(values, opinions).to_dict()
        within = within_contents(values, opinions, [row["content"] for row in chosen])
        if math.isfinite(within):
            report[name]["srocc_within"] = round(within, 4)
    return report
