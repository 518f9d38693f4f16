from __future__ import annotations

from pathlib import Path

import pytest

from sdk.errors import UsageError
from sdk.opinions import parse_scale, read_opinions


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("header", "scale"),
    [
        ("file,mos", None),
        ("Filename, MOS[1:5]", (1.0, 5.0)),
        ("scene,picture,mos (1–5),mos", (1.0, 5.0)),
        ("image,DMOS 100:0", (100.0, 0.0)),
        ("name,score[-1.5..1.5]", (-1.5, 1.5)),
    ],
)
def test_headers(tmp_path: Path, header: str, scale: tuple[float, float] | None) -> None:
    columns = [name.strip().lower() for name in header.split(",")]
    row = ["3" if name.startswith(("mos", "dmos", "score")) else "a.png" for name in columns]
    found = read_opinions(table(tmp_path, f"{header}\n{','.join(row)}\n"))
    assert found.scale == scale
    [one] = found.rows
    assert (one.picture, one.value, one.line) == ("a.png", 3.0, 2)


def test_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column of opinions; .* are file, rank, allowed are"):
        read_opinions(table(tmp_path, "file,rank\na.png,3\n"))
    with pytest.raises(UsageError, match="no column of pictures; its columns are none"):
        read_opinions(table(tmp_path, ""))


@pytest.mark.parametrize("text", ["", "1", "1:1", "a:b", "1:5:9", "nan:5"])
def test_what_is_no_scale(text: str) -> None:
    with pytest.raises(UsageError, match="allowed is WORST:BEST"):
        parse_scale(text)


def test_a_scale_that_a_header_gets_wrong_names_the_column(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The scale of the column 'mos\[3:3\]' is '\[3:3\]'"):
        read_opinions(table(tmp_path, "file,mos[3:3]\na.png,3\n"))
