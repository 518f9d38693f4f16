"""What each part of glint-edge adds: short trainings without it, several seeds, intervals.

python benchmarks/ablation.py --work DIR --start mobilenet_v2_imagenet.safetensors \\
    --photos DIR [--photos DIR] --means kadid10k_type_level.csv \\
    [--model NAME=weights.safetensors] --out benchmarks/results/ablation/NAME.json
python benchmarks/ablation.py --update       renews the table of docs/models/glint-edge.md

DIR of ``--work`` holds the frames of ``python -m iqa prepare``. All variants see the same ones in
the same order. Two processes may share the work with ``--seeds``: give both the same ``--work``,
then all seeds to a last one, which reads what they made.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore

import cv2
import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file

from benchmarks.ablation_judging import Judged, Scores, figures
from benchmarks.ablation_taps import TapNetwork, TapSource, compiled_stages
from benchmarks.ablation_variants import FULL, VARIANTS, short, trained
from benchmarks.experiment import command, renew
from benchmarks.machine import describe_machine
from iqa.data.features import SHAPES
from iqa.data.labels import read_type_level
from iqa.data.photos import read_folder
from iqa.models.glint_edge import GlintEdge
from iqa.qfm.token_store import Plan
from iqa.training.networks import GlintEdgeNetwork, load_whole
from iqa.training.recipe import Recipe
from iqa.whole_file import whole_file

SCHEMA_VERSION = 1
SEED = 20261127  # of the judged frames; trainings have seeds of their own
ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "iqa" / "recipes" / "glint_edge.toml"
RESULTS = ROOT / "benchmarks" / "results" / "ablation"
CARD = ROOT / "docs" / "models" / "glint-edge.md"
MARK = re.compile(r"(<!-- ablation -->\n).*?(<!-- /ablation -->)", re.DOTALL)
JUDGED = tuple((kind, level) for kind in range(1, 26) for level in (2, 4))
TAPPED = ("local4", "local8", "local16", "context16")
NEEDED = ("work", "start", "photos", "means", "out")
# Written before the first run.
EXPECTED = (
    "without the local branch SROCC falls most, by more than 0.05",
    "without the global branch it falls by 0.01 to 0.05",
    "channel attention, spatial enhancement and transformer blocks are worth at most 0.01 each",
    "losses: ranking and correlation within 0.01, cause within 0.005",
    "without camera faults SROCC on KADID's own settings does not fall",
    "noise matching: SROCC within 0.01; the relative spread falls by less than a tenth",
)
HEADINGS = {"srocc": "SROCC", "spread": "spread over contents", "relative_spread": "relative"}
CHANGES = ("difference of SROCC", "of the relative spread")
DIGITS = {"srocc": 3, "spread": 2, "relative_spread": 3}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train every variant with every seed and judge; what was done is not done again."""
    cv2.setNumThreads(1)
    base, means = Recipe.read(RECIPE), read_type_level(options.means)
    photos = [photo for folder in options.photos for photo in read_folder(folder)]
    chosen = tuple(p for p in photos if p.split == "val")[: options.most]
    folder = options.work / "ablation"
    model = GlintEdge().eval()
    model.load_imagenet(load_file(options.start))
    judged = Judged(folder, Plan(chosen, (JUDGED,) * len(chosen), SEED), model)
    groups = options.steps * base.batch
    source = TapSource(options.work / "train", groups, compiled_stages(model), folder)
    cubes: dict[str, list[Scores]] = {variant: [] for variant in VARIANTS}
    for seed in options.seeds:
        recipe = short(base, options.steps, seed, options.precision)
        for variant, found in cubes.items():
            path = folder / f"{options.steps}-{options.precision}-{variant}-{seed}.npy"
            if not path.is_file():
                with torch.random.fork_rng():
                    scores = _run(variant, recipe, source, options.start, judged)
                with whole_file(path) as stream:
                    np.save(stream, scores)
            found.append(np.load(path))
    opinions = np.array([means[setting] for setting in JUDGED])
    stacked = {variant: np.stack(found) for variant, found in cubes.items()}
    results = {
        "schema": SCHEMA_VERSION,
        "kind": "ablation",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": describe_machine(),
        "seeds": options.seeds,
        "steps": options.steps,
        "batch": base.batch * source.frames,
        "frames": len(source) * source.frames,
        "precision": options.precision,
        "judged": {"photographs": len(chosen), "settings": len(JUDGED)},
        "expected": EXPECTED,
        "figures": figures(stacked, opinions, FULL),
    }
    if options.model:
        whole = {name: _finished(path, judged)[None] for name, path in options.model}
        results["finished"] = figures(whole, opinions, options.model[0][0])
    return results


def _run(variant: str, recipe: Recipe, source: TapSource, start: Path, judged: Judged) -> Scores:
    steps = iter(track(range(recipe.steps or 0), f"{variant}, seed {recipe.seed}"))
    trainer = trained(variant, recipe, source, start, lambda: next(steps))
    next(steps, None)  # ends the bar
    return judged.scores(trainer.average, TapNetwork(), TAPPED)


def _finished(path: Path, judged: Judged) -> Scores:
    """Of weights of a whole training; their trunk must be the judged frames' own."""
    model = GlintEdge().eval()
    load_whole(model, load_file(path), f"--model {path}")
    return judged.scores(model, GlintEdgeNetwork(), tuple(SHAPES))


def table(results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one experiment, as Markdown."""
    judged, seeds = results["judged"], results["seeds"]
    yield (
        f"{results['steps']} steps of {results['batch']} frames from ImageNet's weights, the "
        f"convolutions up to stride 16 frozen ({results['precision']}), {len(seeds)} seeds; judged "
        f"on {judged['photographs']} validation photographs at {judged['settings']} settings. "
        "Means over seeds; 95 % intervals of the differences over photographs, in pairs. Spread is "
        "the standard deviation of the score over photographs at one setting, in points; relative, "
        "in standard deviations of the settings' mean scores."
    )
    yield ""
    yield f"| | {' | '.join(HEADINGS.values())} | {' | '.join([*CHANGES, 'by seed'])} |"
    yield f"|---|{'---|' * (len(HEADINGS) + 3)}"
    full = results["figures"][FULL]["srocc"]["by_seed"]
    for name, found in results["figures"].items():
        cells = [f"{found[figure]['value']:.{DIGITS[figure]}f}" for figure in HEADINGS]
        own = found["srocc"]["by_seed"]
        apart = ", ".join(f"{a - b:+.3f}" for a, b in zip(own, full, strict=True))
        changes = [_change(found[figure]) for figure in ("srocc", "relative_spread")]
        cells += ["", "", ""] if name == FULL else [*changes, apart.replace("-", "−")]
        yield f"| {name} | {' | '.join(cells)} |"
    yield from _of_finished(results.get("finished", {}))
    yield ""
    yield "Expected before the first run:"
    yield ""
    yield from (f"- {expectation}" for expectation in results["expected"])
    yield ""


def _of_finished(finished: dict[str, Any]) -> Iterator[str]:
    if not finished:
        return
    yield ""
    yield "Whole trainings on the same frames:"
    yield ""
    yield f"| | {' | '.join(HEADINGS.values())} | {' | '.join(CHANGES)} |"
    yield f"|---|{'---|' * (len(HEADINGS) + 2)}"
    for place, (name, found) in enumerate(finished.items()):
        cells = [f"{found[figure]['value']:.{DIGITS[figure]}f}" for figure in HEADINGS]
        changes = [_change(found[figure]) for figure in ("srocc", "relative_spread")]
        yield f"| {name} | {' | '.join([*cells, *(changes if place else ['', ''])])} |"


def _change(found: dict[str, Any]) -> str:
    low, high = found["difference95"]
    return f"{found['difference']:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−")


def update() -> None:
    """Put the tables of all committed results into the card."""
    renew(CARD, MARK, RESULTS, table)


def main(argv: Sequence[str] | None = None) -> int:
    """Train and judge, or renew the table; see `--help`."""
    return command(_parser(), argv, NEEDED, compare, table, update)


def _named(word: str) -> tuple[str, Path]:
    name, _, path = word.partition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"{word!r} is not NAME=FILE")
    return name, Path(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder of prepared frames")
    parser.add_argument("--start", type=Path, help="MobileNetV2 ImageNet weights")
    parser.add_argument("--photos", type=Path, action="append", help="folder with an index.csv")
    parser.add_argument("--means", type=Path, help="type,level,mean rows of human scores")
    parser.add_argument(
        "--model", type=_named, action="append", help="NAME=weights of a whole training, judged too"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--most", type=int, help="photographs to judge on, to try things out")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--update", action="store_true", help="renew the table of the card")
    return parser


if __name__ == "__main__":
    sys.exit(main())
