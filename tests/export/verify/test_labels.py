"""Opinions are found under the names that tables use for pictures, and what is amiss is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.verify.labels import match_labels, read_labels
from sdk.errors import UsageError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "picture,mos\na.png,3.5\nb.png,1\n",
        "\ufeffMOS, File\r\n3.5, a.png\r\n1, b.png\r\n",
        "content,image,score\nx,a.png,3.5\ny,b.png,1\n",
        "filename,label\na.png,3.5\nb.png,1e0",
    ],
)
def test_columns_of_several_names(tmp_path: Path, text: str) -> None:
    assert read_labels(write(tmp_path / "l.csv", text)) == {"a.png": 3.5, "b.png": 1.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture,colour\na.png,red\n", "no column of opinions; its columns are picture, colour"),
        ("mos\n1\n", "no column of pictures; its columns are mos"),
        ("", "its columns are none"),
        ("picture,mos\na.png,good\n", "line 2: the opinion is 'good'; it must be a number"),
        ("picture,mos\na.png,nan\n", "line 2: the opinion is 'nan'"),
        ("picture,mos\na.png\n", "line 2: the opinion is None"),
        ("picture,mos\na.png,1\na.png,2\n", "line 3: 'a.png' comes twice"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_labels(write(tmp_path / "l.csv", text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_labels(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_bytes(b"picture,mos\n\xff\xfe,1\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_labels(tmp_path / "bad.csv")


def test_paths_file_names_and_stems_match() -> None:
    labels = {"set/a.png": 1.0, "b.png": 2.0, "c": 3.0}
    found, remarks = match_labels(labels, ["set/a.png", "set/b.png", "other/c.jpg"])
    assert found == {"set/a.png": 1.0, "set/b.png": 2.0, "other/c.jpg": 3.0}
    assert remarks == []


def test_a_name_that_two_pictures_share_matches_neither() -> None:
    found, remarks = match_labels({"a.png": 1.0}, ["one/a.png", "two/a.png"])
    assert found == {}
    assert remarks == ["without label: one/a.png, two/a.png", "labels without picture: a.png"]


def test_names_on_one_side_only_are_named() -> None:
    labels = {"a.png": 1.0, **{f"gone{i}.png": 2.0 for i in range(5)}}
    found, remarks = match_labels(labels, ["a.png", "new.png"])
    assert found == {"a.png": 1.0}
    assert remarks == [
        "without label: new.png",
        "labels without picture: gone0.png, gone1.png, gone2.png and 2 more",
    ]
