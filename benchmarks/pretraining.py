"""Does contrast of (type, level) without opinions help where only few frames have any?

python benchmarks/pretraining.py --photos DIR [--photos DIR] --means kadid10k_type_level.csv \\
    --weights iqa/weights/glint_edge.safetensors --work DIR \\
    --out benchmarks/results/features/pretraining.json

Small on purpose: the frozen MobileNetV2 stages of glint-edge, whose weights are ImageNet's, see
both views of a frame; means and deviations of their channels are the feature. A network of two
layers behind it is pretrained on distorted training photographs, and ridge regressions on the
feature before and after are judged on validation photographs that no fit saw.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.machine import Disturbance, describe_machine
from iqa.bootstrap import intervals, resamples
from iqa.contrast.frames import SYNTHETIC, Frames
from iqa.contrast.pretraining import Pretraining
from iqa.contrast.probe import best_decay, out_of_fold, predicted
from iqa.contrast.run import batches
from iqa.data.photos import read_folders
from iqa.metrics import srocc
from iqa.models.glint_edge import VIEWS, GlintEdge
from iqa.saqt.pictures import Picture
from iqa.second_stage.weights import read_weights
from iqa.training.takes import Takes
from iqa.uncertainty.opinions import read_opinions
from iqa.uncertainty.samples import plan_of
from iqa.whole_file import whole_file

Floats = NDArray[np.float64]
SCHEMA_VERSION = 1
POOL = 88  # batches of 16 frames, each seen at two scales
STEPS, BATCHES_A_STEP, RATE = 600, 16, 1e-3
SEEDS = (0, 1, 2)
DRAWS = 4  # of each validation photograph
FEW_CONTENTS, FEW_FRAMES, REPEATS = 8, 5, 40  # 40 opinions
# Written before the first run.
EXPECTED = (
    "with 40 opinions, pretrained beats the trunk's feature by 0.02 SROCC or more",
    "with all opinions of four fifths of the contents the gain is below 0.02",
    "the untrained network of the same shape is no better than the trunk's feature",
    "the feature of the trained glint-edge, which saw opinions, is far ahead of all",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; what was made in --work is not made again."""
    options = _options(argv)
    torch.set_num_threads(1)
    disturbance = Disturbance()
    model, _ = read_weights(options.weights)
    photos = read_folders(options.photos)
    pool, classes = _pool(model, photos, options.work)
    held = _held_out(model, photos, options)
    found = {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "expected": EXPECTED,
        "classes": SYNTHETIC,
        "pool_frames": len(classes) // 2,
        "judged_frames": len(held["score"]),
        "judged_contents": len(np.unique(held["content"])),
        "results": judge(features_of(pool, classes, held), held),
        "disturbance": disturbance.report(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["results"], indent=1))
    return 0


def features_of(
    pool: Tensor, classes: Tensor, held: dict[str, NDArray[Any]]
) -> dict[str, list[Floats]]:
    """Features of the judged frames by the way they come about, one array a seed."""
    centre, spread = pool.mean(dim=0), pool.std(dim=0).clamp_min(1e-3)
    scaled = (torch.from_numpy(held["trunk"]) - centre) / spread
    ways: dict[str, list[Floats]] = {"trunk": [scaled.double().numpy()], "untrained": []}
    ways["pretrained"] = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(pool.shape[1], 192), nn.GELU(), nn.Linear(192, 192))
        ways["untrained"].append(_run(network, scaled))
        train(network, (pool - centre) / spread, classes, seed)
        ways["pretrained"].append(_run(network, scaled))
    ways["trained on opinions"] = [held["hidden"].astype(np.float64)]
    return ways


def train(network: nn.Module, pool: Tensor, classes: Tensor, seed: int) -> None:
    """Contrast over batches of the pool, both views of a frame together."""
    run = Pretraining(network, network, 192, STEPS, RATE, seed)
    size = len(pool) // POOL  # rows of one batch of frames
    for step in range(STEPS):
        chosen = np.random.default_rng([seed, step]).choice(POOL, BATCHES_A_STEP, replace=False)
        rows = torch.from_numpy((chosen[:, None] * size + np.arange(size)).ravel())
        run.update(pool[rows], classes[rows])
    network.eval()


def judge(ways: dict[str, list[Floats]], held: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """SROCC with all opinions of other contents, and with 40 of them, against the trunk's."""
    score, content = held["score"].astype(np.float64), held["content"]
    told = {name: [out_of_fold(f, score, content) for f in some] for name, some in ways.items()}
    few = {name: [_with_few(f, score, content) for f in some] for name, some in ways.items()}
    base = few["trunk"][0]
    out = {}
    for name in ways:
        alone = np.mean(few[name], axis=0)  # [repeats], over seeds
        draws = np.percentile(alone - base, [2.5, 97.5])
        out[name] = {
            "all": _srocc(told[name], told["trunk"], score, content),
            "few": {
                "srocc": _rounded(alone.mean()),
                "gain": _rounded((alone - base).mean()),
                "gain_of_95%_of_draws": [_rounded(v) for v in draws],
                "by_seed": [_rounded(v.mean()) for v in few[name]],
            },
        }
    return out


def _srocc(
    told: list[Floats], base: list[Floats], score: Floats, content: NDArray[np.str_]
) -> dict[str, Any]:
    """Mean over seeds, and its gain over ``base`` with intervals over contents."""

    def statistics(rows: NDArray[np.intp]) -> list[float]:
        own = float(np.mean([srocc(t[rows], score[rows]) for t in told]))
        return [own, own - float(np.mean([srocc(t[rows], score[rows]) for t in base]))]

    whole = statistics(np.arange(len(score)))
    pairs = intervals(statistics, resamples(len(score), 0, list(content), 500))
    return {
        name: {"value": _rounded(value), "interval95": [_rounded(v) for v in pair]}
        for name, value, pair in zip(("srocc", "gain"), whole, pairs, strict=True)
    }


def _with_few(features: Floats, score: Floats, content: NDArray[np.str_]) -> Floats:
    """SROCC on all other contents from five frames each of eight, ``[REPEATS]``."""
    out = []
    names = np.unique(content)
    for repeat in range(REPEATS):
        rng = np.random.default_rng(repeat)
        chosen = rng.choice(names, FEW_CONTENTS, replace=False)
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(content == c), FEW_FRAMES, replace=False) for c in chosen]
        )
        left = ~np.isin(content, chosen)
        decay = best_decay(features[rows], score[rows], content[rows])
        out.append(
            srocc(predicted(features[rows], score[rows], features[left], decay), score[left])
        )
    return np.array(out)


def _pool(model: GlintEdge, photos: Sequence[Any], work: Path) -> tuple[Tensor, Tensor]:
    path = work / "pool.npz"
    if not path.is_file():
        clean = [Picture(p.path.stem, p.path) for p in photos if p.split == "train"]
        frames = Frames(clean, [], Takes(tuple(VIEWS.values())), seed=0, real=0)
        made = [(_trunk(model, raw), c) for raw, c in batches(frames, 0, POOL, 1)]
        _keep(path, trunk=torch.cat([m[0] for m in made]), classes=torch.cat([m[1] for m in made]))
    with np.load(path) as kept:
        return torch.from_numpy(kept["trunk"]), torch.from_numpy(kept["classes"])


def _held_out(
    model: GlintEdge, photos: Sequence[Any], options: argparse.Namespace
) -> dict[str, NDArray[Any]]:
    """Rated frames of validation photographs: features of trunk and network, opinion, content."""
    path = options.work / "held_out.npz"
    if not path.is_file():
        held = [p for p in photos if p.split == "val"]
        plan = plan_of(held, DRAWS, 0, read_opinions(options.means))
        rows: dict[str, list[Any]] = {k: [] for k in ("trunk", "hidden", "score", "content")}
        for number in range(len(plan)):
            views, labels = plan.made(number)
            rated = np.array(labels["rated"])
            raw = [torch.from_numpy(np.stack(some)[rated]) for some in zip(*views, strict=True)]
            rows["trunk"].append(_trunk(model, raw))
            with torch.inference_mode():
                rows["hidden"].append(model.embedding(*raw))
            rows["score"].append(np.array(labels["opinion"], np.float32)[rated])
            rows["content"].append(np.array(labels["content"])[rated])
        _keep(path, **{name: np.concatenate(some) for name, some in rows.items()})
    with np.load(path) as kept:
        return {name: kept[name] for name in kept.files}


@torch.inference_mode()
def _trunk(model: GlintEdge, raw: Sequence[Tensor]) -> Tensor:
    """Mean and deviation of each channel at strides 4 and 8 of both views, ``[B, 224]``."""
    maps = [one for view in raw for one in model.shallow(view)]
    return torch.cat([f(m.flatten(2)) for m in maps for f in (_mean, _deviation)], dim=1)


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=2)


def _deviation(x: Tensor) -> Tensor:
    return x.std(dim=2)


@torch.inference_mode()
def _run(network: nn.Module, features: Tensor) -> Floats:
    return network.eval()(features).double().numpy()


def _keep(path: Path, **arrays: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as stream:
        np.savez(stream, **{name: np.asarray(value) for name, value in arrays.items()})


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, action="append", required=True)
    for name in ("means", "weights", "work", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
