"""Measures what `framescore calibrate` gains at a made-up site, on contents it was not fitted to.

python benchmarks/calibration.py --photographs DIR --out benchmarks/results/calibration/X.json

Nobody rated these pictures: the opinions come from a formula (`FAULTS`), that of observers who mind
some faults more than others, with noise. It shows that the method finds what is there and leaves
alone what is not; it says nothing of real opinions. DIR holds clean photographs and an index.csv
with the columns file and split; those of the split "val" are used.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore

from benchmarks.machine import describe_machine
from iqa.distortions import camera, kadid
from sdk.bundle import Bundle
from sdk.calibration.choose import Labelled, choose
from sdk.correlation import linear_correlation, rank_correlation
from sdk.scorer import Scorer

FAULTS: Final = {  # how much of four points of MOS the site's observers take off at the worst level
    "defocus": 1.0,
    "weak_stream": 0.8,
    "low_light": 0.9,
    "haze": 0.3,  # they live by the sea
    "colour_cast": 0.2,
    "white_noise": 0.35,  # they know their cameras
}
LEVELS: Final = 5
PICTURES: Final = 5  # of each content: one clean, the others with a fault each
OBSERVERS: Final = 0.2  # standard deviation of an opinion, in MOS
COUNTS: Final = (15, 30, 60)
SPLITS: Final = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the results."""
    options = _parser().parse_args(argv)
    bundle = Bundle.load(options.model)
    pictures, opinions, contents = make_site(options.photographs, options.seed)
    with Scorer(bundle, precision="fp32", features=True) as scorer:
        results = [scorer.score(picture) for picture in pictures]
    scores = np.array([result.score for result in results])
    features = np.stack([result.features for result in results]).astype(np.float64)
    site = Labelled(scores, 25 * (opinions - 1), features, contents)
    report = {
        "schema": 1,
        "kind": "calibration",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": describe_machine(),
        "model": bundle.model_id,
        "seed": options.seed,
        "pictures": len(pictures),
        "contents": len(set(contents)),
        "site": [_summary(site, count, shuffled=False) for count in COUNTS],
        "labels_shuffled": [_summary(site, count, shuffled=True) for count in COUNTS],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(table(report)))
    return 0


def make_site(folder: Path, seed: int) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Make the pictures (uint8 BGR), their opinions (1 to 5) and the names of their contents."""
    random = np.random.default_rng(seed)
    with (folder / "index.csv").open() as file:
        names = sorted(row["file"] for row in csv.DictReader(file) if row["split"] == "val")
    pictures, opinions, contents = [], [], []
    for name in names:
        clean = kadid.from_bytes(cv2.imread(str(folder / name))[:, :, ::-1])
        for number in range(PICTURES):
            fault = str(random.choice([*FAULTS]))
            level = int(random.integers(1, LEVELS + 1)) if number else 0
            pictures.append(kadid.to_bytes(_degrade(clean, fault, level, random))[:, :, ::-1])
            lost = 4 * FAULTS[fault] * level / LEVELS
            opinions.append(np.clip(4.8 - lost + random.normal(0, OBSERVERS), 1, 5))
            contents.append(name)
    return pictures, np.array(opinions), contents


def _degrade(
    clean: kadid.Picture, fault: str, level: int, random: np.random.Generator
) -> kadid.Picture:
    if not level:
        return clean
    if fault == "white_noise":
        return kadid.white_noise(clean, 0.0006 * 2.2**level, random)
    return camera.FAULTS[fault][0](clean, level / LEVELS, random)


def _summary(site: Labelled, count: int, *, shuffled: bool) -> dict[str, Any]:
    """Fit on `count` labels of half of the contents and judge on the other half, many times."""
    names = sorted(set(site.contents or ()))
    methods: Counter[str] = Counter()
    found: dict[str, list[float]] = {}
    for seed in range(SPLITS):
        random = np.random.default_rng(seed)
        fitted_on = set(random.permutation(names)[: len(names) // 2])
        inside = np.array([name in fitted_on for name in site.contents or ()])
        chosen = np.sort(random.permutation(np.flatnonzero(inside))[:count])
        labels, test = site.of(chosen), site.of(np.flatnonzero(~inside))
        if shuffled:
            labels = Labelled(
                labels.scores, random.permutation(labels.opinions), labels.features, labels.contents
            )
        choice = choose(labels)
        methods[choice.method] += 1
        after = np.clip(choice.line.predict(test.scores, test.features), *test.limits)
        for when, values in (("before", test.scores), ("after", after)):
            error = float(np.sqrt(np.mean((values - test.opinions) ** 2)))
            rank = rank_correlation(values, test.opinions)
            linear = linear_correlation(values, test.opinions)
            for name, value in (("srocc", rank), ("plcc", linear), ("rmse", error)):
                found.setdefault(f"{name}_{when}", []).append(value)
    medians = {name: float(np.median(values)) for name, values in found.items()}
    falls = np.array(found["srocc_before"]) - np.array(found["srocc_after"])
    return {
        "labels": count,
        "splits": SPLITS,
        "methods": dict(sorted(methods.items())),
        "median": medians,
        "splits_that_rank_worse": int((falls > 1e-9).sum()),
        "largest_fall_of_srocc": float(max(falls.max(), 0)),
    }


def table(report: dict[str, Any]) -> list[str]:
    """Lay out the results as Markdown."""
    lines = [
        "| labels | SROCC | PLCC | RMSE, points | chosen | splits that rank worse |",
        "|---|---|---|---|---|---|",
    ]
    for kind, what in (("site", ""), ("labels_shuffled", ", shuffled")):
        for one in report[kind]:
            median = one["median"]
            cells = [
                f"{median[f'{name}_before']:.{digits}f} → {median[f'{name}_after']:.{digits}f}"
                for name, digits in (("srocc", 3), ("plcc", 3), ("rmse", 1))
            ]
            chosen = ", ".join(f"{name} {count}" for name, count in one["methods"].items())
            worse = (
                f"{one['splits_that_rank_worse']}, by {one['largest_fall_of_srocc']:.3f} at most"
            )
            lines.append(f"| {one['labels']}{what} | {' | '.join(cells)} | {chosen} | {worse} |")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=Path, required=True, help="clean photographs")
    parser.add_argument("--model", help="bundle; the packaged default otherwise")
    parser.add_argument("--seed", type=int, default=0, help="of faults and opinions")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
