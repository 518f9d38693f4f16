from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from iqa.__main__ import app
from iqa.contrast.pretraining import Pretraining
from iqa.contrast.probe import best_decay, out_of_fold, ridge, splits
from iqa.distortions.kadid import to_bytes
from iqa.metrics import srocc
from tests.iqa.conftest import scene

WIDTH = 16


def data(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Eight classes in 2 of 16 numbers; the others say nothing."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 8, count)
    x = rng.standard_normal((count, WIDTH))
    angle = classes * np.pi / 4
    x[:, 0], x[:, 1] = np.cos(angle), np.sin(angle)
    x[:, :2] += 0.1 * rng.standard_normal((count, 2))
    return torch.tensor(x, dtype=torch.float32), torch.tensor(classes)


def run_of(steps: int) -> Pretraining:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(WIDTH, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, WIDTH))
    return Pretraining(network, network, WIDTH, steps, 1e-2)


def steps(run: Pretraining, last: int) -> list[float]:
    return [run.update(*data(64, step)) for step in range(run.step, last)]


def within_classes(features: Tensor, classes: Tensor) -> float:
    """Mean cosine within classes minus that between them."""
    unit = nn.functional.normalize(features - features.mean(0), dim=1)
    cosine, same = unit @ unit.T, classes[:, None] == classes[None]
    same_only = same & ~torch.eye(len(unit), dtype=torch.bool)
    return float(cosine[same_only].mean() - cosine[~same].mean())


def test_features_of_unseen_samples_gather_by_class() -> None:
    run = run_of(200)
    x, classes = data(200, 999)
    run.model.eval()
    before = within_classes(run.model(x).detach(), classes)
    run.model.train()
    losses = steps(run, 200)
    run.model.eval()
    assert within_classes(run.model(x).detach(), classes) > before + 0.3
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.3


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    straight, stopped, resumed = run_of(6), run_of(6), run_of(6)
    steps(straight, 6)
    steps(stopped, 3)
    stopped.save(tmp_path / "state.pt", "this run")
    assert not run_of(6).restore(tmp_path / "state.pt", "another")
    assert resumed.restore(tmp_path / "state.pt", "this run")
    assert resumed.step == 3
    steps(resumed, 6)
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("count", [40, 8])
def test_ridge_is_the_least_of_its_sum(count: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((count, 12)), rng.standard_normal(count)
    weight, offset = ridge(x, y, 2.0)

    def cost(w: np.ndarray, b: float) -> float:
        return float(np.square(x @ w + b - y).sum() + 2 * np.square(w).sum())

    best = cost(weight, offset)
    for _ in range(20):
        moved = weight + 1e-3 * rng.standard_normal(12)
        assert cost(moved, offset) > best
    assert min(cost(weight, offset + 1e-3), cost(weight, offset - 1e-3)) > best


def test_no_content_helps_to_tell_itself() -> None:
    rng = np.random.default_rng(0)
    contents = [f"{n // 6}" for n in range(60)]
    for kept, left in splits(contents, 5, 0):
        assert not set(np.array(contents)[kept]) & set(np.array(contents)[left])
        assert left.sum() == 12
    marks = np.repeat(np.eye(10), 6, axis=0)  # features that only name the content
    scores = np.repeat(rng.standard_normal(10), 6) * 10
    assert srocc(out_of_fold(marks, scores, contents), scores) < 0.2
    signal = scores[:, None] + 0.1 * rng.standard_normal((60, 3))
    assert srocc(out_of_fold(signal, scores, contents), scores) > 0.95
    assert best_decay(signal, scores, contents) < 1000


def test_the_command_goes_on_where_it_stopped(photographs: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        "seed = 1\nsteps = 2\nbatch = 1\n[model]\nname = 'glint-edge'\n"
        "options = { blocks = 1 }\nfreeze = ['trunk']\n[data]\nkind = 'cached'\ngroups = 1\n"
        "[losses]\nregression = 1\n[optimizer]\nlr = 1e-3\n[schedule]\nkind = 'cosine'\n"
    )

    def command(name: str, *more: str) -> Result:
        return CliRunner().invoke(
            app,
            ["pretrain", str(recipe), "--clean", str(photographs), "--footage", str(photographs),
             "--work", str(tmp_path / name), "-o", str(tmp_path / f"{name}.safetensors"),
             "--steps", "2", "--classes", "2", "--each", "1", "--real", "1", "--workers", "1",
             *more],
        )  # fmt: skip

    site = tmp_path / "site"
    site.mkdir()
    rows = ["picture,mos[1:5]"]
    for number in range(10):
        cv2.imwrite(str(site / f"{number}.png"), to_bytes(scene(20 + number, 60, 80)))
        rows.append(f"{number}.png,{1 + number % 5}")
    (site / "labels.csv").write_text("\n".join(rows))
    whole = command("whole", "--labels", str(site / "labels.csv"))
    assert whole.exit_code == 0, whole.output
    assert "ridge on 10 rated pictures, contents left out: SROCC" in " ".join(whole.output.split())
    assert "2 of 2 steps" in whole.output
    assert command("parts", "--until", "1").exit_code == 0
    assert command("parts").exit_code == 0
    first, second = (load_file(tmp_path / f"{n}.safetensors") for n in ("whole", "parts"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert "uncertainty.weight" not in first
    other = command("parts", "--rate", "0.1")
    assert other.exit_code == 2
    assert "belongs to a run of other settings" in other.output
