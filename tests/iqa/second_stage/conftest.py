"""Photographs and a finished network, and the commands that fit a head to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

pytest.importorskip("torch", reason="iqa needs torch: pip install 'framescore[train]'")

import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from iqa.__main__ import app
from iqa.distortions.kadid import to_bytes
from iqa.models.glint_edge import GlintEdge
from iqa.models.uncertainty_head import state_without_head
from tests.iqa.conftest import scene

Run = Callable[..., Result]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two photographs for training and four for validation; all but the last show a scene."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rows = ["file,split,licence,scene"]
    for number, shown in enumerate(("night", "day", "night", "day", "night", "")):
        cv2.imwrite(str(folder / f"{number}.png"), to_bytes(scene(number, 96, 128))[..., ::-1])
        rows.append(f"{number}.png,{'train' if number < 2 else 'val'},CC0-1.0,{shown}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def means(tmp_path: Path) -> Path:
    """Scores of 125 settings that fall from 4.6 to 1.8, contents 0.2 apart."""
    settings = ((kind, level) for kind in range(1, 26) for level in range(1, 6))
    rows = [f"{kind},{level},{5.3 - 0.7 * level},0.2" for kind, level in settings]
    (tmp_path / "means.csv").write_text("\n".join(["type,level,mean,std", *rows]) + "\n")
    return tmp_path / "means.csv"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = {k: v.half().contiguous() for k, v in state_without_head(GlintEdge(blocks=1)).items()}
    save_file(state, tmp_path / "weights.safetensors", {"label_at_0": "1"})
    return tmp_path / "weights.safetensors"


@pytest.fixture
def run(tmp_path: Path, photographs: Path, means: Path, weights: Path) -> Run:
    """Calls a command with options for small work; those given come on top or instead."""
    few = {"uncertainty": {"means": means, "held-out-draws": 1}, "scenes": {"folds": 2}}

    def call(command: str, start: Path = weights, **given: object) -> Result:
        options = {
            "work": tmp_path / "work", "photos": photographs, "workers": 1, **few[command],
            "out": tmp_path / "out.safetensors", "report": tmp_path / "report.json", **given,
        }  # fmt: skip
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        return CliRunner().invoke(app, [command, str(start), *words])

    return call


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 40)
