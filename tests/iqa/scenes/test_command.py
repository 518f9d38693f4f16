from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from iqa.__main__ import app
from iqa.models.glint_edge import OUTPUTS
from iqa.uncertainty.weights import read_weights


@pytest.fixture
def options(tmp_path: Path, photographs: Path) -> list[str]:
    return [
        "--work", str(tmp_path / "work"), "--photos", str(photographs), "--folds", "2",
        "--out", str(tmp_path / "out.safetensors"), "--report", str(tmp_path / "report.json"),
        "--workers", "1",
    ]  # fmt: skip


def run(weights: Path, options: list[str]) -> Result:
    return CliRunner().invoke(app, ["scenes", str(weights), *options])


def test_from_photographs_to_a_bundle_that_names_scenes(
    weights: Path, options: list[str], tmp_path: Path
) -> None:
    description = tmp_path / "model.json"
    description.write_text('{"id": "here", "licence": "MIT", "scene_labels": ["old"]}')
    found = run(weights, [*options, "--description", str(description)])
    assert found.exit_code == 0, found.output
    assert "20 frames of 5 photographs, each judged by a head that never saw it" in found.output
    before, after = load_file(weights), load_file(tmp_path / "out.safetensors")
    assert set(after) - set(before) == {"scenes.weight", "scenes.bias"}
    assert after["scenes.weight"].shape == (2, 192)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"label_at_0": "1"}
    model, digest = read_weights(tmp_path / "out.safetensors")
    assert model.scenes.fitted
    assert digest == read_weights(weights)[1]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["labels"] == ["day", "night"]
    assert set(report["ways"]) == {
        f"{feature}, {loss}"
        for feature in ("context", "hidden")
        for loss in ("fidelity", "cross-entropy")
    }
    assert json.loads(description.read_text()) == {
        "id": "here",
        "licence": "MIT",
        "outputs": [*OUTPUTS, "scenes"],
        "scene_labels": ["day", "night"],
    }


def test_frames_are_made_once_and_losses_can_be_switched(
    weights: Path, options: list[str], tmp_path: Path
) -> None:
    assert run(weights, [*options, "--loss", "fidelity"]).exit_code == 0
    kept = (tmp_path / "work" / "scenes.npz").stat().st_mtime_ns
    first = load_file(tmp_path / "out.safetensors")
    assert run(weights, [*options, "--loss", "cross-entropy"]).exit_code == 0
    assert (tmp_path / "work" / "scenes.npz").stat().st_mtime_ns == kept
    second = load_file(tmp_path / "out.safetensors")
    assert not torch.equal(first["scenes.weight"], second["scenes.weight"])
    other = run(weights, [*options, "--seed", "1"])
    assert other.exit_code == 2
    assert "holds samples of other photographs, settings or weights" in other.output


def test_a_table_beside_the_photographs(weights: Path, options: list[str], tmp_path: Path) -> None:
    table = tmp_path / "scenes.csv"
    table.write_text("file,scene\n0.png,gate\n1.png,yard\n2.png,yard;gate\nelsewhere.png,roof\n")
    found = run(weights, [*options, "--scenes", str(table)])
    assert found.exit_code == 0, found.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["labels"], report["photographs"]) == (["gate", "yard"], 3)
    assert report["by_scene"]["gate"]["photographs"] == 2


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (None, "Scenes nowhere.csv cannot be used"),
        ("file,kind\n", "it has no column 'scene'"),
        ("file,scene\nelsewhere.png,roof\n", "Of 6 photographs none has a scene"),
        ("file,scene\n0.png,roof\n1.png,roof\n", "show 1 scene, 'roof'"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(
    weights: Path, options: list[str], tmp_path: Path, table: str | None, reason: str
) -> None:
    path = Path("nowhere.csv")
    if table is not None:
        path = tmp_path / "scenes.csv"
        path.write_text(table)
    found = run(weights, [*options, "--scenes", str(path)])
    assert found.exit_code == 2
    assert reason in " ".join(found.output.split())
    assert not (tmp_path / "work").exists()


def test_figures_that_cannot_be_written(weights: Path, options: list[str], tmp_path: Path) -> None:
    options[options.index("--report") + 1] = str(tmp_path / "none" / "report.json")
    found = run(weights, options)
    assert found.exit_code != 0
    assert "report.json cannot be written: No such file" in " ".join(found.output.split())
    assert read_weights(tmp_path / "out.safetensors")[0].scenes.fitted  # minutes are not lost


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_description_that_cannot_be_renewed_is_refused_first(
    weights: Path, options: list[str], tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "model.json"
    if text is not None:
        path.write_text(text)
    found = run(weights, [*options, "--description", str(path)])
    assert found.exit_code == 2
    assert "Model description" in found.output
    assert not (tmp_path / "work").exists()
