from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="iqa needs torch: pip install 'framescore[train]'")

from iqa.distortions.kadid import to_bytes
from iqa.uncertainty.frames import DRAW
from iqa.uncertainty.samples import Samples
from tests.iqa.conftest import scene

WIDTH, GROUPS = 8, 5


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two photographs for training and four for validation, with an index.csv."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rows = ["file,split,licence"]
    for number in range(6):
        cv2.imwrite(str(folder / f"{number}.png"), to_bytes(scene(number, 96, 128))[..., ::-1])
        rows.append(f"{number}.png,{'train' if number < 2 else 'val'},CC0-1.0")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def means(tmp_path: Path) -> Path:
    """Scores of 125 settings that fall from 4.6 to 1.8, contents 0.2 apart."""
    path = tmp_path / "means.csv"
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("type", "level", "mean", "std", "n"))
        rows.writerows(
            (kind, level, 5.3 - 0.7 * level, 0.2, 81)
            for kind in range(1, 26)
            for level in range(1, 6)
        )
    return path


def made_up(draws: int, seed: int, contents: int = 20) -> Samples:
    """Samples whose errors have a known spread: 4 points on clean frames, and feature k adds to it
    under fault k; the sixth of a draw is a fault that nobody rated.
    """
    rng = np.random.default_rng(seed)
    count = draws * DRAW
    groups = np.zeros((count, GROUPS), bool)
    faulty = np.arange(count) % DRAW > 0
    groups[faulty, rng.integers(0, GROUPS, faulty.sum())] = True
    strength = rng.uniform(0.3, 1, count) * faulty
    hidden = rng.standard_normal((count, WIDTH)).astype(np.float32) * 0.1
    hidden[:, :GROUPS] += groups * strength[:, None]
    sigma = np.hypot(4, 20 * strength)
    opinion = rng.uniform(20, 80, count)
    return Samples(
        hidden=hidden.astype(np.float32),
        score=(opinion + rng.normal(0, sigma)).astype(np.float32),
        old_sigma=np.full(count, 3, np.float32),
        posterior=rng.dirichlet(np.ones(12), count).astype(np.float32),
        opinion=opinion.astype(np.float32),
        deviation=np.full(count, 0.01, np.float32),
        rated=np.arange(count) % DRAW != DRAW - 1,
        groups=groups,
        content=np.array([f"{row // DRAW % contents}.png" for row in range(count)]),
    )


def true_sigma(samples: Samples) -> np.ndarray:
    """What :func:`made_up` drew errors with, but for the noise of the features."""
    return np.hypot(4, 20 * (samples.hidden[:, :GROUPS] * samples.groups).sum(axis=1))


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 40)
