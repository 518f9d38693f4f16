"""``python -m iqa uncertainty`` and ``scenes``: first what holds for both, then each alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from iqa.models.glint_edge import OUTPUTS
from iqa.second_stage.weights import read_weights
from iqa.uncertainty.page import BEGIN, END, render

from .conftest import Run

both = pytest.mark.parametrize("command", ["uncertainty", "scenes"])


@both
def test_a_head_is_added_and_frames_are_made_once_for_one_network(
    command: str, run: Run, weights: Path, tmp_path: Path
) -> None:
    found, out = run(command), tmp_path / "out.safetensors"
    assert found.exit_code == 0, found.output
    before, after = load_file(weights), load_file(out)
    assert set(after) - set(before) == {f"{command}.weight", f"{command}.bias"}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    with safe_open(out, "pt") as file:
        assert file.metadata() == {"label_at_0": "1"}
    model, digest = read_weights(out)
    assert getattr(model, command).fitted
    assert digest == read_weights(weights)[1]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").iterdir()}
    assert len(kept) == {"uncertainty": 3, "scenes": 1}[command]
    first = out.read_bytes()
    again = run(command, out)  # the head is no part of the claim
    assert again.exit_code == 0, again.output
    assert out.read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    save_file(before | {"quality.bias": before["quality.bias"] + 1}, weights)
    for other in (run(command), run(command, out, seed=1)):
        assert other.exit_code == 2
        assert "holds samples of other photographs, settings or weights" in other.output


WRONG = {
    "text": "{", "list": "[]", "object": "{}", "kinds": "file,kind\n",
    "elsewhere": "file,scene\nelsewhere.png,roof\n", "one": "file,scene\n0.png,roof\n1.png,roof\n",
}  # fmt: skip
OF_BOTH = [
    ("start", "text", "Weights text cannot be used"),
    ("start", "other", "Weights other cannot be used: it has no tensor 'context.blocks.0."),
    ("description", "none", "Model description none cannot be used"),
    ("description", "text", "Model description text "),
    ("description", "none/d", "--description none/d: there is no folder none."),
    ("work", "text", "--work text is a file; it must be a folder."),
    ("out", "none/w", "--out none/w: there is no folder none. Choose a file in an existing, writ"),
    ("out", ".", "--out .: this is a folder; it must be a file. Choose a file in an existing"),
    ("report", "none/r", "--report none/r: there is no folder none."),
    ("report", "text/r", "--report text/r: there is no folder text."),
]


@pytest.mark.parametrize(
    ("command", "option", "value", "reason"),
    [
        *(("uncertainty", *case) for case in OF_BOTH),
        ("uncertainty", "photos", "none", "Photographs none cannot be used"),
        ("uncertainty", "means", "none", "Human scores none cannot be used"),
        ("uncertainty", "description", "object", "has no number abstain_above"),
        ("uncertainty", "page", "none", "Page none cannot be used"),
        ("uncertainty", "page", "none/p", "--page none/p: there is no folder none."),
        *(("scenes", *case) for case in OF_BOTH),
        ("scenes", "description", "list", "Model description list is a JSON list"),
        ("scenes", "photos", "none", "Scenes none/index.csv cannot be used"),
        ("scenes", "scenes", "none", "Scenes none cannot be used"),
        ("scenes", "scenes", "kinds", "it has no column 'scene'"),
        ("scenes", "scenes", "elsewhere", "Of 6 photographs none has a scene"),
        ("scenes", "scenes", "one", "show 1 scene, 'roof'"),
    ],
)
def test_what_must_fail_is_refused_before_the_work(
    command: str, option: str, value: str, reason: str,
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, text in WRONG.items():
        Path(name).write_text(text)
    save_file({"layer.weight": torch.zeros(2, 2)}, "other")
    found = run(command, **{option: value})
    assert found.exit_code == 2
    assert reason in " ".join(found.output.split())
    assert not Path("work").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@both
def test_what_is_write_protected_is_refused_too(command: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    found = run(command, report=tmp_path / "locked" / "report.json")
    assert found.exit_code == 2
    assert "locked is write-protected." in found.output
    assert not (tmp_path / "work").exists()


@both
def test_a_full_disk_costs_the_figures_alone(command: str, run: Run, tmp_path: Path) -> None:
    found = run(command, report="/dev/full")
    assert found.exit_code == 1
    assert "error: /dev/full cannot be written: No space left" in found.output
    assert getattr(read_weights(tmp_path / "out.safetensors")[0], command).fitted


def test_uncertainty_renews_a_page_and_the_limit_of_a_description(run: Run, tmp_path: Path) -> None:
    description, page = tmp_path / "model.json", tmp_path / "page.md"
    description.write_text('{"id": "x",\n "abstain_above": 1.5, "version": "1"}\n')
    page.write_text(f"{BEGIN}{END}")
    found = run("uncertainty", description=description, page=page)
    assert found.exit_code == 0, found.output
    assert "12 frames of 2 contents not fitted on" in found.output
    report = json.loads((tmp_path / "report.json").read_text())
    limit = report["abstain_above"]
    assert description.read_text() == f'{{"id": "x",\n "abstain_above": {limit}, "version": "1"}}\n'
    assert render(report) in page.read_text()


def test_scenes_are_named_in_figures_and_description(run: Run, tmp_path: Path) -> None:
    description = tmp_path / "model.json"
    description.write_text('{"id": "here", "licence": "MIT", "scene_labels": ["old"]}')
    found = run("scenes", description=description)
    assert found.exit_code == 0, found.output
    assert "20 frames of 5 photographs, each judged by a head that never saw it" in found.output
    first = load_file(tmp_path / "out.safetensors")["scenes.weight"]
    assert first.shape == (2, 192)
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
    assert run("scenes", loss="fidelity").exit_code == 0
    assert not torch.equal(load_file(tmp_path / "out.safetensors")["scenes.weight"], first)


def test_scenes_of_a_table_beside_the_photographs(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "scenes.csv"
    table.write_text("file,scene\n0.png,gate\n1.png,yard\n2.png,yard;gate\nelsewhere.png,roof\n")
    found = run("scenes", scenes=table)
    assert found.exit_code == 0, found.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["labels"], report["photographs"]) == (["gate", "yard"], 3)
    assert report["by_scene"]["gate"]["photographs"] == 2
