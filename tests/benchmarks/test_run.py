"""A trial run takes every measurement, and its results hold what the tables show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.expectations import look_up
from benchmarks.figures import SECTIONS
from benchmarks.table import DOCUMENTS, committed, insert, main, read, render

from ..sdk.tiny_model import write_tiny_bundle

pytestmark = pytest.mark.xdist_group("benchmarks")  # one worker makes the trial run

UNMEASURED = ("brisque.", "backends.openvino bf16.")


@pytest.fixture(scope="module")
def trial(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of `run.py --quick` with the tiny model."""
    folder = tmp_path_factory.mktemp("benchmarks")
    model = write_tiny_bundle(folder / "tiny.framescore")
    out = folder / "results" / "trial.json"
    script = repository / "benchmarks" / "run.py"
    command = [sys.executable, str(script), "--quick", "--model", str(model), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def results(trial: Path) -> dict[str, Any]:
    return read(trial)


def test_every_figure_is_there(results: dict[str, Any]) -> None:
    figures = [figure for rows in SECTIONS.values() for figure in rows]
    wanted = {figure.path for figure in figures if not figure.path.startswith(UNMEASURED)}
    assert {path for path in wanted if look_up(results, path) is None} == set()


def test_what_was_not_measured_says_why(results: dict[str, Any]) -> None:
    assert "--brisque-python" in results["brisque"]["unavailable"]
    bf16 = results["backends"]["openvino bf16"]
    assert bf16.get("unavailable") == "bf16 is not available on this CPU" or "all_cores_ms" in bf16


def test_results_name_no_place_on_this_machine(trial: Path, repository: Path) -> None:
    text = trial.read_text()
    assert str(trial.parent.parent) not in text
    assert str(repository) not in text
    assert sys.prefix not in text


def test_model_and_machine_are_told(results: dict[str, Any]) -> None:
    assert results["model"]["id"].startswith("tiny@")
    assert results["machine"]["cores"] >= 1
    assert results["machine"]["packages"]["numpy"]
    assert results["quick"] is True


def test_tables_show_every_figure(results: dict[str, Any]) -> None:
    table = render([results])
    for rows in SECTIONS.values():
        for figure in rows:
            assert f"| {figure.label} | {figure.text(results)} |" in table


def test_insert_replaces_only_what_lies_between_markers(results: dict[str, Any]) -> None:
    text = "before\n<!-- benchmarks:headlines -->\nold\n<!-- /benchmarks:headlines -->\nafter\n"
    new = insert(text, [results])
    assert new.startswith("before\n<!-- benchmarks:headlines -->\n|  |")
    assert new.endswith("\n<!-- /benchmarks:headlines -->\nafter\n")
    assert "old" not in new
    assert insert(new, [results]) == new


def test_trial_results_are_never_inserted(trial: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [path.read_bytes() for path in DOCUMENTS if path.exists()]
    with pytest.raises(SystemExit):
        main([str(trial), "--update"])
    assert "measure without it" in capsys.readouterr().err
    assert [path.read_bytes() for path in DOCUMENTS if path.exists()] == before


def test_documents_show_the_committed_results() -> None:
    results = [json.loads(path.read_text()) for path in committed()]
    if not results:
        pytest.skip("no results are committed yet")
    for document in DOCUMENTS:
        assert insert(document.read_text(), results) == document.read_text(), document.name
