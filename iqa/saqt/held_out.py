"""What a transfer is worth: scores of each reference predicted from the other references."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from iqa.saqt.scores import Scores

KS = (1, 3, 5, 10)
DRAWS = 50  # of the random reference
RESAMPLES = 2000

Cube = NDArray[np.float64]  # [R, settings]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One way to predict, over references: mean SROCC within a reference, RMSE in score points,
    and the gain in SROCC over the mean of all others with its 95 % bootstrap interval.
    """

    name: str
    srocc: float
    rmse: float
    gain: float
    low: float
    high: float


def held_out(scores: Scores, features: NDArray[np.float32], seed: int = 0) -> list[HeldOut]:
    """Compare transfers from the k most similar, from a random one and from all others.

    Args:
        scores: Of the references, in the order of ``features``.
        features: ``[R, D]`` of unit length.
        seed: Of the random reference and of the resampling.
    """
    own = scores.values.reshape(len(scores.references), -1)
    rng = np.random.default_rng(seed)
    others = (own.sum(0) - own) / (len(own) - 1)
    ways: dict[str, list[Cube]] = {"the mean of all others": [others]}
    ways["a random other"] = [own[_other(len(own), rng)] for _ in range(DRAWS)]
    for k in (k for k in KS if k < len(own)):
        ways[f"the {k} most similar"] = [_from_similar(own, features, k)]
    ranks = {name: np.mean([_ranks(p, own) for p in some], axis=0) for name, some in ways.items()}
    base = ranks["the mean of all others"]
    found = []
    for name, predictions in ways.items():
        gain = ranks[name] - base
        low, high = _interval(gain, rng)
        rmse = float(np.mean([np.sqrt(np.square(p - own).mean(1)).mean() for p in predictions]))
        found.append(HeldOut(name, float(ranks[name].mean()), rmse, float(gain.mean()), low, high))
    return found


def _from_similar(own: Cube, features: NDArray[np.float32], k: int) -> Cube:
    cosine = (features @ features.T).astype(np.float64)
    np.fill_diagonal(cosine, -np.inf)
    best = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    weight = np.maximum(np.take_along_axis(cosine, best, axis=1), 1e-9)
    return np.einsum("rk,rks->rs", weight / weight.sum(1, keepdims=True), own[best])


def _other(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """One other row for each row."""
    return (np.arange(count) + rng.integers(1, count, count)) % count


def _ranks(predicted: Cube, own: Cube) -> NDArray[np.float64]:
    """SROCC within each reference, ``[R]``."""
    first, second = (stats.rankdata(values, axis=1) for values in (predicted, own))
    first, second = (r - r.mean(1, keepdims=True) for r in (first, second))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / lengths


def _interval(gain: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    means = gain[rng.integers(0, len(gain), (RESAMPLES, len(gain)))].mean(1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))
