"""Do fidelity losses order and name better than the ones there are? On frozen features.

python benchmarks/fidelity.py --work DIR --out benchmarks/results/features/fidelity.json

--work is the folder of `python -m iqa uncertainty`, whose features of training photographs are
fitted and whose features of validation photographs are judged. Linear heads on the feature of a
finished glint-edge: what a loss does to a whole training, this does not say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.machine import Disturbance, describe_machine
from iqa import losses
from iqa.bootstrap import intervals, resamples
from iqa.metrics import srocc
from iqa.uncertainty.samples import DRAW, Samples

SCHEMA_VERSION = 1
SEEDS = (0, 1, 2)
STEPS, BATCH, RATE = 600, 64, 3e-3  # frames a step; whole draws of one content
RESAMPLES = 500
# Written before the first run.
EXPECTED = (
    "SROCC of all ways to train the order within 0.01 of each other",
    "fidelity and cross-entropy name the group of the fault equally often, within 2 points",
)
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _regression(quality: Tensor, target: Tensor, weight: Tensor, _: Tensor) -> Tensor:
    return 4 * losses.regression(quality, target, weight)


ORDER: dict[str, Sequence[Loss]] = {
    "regression": (_regression,),
    "regression + ranking": (_regression, lambda *x: 0.5 * losses.ranking(*x)),
    "regression + fidelity": (_regression, lambda *x: 0.5 * losses.fidelity(*x)),
    "fidelity alone": (losses.fidelity,),
}
NAMING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": losses.cause,
    "fidelity": losses.cause_fidelity,
    "fidelity, label by label": losses.label_fidelity,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Fit every head with every seed and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("work", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    disturbance = Disturbance()
    fit, first, second = (
        _kept(options.work / f"{name}.npz") for name in ("fit", "calibrate", "report")
    )
    found = {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "expected": EXPECTED,
        "order": _order(fit, (first, second)),
        "naming": _naming(fit, (first, second)),
        "disturbance": disturbance.report(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: found[k] for k in ("order", "naming")}, indent=1))
    return 0


def _kept(path: Path) -> Samples:
    with np.load(path) as file:
        return Samples(**{name: file[name] for name in file.files if name != "claim"})


def _order(fit: Samples, held: Sequence[Samples]) -> dict[str, Any]:
    """SROCC with the settings' means over rated validation frames."""
    features, judged, opinion, content, rated = _joined(fit, held)
    target = torch.from_numpy(fit.opinion / 100)
    weight = torch.where(torch.from_numpy(fit.rated), 1.0, 0.25)
    told = {}
    for name, terms in ORDER.items():

        def loss(out: Tensor, rows: Tensor, terms: Sequence[Loss] = terms) -> Tensor:
            labels = target[rows], weight[rows], torch.div(rows, DRAW, rounding_mode="floor")
            return torch.stack([term(torch.sigmoid(out[:, 0]), *labels) for term in terms]).sum()

        told[name] = [_fitted(features, 1, loss, s)(judged)[:, 0].numpy()[rated] for s in SEEDS]
    return _compared(told, srocc, opinion[rated], content[rated])


def _naming(fit: Samples, held: Sequence[Samples]) -> dict[str, Any]:
    """Share of plain faults of one group whose likeliest group it is."""
    features, judged, opinion, content, _ = _joined(fit, held)
    groups = np.concatenate([s.groups for s in held])
    plain = (groups.sum(axis=1) == 1) & (opinion < 75)
    shown = torch.from_numpy(fit.groups.astype(np.float32))
    none = (shown.sum(dim=1, keepdim=True) == 0).float()
    target = torch.cat([shown, none], dim=1)
    share = target / target.sum(dim=1, keepdim=True)
    told = {}
    for name, term in NAMING.items():
        labels = target if term is losses.label_fidelity else share

        def loss(out: Tensor, rows: Tensor, term: Any = term, labels: Tensor = labels) -> Tensor:
            return term(out, labels[rows])

        heads = [_fitted(features, target.shape[1], loss, s)(judged).numpy() for s in SEEDS]
        told[name] = [head[plain, :-1].argmax(axis=1) for head in heads]
    given = groups[plain].argmax(axis=1)
    return _compared(told, lambda t, g: float((t == g).mean()), given, content[plain])


def _joined(fit: Samples, held: Sequence[Samples]) -> tuple[Any, ...]:
    """Standardised features of both kinds, and opinion, content and rated of the judged."""
    centre, spread = fit.hidden.mean(axis=0), np.maximum(fit.hidden.std(axis=0), 0.05)
    own = [np.concatenate([getattr(s, n) for s in held]) for n in ("hidden", "opinion", "content")]
    scaled = [torch.from_numpy((x - centre) / spread) for x in (fit.hidden, own[0])]
    return (*scaled, *own[1:], np.concatenate([s.rated for s in held]))


def _fitted(
    features: Tensor, outputs: int, loss: Callable[[Tensor, Tensor], Tensor], seed: int
) -> Callable[[Tensor], Tensor]:
    torch.manual_seed(seed)
    head = nn.Linear(features.shape[1], outputs)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    draws = len(features) // DRAW
    for step in range(STEPS):
        rng = np.random.default_rng([seed, step])
        chosen = rng.choice(draws, BATCH // DRAW, replace=False)
        rows = torch.from_numpy((chosen[:, None] * DRAW + np.arange(DRAW)).ravel())
        optimizer.zero_grad()
        loss(head(features[rows]), rows).backward()
        optimizer.step()
        schedule.step()
    return torch.inference_mode()(head.forward)


def _compared(
    told: dict[str, list[NDArray[Any]]],
    figure: Callable[[Any, Any], float],
    truth: NDArray[Any],
    content: NDArray[np.str_],
) -> dict[str, Any]:
    """Mean over seeds of a figure, and its gain over the first way, 95 % over contents."""
    base = next(iter(told.values()))
    out = {}
    for name, some in told.items():

        def statistics(rows: NDArray[np.intp], some: Any = some) -> list[float]:
            own, first = (
                float(np.mean([figure(t[rows], truth[rows]) for t in x])) for x in (some, base)
            )
            return [own, own - first]

        whole = statistics(np.arange(len(truth)))
        pairs = intervals(statistics, resamples(len(truth), 0, list(content), RESAMPLES))
        out[name] = {
            key: {"value": round(value, 4), "interval95": [round(v, 4) for v in pair]}
            for key, value, pair in zip(("figure", "gain"), whole, pairs, strict=True)
        } | {"by_seed": [round(figure(t, truth), 4) for t in some], "n": len(truth)}
    return out


if __name__ == "__main__":
    raise SystemExit(main())
