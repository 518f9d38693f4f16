from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from iqa.datasets.entry import Entry, RatedSet
from iqa.datasets.splits import choose
from iqa.report_page import report_page
from iqa.scatter import draw_scatter
from iqa.set_report import SetReport, judge
from sdk.errors import SinkError
from sdk.sinks.table import render

ABOUT = {"model": "m@1", "backend": "b", "precision": "fp32", "seed": 4}


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals have tests of their own; here they would take most of the time."""
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 60)


def rated_set(contents: int = 6, each: int = 5) -> tuple[RatedSet, dict[Path, float]]:
    rng = np.random.default_rng(0)
    entries = tuple(
        Entry(Path(f"{c}_{i}.png"), c + i, c + i, reference=f"r{c}")
        for c in range(contents)
        for i in range(each)
    )
    scores = {entry.path: 10 * entry.quality + rng.normal(0, 5) for entry in entries}
    return RatedSet("some", entries, "mos", published=99), scores


def report_of(repeats: int, seed: int | None = None) -> SetReport:
    rated, scores = rated_set()
    splits = choose(rated, "all" if repeats == 0 else "test", seed, max(repeats, 1))
    return judge(rated, scores, splits, part="test")


def page_text(*reports: SetReport, repeats: int) -> str:
    import io

    about = {**ABOUT, "repeats": repeats, "split": reports[0].part}
    return render(report_page(about, reports), io.StringIO())


def test_one_split_has_intervals_over_whole_contents() -> None:
    report = report_of(0)
    assert (report.pictures, len(report.splits)) == (30, 1)
    assert report.figures["srocc"] == report.splits[0].values["srocc"] > 0.9
    assert 0.5 < report.within < 1
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["figures"]["interval95"]["srocc"][0] < document["figures"]["srocc"]
    assert "the labels name 30 pictures; the published set has 99" in document["remarks"][0]
    assert any("6 contents in all" in remark for remark in document["remarks"])


def test_several_splits_have_a_median_and_a_range() -> None:
    report = report_of(4, seed=1)
    assert [split.n for split in report.splits] == [5] * 4  # one content of six
    values = [split.values["plcc"] for split in report.splits]
    assert report.figures["plcc"] == pytest.approx(np.median(values))
    assert report.range_of("plcc") == pytest.approx([min(values), max(values)], abs=1e-6)
    assert all(split.intervals == {} for split in report.splits)
    assert "low–high" in page_text(report, repeats=4)
    assert len(set(report.to_dict()["remarks"])) == len(report.to_dict()["remarks"])


def test_pictures_without_score_are_left_out() -> None:
    rated, scores = rated_set()
    lost = rated.entries[0].path
    del scores[lost]
    report = judge(rated, scores, [range(30)], part="all", unreadable=[lost])
    assert report.pictures == report.splits[0].n == 29
    assert report.to_dict()["unreadable_files"] == [str(lost)]
    assert "some: 1 unreadable pictures left out" in report.remarks()


def test_a_set_of_which_nothing_is_left_has_dashes() -> None:
    rated, _ = rated_set()
    report = judge(rated, {}, [range(30)], part="all")
    assert report.pictures == 0
    assert math.isnan(report.figures["srocc"])
    json.dumps(report.to_dict(), allow_nan=False)
    [row] = [line for line in page_text(report, repeats=1).splitlines() if " some " in line]
    assert row.split() == ["some", "0", *"–" * 6]


def test_plots_of_one_and_of_many_sets(tmp_path: Path) -> None:
    rated, _ = rated_set()
    empty = judge(rated, {}, [range(30)], part="all")
    sizes = []
    for count in (1, 4):
        path = tmp_path / f"{count}.png"
        draw_scatter(path, [report_of(0), *[empty] * (count - 1)], "m@1")
        sizes.append(cv2.imread(str(path)).shape[:2])
    assert sizes[1][1] == pytest.approx(3 * sizes[0][1], abs=3)
    assert sizes[1][0] == pytest.approx(2 * sizes[0][0], abs=3)
    first = (tmp_path / "1.png").read_bytes()
    draw_scatter(tmp_path / "1.png", [report_of(0)], "m@1")
    assert (tmp_path / "1.png").read_bytes() == first
    with pytest.raises(SinkError, match="Cannot write"):
        draw_scatter(tmp_path / "no" / "a.png", [empty], "m@1")
