"""How well a model fits the frames of a store, those it saw or those it did not."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from iqa.data.features import CHUNK
from iqa.data.store import Store
from iqa.data.synthesis import GROUP
from iqa.losses import TRUSTED, comparable
from iqa.metrics import srocc
from iqa.models.glint_edge import GlintEdge


@torch.inference_mode()
def fit_of(model: GlintEdge, store: Store, most: int = 1000) -> dict[str, float]:
    """How the first ``most`` samples are ranked: trusted ones by SROCC, the others in their groups.

    Args:
        model: In evaluation mode.
        store: Views and labels.
        most: Samples to look at.

    Returns:
        ``n``, ``srocc`` and ``mae`` in MOS points of trusted samples; ``pairs`` that only an
        order inside a group is known of, and ``order``, the share of them that is right.
    """
    rows = np.arange(min(most, len(store)))
    chunks = np.array_split(rows, math.ceil(len(rows) / CHUNK))
    views = [[torch.from_numpy(v[c]) for v in (store.fragments, store.resize)] for c in chunks]
    predicted = np.concatenate([model(*pair)[1].numpy() for pair in views])
    trusted = store.weight[rows] >= TRUSTED
    mos = store.mos[rows]
    error = float(np.abs(predicted - mos)[trusted].mean())
    rank = srocc(predicted[trusted], mos[trusted])
    fit = {"n": int(trusted.sum()), "srocc": rank, "mae": error}
    return fit | order_of(predicted, mos, ~trusted)


def order_of(
    scores: NDArray[np.float32], mos: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> dict[str, float]:
    """``pairs`` inside groups of chosen samples that differ visibly, and the share in ``order``."""
    rows = np.flatnonzero(chosen)
    target = torch.from_numpy((mos[rows] - 1) / 4)
    pairs = comparable(target, torch.zeros(len(rows)), torch.from_numpy(rows // GROUP))
    better, worse = np.nonzero(pairs.numpy())
    right = scores[rows[better]] > scores[rows[worse]]
    return {"pairs": len(right), "order": float(right.mean()) if len(right) else float("nan")}
