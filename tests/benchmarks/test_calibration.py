"""The made-up site, on few small pictures and a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import calibration
from tests.sdk.tiny_model import write_rich_bundle


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    random = np.random.default_rng(0)
    names = [f"{index}.png" for index in range(12)]
    for name in names:
        rough = random.integers(0, 256, (6, 8, 3), np.uint8)
        assert cv2.imwrite(str(folder / name), cv2.resize(rough, (96, 72)))
    rows = [f"{name},{'val' if index else 'train'}" for index, name in enumerate(names)]
    (folder / "index.csv").write_text("\n".join(["file,split", *rows]) + "\n")
    return folder


def test_results_hold_what_the_table_shows(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "COUNTS", (12, 20))
    monkeypatch.setattr(calibration, "SPLITS", 2)
    model = write_rich_bundle(tmp_path / "rich.framescore")
    out = tmp_path / "results" / "site.json"
    words = ["--photographs", photographs, "--model", model, "--out", out]
    assert calibration.main([str(word) for word in words]) == 0
    results = json.loads(out.read_text())
    assert (results["pictures"], results["contents"]) == (55, 11)
    assert [one["labels"] for one in results["site"]] == [12, 20]
    assert all(sum(one["methods"].values()) == 2 for one in results["labels_shuffled"])
    assert len(calibration.table(results)) == 6
    assert str(tmp_path) not in out.read_text()
