"""Does matching earn its keep? Training without noise, with matched and with random partners.

The control of QFM-IQM's idea on real photographs: ``glint-edge`` is cut before its integration,
everything before the cut stays as it is, and what follows is trained in three ways that differ in
the partners alone. Labels are the mean human scores of KADID's (type, level) settings, so that at
one setting every spread of scores over photographs is an influence of content.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqa.bootstrap import intervals, resamples
from iqa.metrics import fast_srocc
from iqa.models.glint_edge import GlintEdge
from iqa.qfm.adapters import GlintEdgeTokens
from iqa.qfm.matching import Matcher, match, match_at_random, match_nothing
from iqa.qfm.noise import perturb, semantic_noise
from iqa.qfm.protocol import Batch, Tokens
from iqa.qfm.schedule import Schedule
from iqa.qfm.token_store import TokenStore
from iqa.qfm.training import NoiseTraining, Settings
from iqa.whole_file import whole_file

ARMS: dict[str, Matcher] = {
    "without": match_nothing,
    "matched": match,
    "random": match_at_random,
}
PAIRS = (("matched", "without"), ("random", "without"), ("matched", "random"))
BATCH = 16
MEMORY = 1024
AVERAGE = 0.9  # of the weights, over some ten steps
PROBE = 0.3  # strength of the noise that trained models are probed with
FIGURES = ("srocc", "spread", "relative_spread", "moved")
DECODED = ("integrate", "hidden", "quality")  # what is behind the cut
# Fresh weights learn at the rate of glint-edge's recipe, shipped ones are tuned at DEIQT's.
FRESH = Schedule(
    epochs=1, lr=1e-3, lr_start=1e-5, warmup=0.1, decay_every=0.6, noise_from=0.1, noise_full=0.4
)
SCHEDULES = {"fresh": FRESH, "shipped": replace(FRESH, lr=2e-4, lr_start=2e-7)}

Opinions = Mapping[tuple[int, int], float]
Cube = NDArray[np.float64]  # [seeds, photographs, settings]


class Decoder(GlintEdgeTokens):
    """A ``glint-edge`` whose inputs are tokens already; only what reads them is trained."""

    def tokens(self, patches: Tensor) -> Tokens:  # type: ignore[override]
        """As they are, ``[B, 196, D]``."""
        return Tokens(patches)


def decoder_of(model: GlintEdge, start: str, seed: int) -> Decoder:
    """What is trained: the rest of ``model`` is frozen.

    Args:
        model: Its trunk and branches made the tokens.
        start: "shipped" for the weights of ``model`` behind the cut, "fresh" for new ones.
        seed: Of new weights.
    """
    model = copy.deepcopy(model)
    if start == "fresh":
        torch.manual_seed(seed)
        other = GlintEdge(len(model.context.blocks))
        for name in DECODED:
            setattr(model, name, getattr(other, name))
    model.requires_grad_(False)
    for name in DECODED:
        getattr(model, name).requires_grad_(True)
    return Decoder(model)


def train(
    decoder: Decoder,
    store: TokenStore,
    opinions: Opinions,
    matcher: Matcher,
    schedule: Schedule,
    seed: int,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Decoder:
    """Train on every frame of a store, in an order that the seed decides; averaged weights."""
    per_epoch = len(store.settings) // BATCH
    settings = Settings(per_epoch, schedule, memory=MEMORY, average=AVERAGE, seed=seed)
    run = NoiseTraining(decoder, settings, matcher)
    quality = quality_of(store, opinions)
    for step in range(schedule.epochs * per_epoch):
        progress(step, schedule.epochs * per_epoch)
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(len(quality))
        rows = np.sort(order[place * BATCH : (place + 1) * BATCH])
        key = torch.from_numpy(store.keys[store.photo_of(rows)])
        zeros = torch.zeros(len(rows), dtype=torch.int64)
        run.update(Batch(store.batch(rows), torch.from_numpy(quality[rows]), key, zeros))
    average = run.average
    assert isinstance(average, Decoder)
    return average


def quality_of(store: TokenStore, opinions: Opinions) -> NDArray[np.float32]:
    """Labels 0 to 1 of a store's frames."""
    means = [opinions[int(kind), int(level)] for kind, level in store.settings]
    return ((np.array(means) - 1) / 4).astype(np.float32)


@torch.inference_mode()
def predict(decoder: Decoder, store: TokenStore, seed: int = 0) -> tuple[Cube, Cube]:
    """Scores 0 to 100, and how far the noise of another photograph at the same setting moves them.

    The store must hold the same settings of every photograph: ``[photographs, settings]`` each.
    """
    each = len(store.settings) // store.photos
    generator = torch.Generator().manual_seed(seed)
    other = (np.arange(store.photos) + 1 + seed) % store.photos
    scores, moved = [], []
    for photo in range(store.photos):
        own, partner = (store.batch(p * each + np.arange(each)) for p in (photo, other[photo]))
        noise = semantic_noise(own, partner, generator)
        clean = decoder.head(Tokens(own)).score
        noisy = decoder.head(Tokens(perturb(own, noise, torch.full((each,), PROBE)))).score
        scores.append(100 * clean.double().numpy())
        moved.append(100 * (noisy - clean).abs().double().numpy())
    return np.stack(scores), np.stack(moved)


@dataclass(frozen=True, slots=True)
class Arm:
    """What one way of training gave.

    Attributes:
        scores: ``[seeds, photographs, settings]``.
        moved: How far noise moves them, of the same shape.
    """

    scores: Cube
    moved: Cube

    def figures(self, photos: NDArray[np.intp], opinions: NDArray[np.float64]) -> dict[str, float]:
        """Means over seeds on some photographs.

        Args:
            photos: Positions, each as often as it counts.
            opinions: ``[settings]``.
        """
        found = [
            figures_of(scores[photos], moved[photos], opinions)
            for scores, moved in zip(self.scores, self.moved, strict=True)
        ]
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def figures_of(
    scores: NDArray[np.float64], moved: NDArray[np.float64], opinions: NDArray[np.float64]
) -> dict[str, float]:
    """What scores ``[photographs, settings]`` of one model are worth.

    Returns:
        srocc: Rank correlation with the settings' mean opinions.
        spread: Standard deviation of the scores over photographs at one setting, root mean square
            over settings, in score points.
        relative_spread: The same in standard deviations of the settings' mean scores, so that a
            model does not gain by using less of the scale.
        moved: Mean change of the score under noise, in the same standard deviations.
    """
    spread = float(np.sqrt(scores.var(axis=0).mean()))
    range_used = float(scores.mean(axis=0).std()) or math.nan  # of scores that are all equal
    rank = fast_srocc(scores.ravel(), np.tile(opinions, len(scores)))
    values = (rank, spread, spread / range_used, float(moved.mean()) / range_used)
    return dict(zip(FIGURES, values, strict=True))


def judge(
    arms: Mapping[str, Arm], opinions: NDArray[np.float64], seed: int = 0
) -> dict[str, dict[str, dict[str, float | list[float]]]]:
    """Every figure of every arm and the differences, with intervals over photographs.

    All arms are judged on the same draws, so that a difference has the interval of pairs. Seeds are
    averaged and not drawn: the intervals say nothing of other seeds; ``by_seed`` does.
    """
    count = next(iter(arms.values())).scores.shape[1]

    def values(photos: NDArray[np.intp]) -> list[float]:
        found = {arm: of.figures(photos, opinions) for arm, of in arms.items()}
        single = [found[arm][name] for arm in arms for name in FIGURES]
        return single + [found[a][name] - found[b][name] for a, b in PAIRS for name in FIGURES]

    everyone = values(np.arange(count))
    ranges = intervals(values, resamples(count, seed))
    labels = [*arms, *(f"{a} - {b}" for a, b in PAIRS)]
    rows = iter(zip(everyone, ranges, strict=True))
    out: dict[str, dict[str, dict[str, float | list[float]]]] = {}
    for label in labels:
        out[label] = {}
        for name in FIGURES:
            value, pair = next(rows)
            out[label][name] = {"value": value, "interval95": list(pair)}
    for arm, of in arms.items():
        seeds = [figures_of(s, m, opinions) for s, m in zip(of.scores, of.moved, strict=True)]
        for name in FIGURES:
            out[arm][name]["by_seed"] = [one[name] for one in seeds]
    return out


def run_arm(
    folder: Path,
    name: str,
    start: str,
    seed: int,
    model: GlintEdge,
    stores: Mapping[str, TokenStore],
    opinions: Opinions,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> tuple[Cube, Cube]:
    """Train one arm with one seed and score the validation frames.

    A finished run of the same schedule is read again. The folder must be of these stores alone.
    """
    path, schedule = folder / f"{start}-{name}-{seed}.npz", SCHEDULES[start]
    if (known := _known(path, schedule)) is not None:
        return known
    decoder = decoder_of(model, start, seed)
    trained = train(decoder, stores["train"], opinions, ARMS[name], schedule, seed, progress)
    scores, moved = predict(trained.eval(), stores["val"])
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as stream:
        np.savez(stream, scores=scores, moved=moved, schedule=repr(schedule))
    return scores, moved


def _known(path: Path, schedule: Schedule) -> tuple[Cube, Cube] | None:
    """A finished run of this schedule."""
    if not path.is_file():
        return None
    found = np.load(path)
    return (found["scores"], found["moved"]) if found["schedule"] == repr(schedule) else None
