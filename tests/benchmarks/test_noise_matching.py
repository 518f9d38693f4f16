from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="iqa needs torch: pip install 'framescore[train]'")

from safetensors.torch import save_file

from benchmarks import noise_matching
from iqa.models.mobilenet import stages

from ..iqa.conftest import photo_folder

__all__ = ["photo_folder"]
FIGURES = ("srocc", "spread", "relative_spread", "moved")


@pytest.fixture
def words(photo_folder: Path, tmp_path: Path, repository: Path) -> list[str]:
    features = {f"features.{n}": v for n, v in stages(0, 13).state_dict().items()}
    save_file(features, tmp_path / "mobilenet.safetensors")
    rows = [f"{k},{level},{4.7 - 0.6 * level}" for k in range(1, 26) for level in range(1, 6)]
    (tmp_path / "means.csv").write_text("\n".join(["type,level,mean", *rows]) + "\n")
    given = {
        "--photos": photo_folder, "--means": "means.csv", "--start": "mobilenet.safetensors",
        "--weights": repository / "iqa/weights/glint_edge.safetensors",
        "--work": "work", "--out": "results/out.json",
    }  # fmt: skip
    return [word for option, path in given.items() for word in (option, str(tmp_path / path))]


def test_three_arms_are_judged_and_shown(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 20)
    monkeypatch.setattr(noise_matching, "JUDGED", noise_matching.JUDGED[:6])
    assert noise_matching.main([*words, "--seeds", "1"]) == 0
    shown = capsys.readouterr().out
    results = json.loads((tmp_path / "results/out.json").read_text())
    assert results["frames"]["train"] == {"photographs": 4, "frames": 16}
    assert results["frames"]["val"] == {"photographs": 1, "frames": 6}
    arms = ["without", "matched", "random"]
    differences = ["matched - without", "random - without", "matched - random"]
    assert list(results["figures"]) == arms + differences
    assert all(tuple(found) == FIGURES for found in results["figures"].values())
    values = {name: found["srocc"]["value"] for name, found in results["figures"].items()}
    assert values["matched - random"] == pytest.approx(values["matched"] - values["random"])
    [row] = [line for line in shown.splitlines() if line.startswith("| matched |")]
    assert f"| {values['matched']:.3f} (".replace("-", "−") in row
    card = tmp_path / "card.md"
    card.write_text("a\n<!-- noise matching -->\nstale words\n<!-- /noise matching -->\nb\n")
    monkeypatch.setattr(noise_matching, "CARD", card)
    monkeypatch.setattr(noise_matching, "RESULTS", tmp_path / "results")
    assert noise_matching.main(["--update"]) == 0
    text = card.read_text()
    assert "stale words" not in text
    assert row in text
    assert text.startswith("a\n<!-- noise matching -->\n")


def test_what_is_missing_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        noise_matching.main(words[:2])
    assert "--means is missing" in capsys.readouterr().err


def test_the_card_shows_what_was_committed() -> None:
    shown = noise_matching.MARK.search(noise_matching.CARD.read_text())
    assert shown is not None
    files = sorted(noise_matching.RESULTS.glob("*.json"))
    assert files
    for path in files:
        for line in noise_matching.table(json.loads(path.read_text())):
            assert line in shown[0]
