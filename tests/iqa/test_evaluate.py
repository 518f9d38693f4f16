from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from iqa.distortions.kadid import TYPES, to_bytes
from iqa.evaluate import broken_steps, distorted_set, rated_report, synthetic_report
from iqa.metrics import agreement, srocc

from .conftest import scene

MEANS = {(kind, level): 4.8 - 0.5 * level for kind in TYPES for level in range(1, 6)}


def test_agreement_of_a_known_order() -> None:
    result = agreement([1, 2, 3, 5, 4], [1, 2, 3, 4, 5])
    assert result.n == 5
    assert result.srocc == pytest.approx(0.9)
    assert result.srocc_low <= result.srocc <= result.srocc_high
    assert srocc([3, 2, 1], [1, 2, 3]) == pytest.approx(-1)


def test_steps_that_a_model_does_not_follow_are_named() -> None:
    table = {kind: [80.0, 60, 40, 20, 0] for kind in TYPES}
    assert broken_steps(table, MEANS) == []
    table[10] = [80.0, 60, 65, 20, 0]
    broken = broken_steps(table, MEANS)
    assert [(b["type"], b["levels"]) for b in broken] == [("jpeg", [2, 3])]


def test_synthetic_report_ranks_by_what_it_is_told(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), to_bytes(scene(3, 96, 128))[..., ::-1])
    frames = list(distorted_set(tmp_path))
    assert [(f.kind, f.level) for f in frames[:6]] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (1, 5),
        (2, 1),
    ]
    assert len(frames) == 125
    known = {f.frame.tobytes(): MEANS[f.kind, f.level] for f in frames}
    report = synthetic_report(lambda frame: known[frame.tobytes()], iter(frames), MEANS)
    assert report["n"] == 125
    assert float(str(report["srocc"])) > 0.95  # equal pixels of two settings share one score


def test_rated_sets_are_reported_apart(tmp_path: Path) -> None:
    rows = ["file,dataset,mos,content"]
    for name, sign in (("up", 1), ("down", -1)):
        for value in range(4):
            cv2.imwrite(
                str(tmp_path / f"{name}{value}.png"), np.full((40, 40, 3), 40 * value, np.uint8)
            )
            rows.append(f"{name}{value}.png,{name},{sign * value},{name}")
    (tmp_path / "index.csv").write_text("\n".join(rows))
    report = rated_report(lambda frame: float(frame.mean()), tmp_path)
    assert report["up"]["srocc"] == pytest.approx(1)
    assert report["down"]["srocc"] == pytest.approx(-1)
    assert report["up"]["srocc_within"] == pytest.approx(1)
