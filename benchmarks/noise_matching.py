"""Does QFM-IQM's matching earn its keep on real photographs? Three ways of training, intervals.

python benchmarks/noise_matching.py --photos DIR [--photos DIR] --means kadid10k_type_level.csv \\
    --weights iqa/weights/glint_edge.safetensors --start mobilenet_v2_imagenet.safetensors \\
    --work DIR --out benchmarks/results/noise_matching/NAME.json
python benchmarks/noise_matching.py --update       renews the table of docs/models/qfm-iqm.md
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import load_file

from benchmarks.experiment import command, renew
from benchmarks.machine import describe_machine
from iqa.data.labels import read_type_level
from iqa.data.photos import read_folder
from iqa.models.glint_edge import GlintEdge
from iqa.qfm.comparison import ARMS, BATCH, MEMORY, PROBE, SCHEDULES, Arm, Cube, judge, run_arm
from iqa.qfm.token_store import (
    LONG_SIDE,
    Plan,
    Setting,
    TokenStore,
    open_store,
    random_settings,
    tokens_digest,
)
from iqa.saqt.backbones import MOBILENET, load_backbone

SCHEMA_VERSION = 1
SEED = 20261127  # of the frames; runs have seeds of their own
ALL = tuple((kind, level) for kind in range(1, 26) for level in range(1, 6))
JUDGED = tuple(setting for setting in ALL if setting[1] in (2, 4))
RESULTS = Path(__file__).resolve().parent / "results" / "noise_matching"
CARD = Path(__file__).resolve().parent.parent / "docs" / "models" / "qfm-iqm.md"
MARK = re.compile(r"(<!-- noise matching -->\n).*?(<!-- /noise matching -->)", re.DOTALL)
NEEDED = ("photos", "means", "weights", "start", "work", "out")
# Written before the first run.
EXPECTED = (
    "SROCC of the three within 0.01 of each other",
    "relative spread falls by less than a tenth with noise, matched or random",
    "scores move less under unseen noise in both noisy arms, by a third at least",
    "matched against random: every interval of a difference holds 0",
)
HEADINGS = {
    "srocc": "SROCC",
    "spread": "spread over contents, points",
    "relative_spread": "relative spread",
    "moved": "moved by unseen noise",
}

DIGITS = {"srocc": 3, "spread": 2, "relative_spread": 3, "moved": 4}


def main(argv: Sequence[str] | None = None) -> int:
    """Train and judge, or renew the table; see `--help`."""
    return command(_parser(), argv, NEEDED, compare, table, _update)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Make the tokens, train every arm with every seed, judge; what was done is not done again."""
    cv2.setNumThreads(1)
    opinions = read_type_level(options.means)
    model = GlintEdge().eval()
    model.load_state_dict({n: v.float() for n, v in load_file(options.weights).items()})
    stores = _stores(options, model)
    arms = _arms(options, model, stores, opinions)
    schedule = SCHEDULES[options.begin]
    return {
        "schema": SCHEMA_VERSION,
        "kind": "noise matching",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": describe_machine(),
        "before_the_cut_sha256": tokens_digest(model),
        "begin": options.begin,
        "seeds": options.seeds,
        "frames": {
            split: {"photographs": store.photos, "frames": len(store.settings)}
            for split, store in stores.items()
        },
        "long_side": LONG_SIDE,
        "batch": BATCH,
        "epochs": schedule.epochs,
        "memory": MEMORY,
        "strength": schedule.strength,
        "probe": PROBE,
        "expected": EXPECTED,
        "figures": judge(arms, np.array([opinions[s] for s in JUDGED])),
    }


def _stores(options: argparse.Namespace, model: GlintEdge) -> dict[str, TokenStore]:
    """Tokens of the training photographs under some settings, of the others under all judged."""
    key, named = load_backbone(MOBILENET, options.start)
    photos = [photo for folder in options.photos for photo in read_folder(folder)]
    stores = {}
    for split in ("train", "val"):
        chosen = tuple(p for p in photos if p.split == split)[: options.most]
        drawn = random_settings(len(chosen), options.each, ALL, SEED)
        settings = drawn if split == "train" else (JUDGED,) * len(chosen)
        with _progress(f"{split} tokens") as advance:
            stores[split] = open_store(
                options.work / split, Plan(chosen, settings, SEED), model, key,
                f"{tokens_digest(model)} {named}", advance,
            )  # fmt: skip
    return stores


def _arms(
    options: argparse.Namespace,
    model: GlintEdge,
    stores: dict[str, TokenStore],
    opinions: dict[Setting, float],
) -> dict[str, Arm]:
    """Every arm with every seed; seed by seed, so that a stopped experiment compares too."""
    found: dict[str, list[tuple[Cube, Cube]]] = {name: [] for name in ARMS}
    folder = options.work / "runs"
    for seed in options.seeds:
        for name, runs in found.items():
            with _progress(f"{name}, seed {seed}") as advance:
                run = run_arm(folder, name, options.begin, seed, model, stores, opinions, advance)
            runs.append(run)
    return {
        name: Arm(*(np.stack(cubes) for cubes in zip(*runs, strict=True)))
        for name, runs in found.items()
    }


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], object]]:
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def table(results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one experiment, as Markdown."""
    frames, figures = results["frames"], results["figures"]
    began = {"fresh": "new weights", "shipped": "the shipped weights"}[results["begin"]]
    seeds, epochs = len(results["seeds"]), results["epochs"]
    yield (
        f"From {began}, {epochs} epoch{'s' * (epochs > 1)}, {seeds} seed{'s' * (seeds > 1)}; "
        f"{frames['train']['frames']} frames of {frames['train']['photographs']} photographs to "
        f"train on, {frames['val']['frames']} of {frames['val']['photographs']} to judge on. "
        "Means over seeds, 95 % intervals over photographs, differences in pairs:"
    )
    yield ""
    yield f"| | {' | '.join(HEADINGS.values())} |"
    yield f"|---|{'---|' * len(HEADINGS)}"
    for label, found in figures.items():
        sign = "+" if " - " in label else ""
        cells = [_cell(found[name], DIGITS[name], sign) for name in HEADINGS]
        yield f"| {label.replace(' - ', ' − ')} | {' | '.join(cells)} |"
    yield ""
    yield "Expected before the first run:"
    yield ""
    yield from (f"- {expectation}" for expectation in results["expected"])
    yield ""


def _cell(found: dict[str, Any], digits: int, sign: str) -> str:
    numbers = (found["value"], *found["interval95"])
    value, low, high = (f"{number:{sign}.{digits}f}" for number in numbers)
    return f"{value} ({low} to {high})".replace("-", "−")


def _update() -> None:
    """Put the tables of all committed results into the card."""
    renew(CARD, MARK, RESULTS, table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, action="append", help="folder with an index.csv")
    parser.add_argument("--means", type=Path, help="type,level,mean rows of human scores")
    parser.add_argument("--weights", type=Path, help="of the glint-edge that is cut, safetensors")
    parser.add_argument("--start", type=Path, help="MobileNetV2 ImageNet weights, for the key")
    parser.add_argument("--work", type=Path, help="folder of tokens and finished runs")
    parser.add_argument(
        "--begin", choices=SCHEDULES, default="fresh", help="weights behind the cut"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--each", type=int, default=4, help="frames of a training photograph")
    parser.add_argument("--most", type=int, help="photographs of a split, to try things out")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--update", action="store_true", help="renew the table of the card")
    return parser


if __name__ == "__main__":
    sys.exit(main())
