from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("torch", reason="iqa needs torch: pip install 'framescore[train]'")

from iqa.distortions.kadid import to_bytes
from iqa.models.glint_edge import GlintEdge
from iqa.models.uncertainty_head import state_without_head
from iqa.scenes.frames import DRAW
from iqa.scenes.samples import Samples
from tests.iqa.conftest import scene

WIDTH = 8


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Six photographs with an index.csv: warm ones are days, cold ones nights, one is left out."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rows = ["file,split,licence,scene"]
    for number in range(6):
        image = scene(number, 96, 128) * ([1.0, 0.6, 0.1] if number % 2 else [0.02, 0.02, 0.2])
        cv2.imwrite(str(folder / f"{number}.png"), to_bytes(image.astype(np.float32))[..., ::-1])
        name = "" if number == 5 else "day" if number % 2 else "night"
        rows.append(f"{number}.png,{'train' if number < 4 else 'val'},CC0-1.0,{name}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = {k: v.half().contiguous() for k, v in state_without_head(GlintEdge(blocks=1)).items()}
    save_file(state, tmp_path / "weights.safetensors", {"label_at_0": "1"})
    return tmp_path / "weights.safetensors"


def made_up(contents: int, signal: float, seed: int = 0) -> tuple[Samples, dict[str, tuple[str]]]:
    """Frames of two scenes, of which feature 0 of ``context`` tells, and ``hidden`` nothing."""
    rng = np.random.default_rng(seed)
    names = [f"{number:03}.png" for number in range(contents)]
    scenes = {name: (("a", "b")[number % 2],) for number, name in enumerate(names)}
    count = contents * DRAW
    context, hidden = rng.standard_normal((2, count, WIDTH)).astype(np.float32)
    context[:, 0] += signal * (np.arange(count) // DRAW % 2)
    clean = np.arange(count) % DRAW == 0
    return Samples(hidden, context, clean, np.repeat(names, DRAW)), scenes


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 40)
