from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from iqa.cli.train import RECIPES, app, find_recipe, starts_of
from sdk.cli.app import app as framescore
from sdk.errors import UsageError

RECIPE = """
seed = 0
steps = 4
batch = 4
[model]
name = "torch_score:build"
views = ["crops:1x1@32"]
[data]
kind = "rated"
set = "csv"
csv = "reference=scene"
val_share = 0.4
[losses]
l1 = 1.0
[optimizer]
lr = 1e-3
[schedule]
kind = "cosine"
"""
MODEL = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.GELU(), nn.Flatten(), nn.Linear(64, 1))
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "torch_score.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return path


def train(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_model_of_ones_own_from_the_command(
    recipe: Path, written_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = (recipe, "--root", written_set, "--workers", 0)
    found = train(*words, "--until", 2)
    assert found.exit_code == 0, found.output
    assert "stopped after 2 of 4 steps" in found.stderr
    assert not found.stdout
    found = train(*words)
    assert "finished; kept step" in found.stderr
    assert set(load_file(tmp_path / "runs/mine/weights.safetensors")) == {
        "0.weight", "0.bias", "3.weight", "3.bias",
    }  # fmt: skip


def test_both_commands_are_reachable() -> None:
    names = CliRunner().invoke(framescore, ["--help"]).stdout
    assert "train" in names
    assert "evaluate" in names


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.toml"], 2, "no recipe nowhere.toml; those that come with iqa are glint-edge"),
        (["RECIPE"], 2, "kind rated, which needs --root"),
        (["RECIPE", "--root", "/nowhere"], 1, "--root /nowhere does not exist"),
        (["RECIPE", "--root", "SET", "--start", "vit"], 2, "must be PART=FILE"),
        (["RECIPE", "--root", "SET", "--start", "vit=no.pt"], 2, "no such file"),
        (["RECIPE", "--root", "SET", "--start", "weights=RECIPE"], 2, "asks for no --start"),
        (["RECIPE", "--root", "SET", "--teacher", "one"], 2, "must be NAME=FILE, each name once"),
        (["RECIPE", "--root", "SET", "--unlabelled", "SET"], 2, "recipes with [distillation]"),
        (["RECIPE", "--root", "SET", "-o", "no/where.safetensors"], 2, "no folder no"),
        (["RECIPE", "--root", "SET", "--work", "RECIPE"], 2, "is a file"),
        (["RECIPE", "--root", "SET", "--workers", "-1"], 2, "greater than or equal to 0"),
        (["glint-edge"], 2, "asks for --start mobilenet=FILE; given are none"),
    ],
)
def test_bad_input_is_named_without_a_traceback(
    words: list[str], code: int, said: str, recipe: Path, written_set: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    known = {"RECIPE": str(recipe), "SET": str(written_set)}
    found = train(*(_exchanged(word, known) for word in words))
    assert found.exit_code == code
    assert said in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "runs").exists()


def _exchanged(word: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        word = word.replace(name, value)
    return word


def test_recipes_are_found_by_name_and_a_file_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("qfm-iqm") == RECIPES / "qfm_iqm.toml"
    (tmp_path / "qfm-iqm").write_text(RECIPE)
    assert find_recipe("qfm-iqm") == Path("qfm-iqm")


def test_a_part_is_started_once(tmp_path: Path) -> None:
    (tmp_path / "a=b").write_bytes(b"")
    assert starts_of([f"vit={tmp_path / 'a=b'}"]) == {"vit": tmp_path / "a=b"}
    with pytest.raises(UsageError, match="each part once"):
        starts_of([f"vit={tmp_path / 'a=b'}"] * 2)
