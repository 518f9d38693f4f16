from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner, Result

from iqa.cli.evaluate import app
from iqa.cli.evaluate_options import SETS
from iqa.datasets.registry import NAMES
from iqa.score_cache import COLUMNS
from sdk import Scorer
from sdk.cli import main

from ..datasets.written_sets import write_xlsx
from .conftest import LEVELS, SCENES

PICTURES = SCENES * LEVELS
COLUMN_WORDS = "reference=scene"
Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate(cache: Path) -> Evaluate:
    def run(*words: object, model: str = "glint-edge") -> Result:
        options = ["--cache", cache, "--threads", 1]
        return CliRunner().invoke(app, [model, *map(str, options), *map(str, words)])

    return run


def cached(cache: Path) -> list[list[str]]:
    header, *lines = (line.split(",") for line in cache.read_text().splitlines())
    assert header == list(COLUMNS)
    return lines


def figures(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_figures_table_and_plot(
    evaluate: Evaluate, written_set: Path, cache: Path, tmp_path: Path
) -> None:
    out, plot = tmp_path / "out.json", tmp_path / "out.png"
    result = evaluate(
        "--set", "csv", "--root", written_set, "--csv", COLUMN_WORDS, "--json", out,
        "--scatter", plot,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    document = figures(out)
    assert document["model"].startswith("glint-edge@")
    assert document["precision"] == "fp32"
    [found] = document["sets"]
    assert (found["set"], found["pictures"], found["unreadable"]) == (written_set.name, 24, 0)
    opinions = {
        line.split(",")[0]: float(line.split(",")[1])
        for line in (written_set / "labels.csv").read_text().splitlines()[1:]
    }
    pairs = [(float(line[5]), opinions[line[-1]]) for line in cached(cache)]
    expected = spearmanr(*zip(*pairs, strict=True)).statistic
    assert found["figures"]["srocc"] == pytest.approx(expected, abs=1e-6)
    assert -1 <= found["srocc_within_contents"] <= 1
    low, high = found["figures"]["interval95"]["srocc"]
    assert low <= found["figures"]["srocc"] <= high
    [row] = [
        line
        for line in result.stdout.splitlines()
        if line.strip().startswith(f"{written_set.name} ")
    ]
    assert row.split()[1:3] == ["24", f"{found['figures']['srocc']:.3f}"]
    assert document["model"] in result.stdout
    picture = cv2.imread(str(plot))
    assert picture.shape[1] > 400
    assert len({tuple(pixel) for pixel in picture.reshape(-1, 3)[::7]}) > 20


def test_the_command_is_found_by_its_name(
    written_set: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--set", "csv", "--root", str(written_set)]
    words = ["evaluate", "glint-edge", *where, "--cache", str(cache), "--threads", "1"]
    assert main(words) == 0
    assert f" {written_set.name} " in capsys.readouterr().out
    assert len(cached(cache)) == PICTURES
    assert main([*words[:2], "--set", "spaq", "--root", str(written_set)]) == 1
    assert "spaq: Annotations/MOS" in capsys.readouterr().err


def test_scores_are_those_of_the_scorer(evaluate: Evaluate, written_set: Path, cache: Path) -> None:
    assert evaluate("--set", "csv", "--root", written_set).exit_code == 0
    lines = cached(cache)
    with Scorer("glint-edge", precision="fp32", threads=1) as scorer:
        for line in lines[:3]:
            frame = cv2.imread(str(written_set / line[-1]))
            assert float(line[5]) == scorer.score(frame).score
        assert {line[0] for line in lines} == {scorer.bundle.digest}


KILLED = """
import os, signal, sys
from pathlib import Path
from iqa.datasets.registry import read_set
from iqa.score_cache import ScoreCache
from iqa.score_files import score_files
from sdk import Scorer
from sdk.cli import main

seen = []
def advance(score):
    seen.append(score)
    if len(seen) == 7:
        os.kill(os.getpid(), signal.SIGKILL)

paths = [entry.path for entry in read_set("csv", Path(sys.argv[1])).entries]
score_files(Scorer("glint-edge", precision="fp32", threads=1), paths, ScoreCache(Path(sys.argv[2])), advance)
"""  # noqa: E501


def test_a_killed_run_goes_on_where_it_was(
    evaluate: Evaluate, written_set: Path, cache: Path, tmp_path: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, written_set, cache], check=False)
    assert killed.returncode == -signal.SIGKILL
    before = cached(cache)
    assert len(before) == 7
    with cache.open("a") as file:
        file.write("a line that was cut sh")
    out, whole = tmp_path / "a.json", tmp_path / "b.json"
    result = evaluate("--set", "csv", "--root", written_set, "--json", out)
    assert f"7 of {PICTURES} scores were known" in result.stderr
    lines = [line for line in cached(cache) if len(line) == len(COLUMNS)]
    assert lines[:7] == before
    assert sorted(line[-1] for line in lines) == sorted(p.name for p in written_set.glob("*.png"))
    cache.unlink()
    evaluate("--set", "csv", "--root", written_set, "--json", whole)
    assert figures(out)["sets"] == figures(whole)["sets"]


def test_nothing_is_scored_twice_whatever_it_is_called(
    evaluate: Evaluate, written_set: Path, cache: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    evaluate("--set", "csv", "--root", written_set)
    moved = tmp_path / "moved"
    shutil.copytree(written_set, moved)
    (moved / "0_0.png").rename(moved / "renamed.png")
    labels = (moved / "labels.csv").read_text()
    (moved / "labels.csv").write_text(labels.replace("0_0.png", "renamed.png"))

    def refuse(*_: object) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr(Scorer, "stream", refuse)
    result = evaluate("--set", "csv", "--root", moved)
    assert result.exit_code == 0, result.stderr
    assert f"{PICTURES} of {PICTURES} scores were known" in result.stderr
    assert len(cached(cache)) == PICTURES


def test_other_bytes_and_other_precisions_are_scored_anew(
    evaluate: Evaluate, written_set: Path, cache: Path, tmp_path: Path
) -> None:
    evaluate("--set", "csv", "--root", written_set)
    copy = tmp_path / "copy"
    shutil.copytree(written_set, copy)
    shutil.copy(copy / "1_5.png", copy / "0_0.png")
    cv2.imwrite(str(copy / "0_1.png"), cv2.imread(str(copy / "0_1.png"))[:, ::-1])
    result = evaluate("--set", "csv", "--root", copy)
    assert f"{PICTURES - 1} of {PICTURES}" in result.stderr  # 0_0 has the bytes of 1_5
    assert len(cached(cache)) == PICTURES + 1
    line = cache.read_text().splitlines()[1]
    cache.write_text(line.replace("fp32", "bf16") + "\n")
    assert "known" not in evaluate("--set", "csv", "--root", written_set).stderr


def test_unreadable_pictures_are_left_out_named_and_counted(
    evaluate: Evaluate, written_set: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy, out = tmp_path / "copy", tmp_path / "out.json"
    shutil.copytree(written_set, copy)
    (copy / "1_1.png").write_bytes(b"no picture")
    (copy / "2_2.png").write_bytes((copy / "2_2.png").read_bytes()[:100])
    result = evaluate("--set", "csv", "--root", copy, "--json", out)
    assert result.exit_code == 0, result.stderr
    assert "2 unreadable pictures left out" in result.stderr
    [found] = figures(out)["sets"]
    assert found["pictures"] == found["figures"]["n"] == PICTURES - 2
    assert [Path(name).name for name in found["unreadable_files"]] == ["1_1.png", "2_2.png"]
    assert {"1_1.png", "2_2.png"} == {
        name for name in ("1_1.png", "2_2.png", "3_3.png") if name in caplog.text
    }


@pytest.mark.parametrize("count", [1, 2])
def test_a_set_without_any_readable_picture_fails(
    count: int, evaluate: Evaluate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{i}.png" for i in range(count)]
    for name in names:
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "labels.csv").write_text("image,mos\n" + "".join(f"{n},1\n" for n in names))
    result = evaluate("--set", "csv", "--root", tmp_path)
    assert result.exit_code == 1
    assert "no picture could be read" in result.stderr
    assert all(name in caplog.text for name in names)


def test_parts_and_repeats(evaluate: Evaluate, written_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    common = ("--set", "csv", "--root", written_set, "--json", out)
    own = ("--csv", "reference=scene,split=part", "--split", "test")
    assert evaluate(*common, *own).exit_code == 0
    assert figures(out)["sets"][0]["pictures"] == LEVELS
    result = evaluate(*common, *own, "--repeats", 5, "--seed", 3)
    [found] = figures(out)["sets"]
    assert [split["n"] for split in found["splits"]] == [LEVELS] * 5  # one scene of four
    values = sorted(split["srocc"] for split in found["splits"])
    assert found["median"]["srocc"] == values[2]
    assert found["range"]["srocc"] == [values[0], values[-1]]
    assert "5 random splits, medians, seed 3" in result.stdout
    again = figures(out)
    evaluate(*common, *own, "--repeats", 5, "--seed", 3)
    assert figures(out) == again


def test_several_sets_stay_apart(evaluate: Evaluate, written_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    where = ("--set", "csv", "--root", written_set)
    result = evaluate(
        *where, *where, "--csv", "only=part:train", "--csv", "only=part:test,worse=higher",
        "--json", out, "--scatter", tmp_path / "out.png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    first, second = figures(out)["sets"]
    assert (first["set"], second["set"]) == ("train", "test")
    assert (first["pictures"], second["pictures"]) == (18, 6)
    assert first["scale"] == "mos"
    assert second["scale"] == "minus mos"
    assert "turned round" in result.stderr


def test_a_set_as_it_is_distributed(evaluate: Evaluate, written_set: Path, tmp_path: Path) -> None:
    """CSIQ: labels in Excel, a DMOS that is turned round, pictures by reference."""
    root, out = tmp_path / "csiq", tmp_path / "out.json"
    header = ("image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos")
    rows = [(f"scene{s}", 1, "blur", v, 0.1, v / 5) for s in range(3) for v in range(1, LEVELS)]
    for name, _, _, level, _, _ in rows:
        copy = root / f"dst_imgs/blur/{name}.BLUR.{level}.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(written_set / f"{name[-1]}_{level}.png", copy)
    write_xlsx(root / "csiq.DMOS.xlsx", {"all_by_image": [[], [None, *header], *(
        [None, *row] for row in rows
    )]})  # fmt: skip
    result = evaluate("--set", "csiq", "--root", root, "--json", out)
    assert result.exit_code == 0, result.stderr
    [found] = figures(out)["sets"]
    assert (found["pictures"], found["scale"]) == (15, "1 - DMOS")
    assert found["figures"]["rmse"] > 1  # scores to 100 against opinions to 1
    assert "the labels name 15 pictures; the published set has 866" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "csv"], "--root"),
        (["--set", "csv", "--set", "spaq", "--root", "."], "do not match"),
        (["--set", "koniq", "--root", "."], "no reader for 'koniq'"),
        (["--set", "csv", "--root", ".", "--split", "half"], "parts are all, train, val, test"),
        (["--set", "csv", "--root", ".", "--repeats", "3"], "needs parts to repeat"),
        (["--set", "csv", "--root", ".", "--csv", "x=y"], "'x' is not understood"),
        (["--set", "csv", "--root", ".", "--json", "no/where.json"], "no folder no"),
        (["--set", "spaq", "--root", ".", "--csv", "image=a"], "none is given"),
    ],
)
def test_usage_errors(
    words: list[str], message: str, evaluate: Evaluate, written_set: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(written_set)
    result = evaluate(*words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_wrong_folder_is_told_before_anything_is_scored(
    evaluate: Evaluate, tmp_path: Path, cache: Path
) -> None:
    result = evaluate("--set", "live", "--root", tmp_path)
    assert result.exit_code == 1
    assert "live: dmos_realigned.mat is missing" in result.stderr
    assert "Expected in" in result.stderr
    assert not cache.exists()


def test_the_names_in_the_help_are_those_of_the_readers() -> None:
    assert SETS == NAMES


def modules_after(code: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in run.stderr.splitlines()[-1].split()}


def test_help_loads_nothing_heavy() -> None:
    help_only = "from iqa.cli.evaluate import app; app(['--help'], standalone_mode=False)"
    heavy = {"numpy", "scipy", "cv2", "torch", "matplotlib", "openvino", "onnxruntime"}
    assert modules_after(help_only) & heavy == set()


def test_judging_needs_no_torch(written_set: Path, cache: Path, tmp_path: Path) -> None:
    words = [
        "glint-edge", "--set", "csv", "--root", str(written_set), "--cache", str(cache),
        "--scatter", str(tmp_path / "a.png"), "--threads", "1",
    ]  # fmt: skip
    loaded = modules_after(f"from iqa.cli.evaluate import app; app({words}, standalone_mode=False)")
    assert {"scipy", "matplotlib"} <= loaded
    assert loaded & {"torch", "onnx", "export"} == set()
