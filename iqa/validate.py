"""How well a model fits the frames of a store, those it saw or those it did not."""

from __future__ import annotations

import numpy as np
import torch

from iqa.data.features import CHUNK, Features
from iqa.data.store import Store
from iqa.losses import TRUSTED
from iqa.metrics import srocc
from iqa.models.glint_edge import GlintEdge


@torch.inference_mode()
def fit_of(
    model: GlintEdge, store: Store, features: Features, most: int = 1000
) -> dict[str, float]:
    """SROCC and mean absolute error over the trusted samples among the first ``most``.

    Args:
        model: In evaluation mode.
        store: Labels.
        features: The trunk's outputs for the same samples.
        most: Samples to look at.

    Returns:
        ``n``, ``srocc``, and ``mae`` in MOS points.
    """
    rows = np.arange(min(most, len(store)))
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    logits = [model.deep_logits(*features.batch(chunk))[0].numpy() for chunk in chunks]
    predicted = 1 + 4 / (1 + np.exp(-np.concatenate(logits)))
    trusted = store.weight[rows] >= TRUSTED
    mos, predicted = store.mos[rows][trusted], predicted[trusted]
    error = float(np.abs(predicted - mos).mean())
    return {"n": int(trusted.sum()), "srocc": srocc(predicted, mos), "mae": error}
