"""What features are worth with few opinions: a ridge regression, judged on contents left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DECAYS = (0.1, 1.0, 10.0, 100.0, 1000.0)


def ridge(features: Floats, scores: Floats, decay: float) -> tuple[Floats, float]:
    """Weights ``[D]`` and offset of the least square error plus ``decay`` times their square."""
    centre, middle = features.mean(axis=0), scores.mean()
    x, y = features - centre, scores - middle
    if len(x) < x.shape[1]:  # fewer samples than features: the smaller of two equal systems
        weight = x.T @ np.linalg.solve(x @ x.T + decay * np.eye(len(x)), y)
    else:
        weight = np.linalg.solve(x.T @ x + decay * np.eye(x.shape[1]), x.T @ y)
    return weight, float(middle - centre @ weight)


def out_of_fold(
    features: Floats, scores: Floats, contents: Sequence[str], folds: int = 5, seed: int = 0
) -> Floats:
    """Each frame's score as told by a ridge on other contents, ``[N]``.

    The decay of each fold is that which serves best within its own contents, left out in turn.

    Args:
        features: ``[N, D]``; standardised here by the fitting frames alone.
        scores: ``[N]``.
        contents: What each frame shows, ``[N]``.
        folds: Parts of the contents, at least 3 contents in all.
        seed: Of the parts.
    """
    out = np.empty(len(scores))
    for kept, left in splits(contents, folds, seed):
        decay = best_decay(features[kept], scores[kept], np.asarray(contents)[kept])
        out[left] = predicted(features[kept], scores[kept], features[left], decay)
    return out


def predicted(features: Floats, scores: Floats, others: Floats, decay: float) -> Floats:
    """Scores of ``others`` told by a ridge on standardised ``features``."""
    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    weight, offset = ridge((features - centre) / spread, scores, decay)
    return (others - centre) / spread @ weight + offset


def best_decay(features: Floats, scores: Floats, contents: Sequence[str]) -> float:
    """Of :data:`DECAYS`, the one with the least square error on contents left out."""
    errors = dict.fromkeys(DECAYS, 0.0)
    for kept, left in splits(contents, 4, 0):
        for decay in DECAYS:
            told = predicted(features[kept], scores[kept], features[left], decay)
            errors[decay] += float(np.square(told - scores[left]).sum())
    return min(errors, key=lambda decay: errors[decay])


def splits(
    contents: Sequence[str], folds: int, seed: int
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Masks of the frames kept and left out, whole contents each."""
    names = np.unique(np.asarray(contents))
    order = np.random.default_rng(seed).permutation(len(names))
    parts = np.array_split(names[order], min(folds, len(names)))
    left = [np.isin(np.asarray(contents), part) for part in parts]
    return [(~some, some) for some in left]
