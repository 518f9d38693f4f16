"""A network, a rated set and recipes so small that a step takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from iqa.distortions.kadid import to_bytes
from iqa.training.places import Places
from iqa.training.recipe import Recipe
from iqa.training.run import Run

from ..conftest import scene

SCENES, LEVELS = 6, 5

# A file of its own, as a user's is: child processes import it too.
TINY_MODEL = """
import torch
from torch import nn
from iqa.qfm.protocol import Opinion, Tokens


class Tiny(nn.Module):
    def __init__(self, width=8, dropout=0.0):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 8, 8)
        self.look = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Dropout(dropout))
        self.out = nn.Linear(16, 1)

    def tokens(self, image):
        edges = self.stem(image).abs()  # weaker where it is blurred
        return Tokens(edges.flatten(2).transpose(1, 2).contiguous())

    def head(self, tokens):
        hidden = self.look(tokens.patches).mean(1)
        return Opinion(torch.sigmoid(self.out(hidden)[:, 0]), hidden)

    def forward(self, image):
        return self.head(self.tokens(image)).score


def build(**options):
    return Tiny(**options)


def build_nothing():
    return 3
"""

RECIPE = """
seed = 3
steps = 12
batch = 4
average = 0.9
validate_every = 4
log_every = 1
save_every = 2

[model]
name = "tiny_model:build"
views = ["crops:2x2@32"]

[data]
kind = "rated"
set = "csv"
csv = "reference=scene,split=part"
val_share = 0.25
flips = "hv"

[losses]
smooth_l1 = 1.0
correlation = 0.1

[optimizer]
lr = 1e-2

[schedule]
kind = "cosine"
warmup = 2
"""

NOISE = """
[noise]
memory = 24
start = 3
full = 6
"""

Write = Callable[..., Path]
Make = Callable[..., Run]


@pytest.fixture(scope="session")
def rated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 pictures, 6 scenes in 5 strengths of blur; the last scene is the test part."""
    root = tmp_path_factory.mktemp("rated")
    lines = ["image,mos,scene,part"]
    for number in range(SCENES):
        clean = to_bytes(scene(number, 48, 64))
        for level in range(LEVELS):
            picture = cv2.GaussianBlur(clean, (0, 0), 0.2 + level) if level else clean
            cv2.imwrite(str(root / f"{number}_{level}.png"), picture)
            part = "test" if number == SCENES - 1 else "train"
            lines.append(f"{number}_{level}.png,{5 - 0.7 * level},scene{number},{part}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the recipe, old text exchanged for new and more at its end; the model lies by it."""
    (tmp_path / "tiny_model.py").write_text(TINY_MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(*changes: tuple[str, str], more: str = "") -> Path:
        text = RECIPE
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "recipe.toml"
        path.write_text(text + more)
        return path

    return write


@pytest.fixture
def make(write: Write, rated_folder: Path, tmp_path: Path) -> Make:
    """A run of the recipe in a work folder of its own."""

    def make(*changes: tuple[str, str], more: str = "", work: str = "work", **places: Any) -> Run:
        recipe = Recipe.read(write(*changes, more=more))
        where = {"root": rated_folder} | places
        return Run(recipe, Places(tmp_path / work, **where), {})

    return make


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)
