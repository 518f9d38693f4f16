from __future__ import annotations

import numpy as np
import pytest
import torch

from iqa.data.features import SHAPES, Features
from iqa.data.store import Store
from iqa.models.glint_edge import DISTORTION_LABELS, build
from iqa.validate import fit_of


def test_trusted_samples_alone_are_compared() -> None:
    torch.manual_seed(0)
    model, rng, count = build(), np.random.default_rng(0), 40
    maps = [
        rng.standard_normal((count, side, side, channels)).astype(np.float16)
        for channels, side in SHAPES.values()
    ]
    features = Features(*maps)
    with torch.inference_mode():
        logits = model.deep_logits(*features.batch(np.arange(count)))[0]
        mos = (1 + 4 * torch.sigmoid(logits)).numpy()
    weight = np.ones(count, np.float32)
    weight[::4], labels = 0.25, mos + 0.5
    labels[::4] = rng.uniform(1, 5, count // 4)  # anchors that agree with nothing
    empty, causes = np.zeros((count, 0), np.uint8), np.zeros((count, len(DISTORTION_LABELS)))
    store = Store(empty, empty, labels.astype(np.float32), weight, causes.astype(np.float32))
    found = fit_of(model, store, features, most=36)
    assert found["n"] == 27
    assert found["srocc"] == pytest.approx(1)
    assert found["mae"] == pytest.approx(0.5, abs=1e-3)
