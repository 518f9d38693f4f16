from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.precision_bundles import COMMANDS, make_bundle
from benchmarks.precisions import MARK, README, RESULTS, table

from ..sdk.tiny_model import write_tiny_bundle
from ..test_docs import parse

pytest.importorskip("skimage")
pytest.importorskip("onnxruntime")


def test_results_hold_what_the_tables_show(repository: Path, tmp_path: Path) -> None:
    model = write_tiny_bundle(tmp_path / "tiny.framescore")
    out = tmp_path / "results" / "tiny.json"
    script = repository / "benchmarks" / "precisions.py"
    options = ["--count", "6", "--rounds", "3", "--out", str(out)]
    command = [sys.executable, str(script), str(model), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    results = json.loads(out.read_text())
    [bundle] = results["bundles"]
    graphs = [one for one in bundle["verify"]["results"] if one["precision"] == "fp32"]
    assert [one["backend"] for one in graphs] == ["openvino", "onnxruntime"]
    assert all(one["verdict"] == "pass" for one in graphs)
    assert [one["threads"] for one in bundle["latency_ms"]] == [1, 2]
    lines = list(table(results))
    assert done.stdout.strip() == "\n".join(lines).strip()
    assert sum(line.startswith("| fp32 |") for line in lines) == 2
    [engine] = bundle["engines"]
    assert engine.get("plan_bytes", 0) > 1000 or engine["reason"]


def test_the_readme_shows_what_was_committed() -> None:
    shown = MARK.search(README.read_text())
    assert shown is not None
    files = sorted(RESULTS.glob("*.json"))
    assert files
    for path in files:
        for line in table(json.loads(path.read_text())):
            assert line in shown[0]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_commands_that_make_bundles_are_accepted(name: str) -> None:
    parse(["framescore", *COMMANDS[name]])


def test_a_bundle_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    model = write_tiny_bundle(tmp_path / "glint-edge.framescore")
    path, export = make_bundle("glint-edge", tmp_path)
    assert path == model.resolve()
    assert export["command"].startswith("framescore export glint-edge --weights")
    assert export["seconds"] == 0
