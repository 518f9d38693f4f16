from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import pytest

from export.drift import TOLERANCES
from export.int8.search import Point
from export.int8.trade_off import draw_trade_off, trade_off_csv, trade_off_table
from sdk.errors import SinkError

CURVE = (
    Point(2, 0.5, 0.1, 0.4, 0.5, 0.0001, passed=True),
    Point(0, 0.923456, 1.5, 4.25, 5.0, 0.02, passed=False),
)


def test_the_table_has_a_line_a_point() -> None:
    lines = trade_off_table(CURVE).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split("  ")[0].strip() == "in float"
    assert lines[2].split() == ["0", "92.3%", "1.500", "4.250", "5.000", "0.02000", "no"]


def test_the_csv_reads_back() -> None:
    rows = list(csv.DictReader(io.StringIO(trade_off_csv(CURVE))))
    assert [float(row["share"]) for row in rows] == [0.5, 0.923456]
    assert [row["passed"] for row in rows] == ["True", "False"]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_trade_off(tmp_path / "curve.png", CURVE, TOLERANCES["int8"])
    picture = cv2.imread(str(tmp_path / "curve.png"))
    assert picture.shape[1] > 800
    assert len({tuple(pixel) for pixel in picture.reshape(-1, 3)[::7]}) > 10
    with pytest.raises(SinkError, match="No such file or directory"):
        draw_trade_off(tmp_path / "gone" / "curve.png", CURVE, TOLERANCES["int8"])
