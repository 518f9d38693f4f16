from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from iqa.__main__ import app
from iqa.models.glint_edge import GlintEdge
from iqa.models.uncertainty_head import state_without_head
from iqa.uncertainty.weights import read_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = {k: v.half().contiguous() for k, v in state_without_head(GlintEdge(blocks=1)).items()}
    save_file(state, tmp_path / "weights.safetensors", {"label_at_0": "1"})
    return tmp_path / "weights.safetensors"


@pytest.fixture
def options(tmp_path: Path, photographs: Path, means: Path) -> list[str]:
    return [
        "--work", str(tmp_path / "work"), "--photos", str(photographs), "--means", str(means),
        "--out", str(tmp_path / "out.safetensors"), "--report", str(tmp_path / "report.json"),
        "--held-out-draws", "1", "--workers", "1",
    ]  # fmt: skip


def run(weights: Path, options: list[str]) -> Result:
    return CliRunner().invoke(app, ["uncertainty", str(weights), *options])


def test_a_head_is_added_and_nothing_else_changes(
    weights: Path, options: list[str], tmp_path: Path
) -> None:
    description = tmp_path / "model.json"
    description.write_text('{"id": "x",\n "abstain_above": 1.5, "version": "1"}\n')
    found = run(weights, [*options, "--description", str(description)])
    assert found.exit_code == 0, found.output
    assert "12 frames of 2 contents not fitted on" in found.output
    before, after = load_file(weights), load_file(tmp_path / "out.safetensors")
    assert set(after) - set(before) == {"uncertainty.weight", "uncertainty.bias"}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"label_at_0": "1"}
    model, digest = read_weights(tmp_path / "out.safetensors")
    assert model.uncertainty.fitted
    assert digest == read_weights(weights)[1]
    report = json.loads((tmp_path / "report.json").read_text())
    limit = report["abstain_above"]
    assert description.read_text() == f'{{"id": "x",\n "abstain_above": {limit}, "version": "1"}}\n'


def test_frames_are_made_once_for_one_network(
    weights: Path, options: list[str], tmp_path: Path
) -> None:
    found = run(weights, options)
    assert found.exit_code == 0, found.output
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").iterdir()}
    assert len(kept) == 3
    first = (tmp_path / "out.safetensors").read_bytes()
    again = run(tmp_path / "out.safetensors", options)  # the head is no part of the claim
    assert again.exit_code == 0, again.output
    assert (tmp_path / "out.safetensors").read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    state = load_file(weights)
    save_file(state | {"quality.bias": state["quality.bias"] + 1}, weights)
    other = run(weights, options)
    assert other.exit_code == 2
    assert "holds samples of other photographs, settings or weights" in other.output


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--photos", "nowhere", "Photographs nowhere cannot be used"),
        ("--means", "nowhere.csv", "Human scores nowhere.csv cannot be used"),
        ("--description", "nowhere.json", "Model description nowhere.json cannot be used"),
    ],
)
def test_what_is_missing_is_named(
    weights: Path, options: list[str], option: str, value: str, reason: str
) -> None:
    if option in options:
        options[options.index(option) + 1] = value
    found = run(weights, options if option in options else [*options, option, value])
    assert found.exit_code == 2
    assert reason in " ".join(found.output.split())


def test_weights_of_another_network_are_refused(tmp_path: Path, options: list[str]) -> None:
    save_file({"layer.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    found = run(tmp_path / "other.safetensors", options)
    assert found.exit_code == 2
    assert "cannot be used: it has no tensor 'context.blocks.0.mlp.0.weight'" in found.output
    (tmp_path / "text.safetensors").write_text("none")
    assert run(tmp_path / "text.safetensors", options).exit_code == 2


def test_a_description_without_the_field_is_refused_first(
    weights: Path, options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "model.json").write_text('{"id": "x"}')
    found = run(weights, [*options, "--description", str(tmp_path / "model.json")])
    assert found.exit_code == 2
    assert "has no number abstain_above" in found.output
    assert not (tmp_path / "work").exists()
