from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..calibration.conftest import SyntheticSite


@pytest.fixture
def site(tmp_path: Path) -> SyntheticSite:
    return SyntheticSite(tmp_path, 40)


@pytest.fixture
def calibrate(cli, rich_bundle):
    return lambda *arguments: cli("calibrate", "-m", rich_bundle, *arguments)


def test_calibrates_and_scores(calibrate, cli, site, rich_bundle, tmp_path):
    output = tmp_path / "site.json"
    result = calibrate(site.table(), "--scale", "1:5", "-o", output)
    assert result.code == 0, result.err
    assert str(output) in result.err
    rows = {line.split()[0]: line.split() for line in result.out.splitlines() if line.split()}
    assert rows["ridge"][-1] == "chosen"
    assert float(rows["ridge"][1]) > float(rows["identity"][1])  # SROCC
    assert float(rows["ridge"][3]) < float(rows["identity"][3])  # RMSE
    assert "40 labels, each predicted by maps fitted without it" in result.out
    assert max(map(len, result.out.splitlines()[:6])) <= 80

    picture = site.folder / site.names[0]
    options = ("-m", rich_bundle, picture, "--format", "jsonl")
    plain = json.loads(cli("score", *options).out.splitlines()[0])
    scored = cli("score", *options, "--calibration", output)
    site_score = json.loads(scored.out.splitlines()[0])
    expected = 25 * (site.opinions[0] - 1)
    assert abs(site_score["score"] - expected) < abs(plain["score"] - expected)
    assert site_score["model"].startswith(plain["model"] + "+")
    assert "+" in cli("score", "-m", rich_bundle, picture, "--calibration", output).out


def test_pictures_may_lie_elsewhere(calibrate, site, tmp_path):
    table = shutil.move(site.table(), tmp_path.parent / f"{tmp_path.name}.csv")
    refused = calibrate(table, "--scale", "1:5")
    assert refused.code == 1
    assert "40 of 40 pictures" in refused.err
    assert "--root DIR" in refused.err
    output = tmp_path / "site.json"
    assert calibrate(table, "--scale", "1:5", "--root", tmp_path, "-o", output).code == 0


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ((), "do not say the scale"),
        (("--scale", "good"), "--scale is 'good'; allowed is WORST:BEST"),
        (("--scale", "1:3"), "the scale runs from 1 (worst) to 3 (best)"),
    ],
)
def test_what_is_refused_is_said(calibrate, site, tmp_path, scale, message):
    output = tmp_path / "site.json"
    output.write_text("an earlier one")
    result = calibrate(site.table(), *scale, "-o", output)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err
    assert output.read_text() == "an earlier one"


def test_a_folder_that_is_missing_is_said_before_the_work(calibrate, site, tmp_path):
    result = calibrate(site.table(), "--scale", "1:5", "-o", tmp_path / "none" / "site.json")
    assert result.code == 1
    assert "there is no folder" in result.err


def test_the_labels_are_never_overwritten(calibrate, site):
    table = site.table()
    before = table.read_text()
    assert calibrate(table, "--scale", "1:5", "-o", table).code == 2
    assert table.read_text() == before


def test_a_calibration_of_another_model(calibrate, cli, site, tiny_bundle, tmp_path, images):
    output = tmp_path / "site.json"
    assert calibrate(site.table(), "--scale", "1:5", "-o", output).code == 0
    result = cli("score", "-m", tiny_bundle, images, "--calibration", output)
    assert (result.code, result.out) == (2, "")
    assert "another model's scores and features mean something else" in result.err


def test_neither_torch_nor_scipy_is_loaded(site, rich_bundle, tmp_path):
    words = ["calibrate", site.table(), "--scale", "1:5", "-m", rich_bundle]
    words += ["-o", tmp_path / "site.json"]
    code = (
        f"import sys; from sdk.cli import main; status = main({[*map(str, words)]!r}); "
        "print(status, {'torch', 'scipy', 'export', 'iqa'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 set()"
