from __future__ import annotations

from pathlib import Path

import pytest

from iqa.datasets.columns import Columns
from iqa.datasets.registry import read_set
from sdk.errors import SourceError, UsageError

from .written_sets import touch, write_lines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    write_lines(
        folder / "index.csv", "file,panel,mos,dmos,scene,part,sd", "a/1.png,p,10,90,s1,training,1",
        "a/2.png,p,20,80,s1,test,2", "b/3.png,q,30,70,s2,validation,3", "",
    )  # fmt: skip
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        touch(folder / name)
    return folder


def test_columns_go_by_the_names_given(root: Path) -> None:
    words = "file=index.csv,image=file,score=mos,reference=scene,split=part,std=sd"
    rated = read_set("csv", root, Columns.parse(words))
    assert rated.name == "mine"
    assert [
        (e.path.name, e.raw, e.quality, e.reference, e.split, e.std) for e in rated.entries
    ] == [
        ("1.png", 10, 10, "s1", "train", 1),
        ("2.png", 20, 20, "s1", "test", 2),
        ("3.png", 30, 30, "s2", "val", 3),
    ]
    assert rated.remarks() == []


def test_scores_that_are_higher_for_worse_are_turned_round(root: Path) -> None:
    columns = Columns.parse("file=index.csv,image=file,score=dmos,worse=higher")
    rated = read_set("csv", root, columns)
    assert [e.quality for e in rated.entries] == [-90, -80, -70]
    assert {e.flipped for e in rated.entries} == {True}
    assert {e.split for e in rated.entries} == {None}


def test_rows_of_one_panel(root: Path) -> None:
    rated = read_set("csv", root, Columns.parse("file=index.csv,image=file,only=panel:q"))
    assert (rated.name, [e.path.name for e in rated.entries]) == ("q", ["3.png"])
    with pytest.raises(SourceError, match="no row whose panel is 'z'"):
        read_set("csv", root, Columns.parse("file=index.csv,image=file,only=panel:z"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("picture=file", "'picture' is not understood"),
        ("image", "'image' is not understood"),
        ("worse=bigger", "allowed are lower and higher"),
        ("only=panel", "COLUMN:VALUE"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Columns.parse(words)


def test_absent_columns_and_pictures_are_named(root: Path) -> None:
    with pytest.raises(SourceError, match="no column 'image'; it has 'file', 'panel'"):
        read_set("csv", root, Columns.parse("file=index.csv"))
    with pytest.raises(SourceError, match=r"labels\.csv is missing"):
        read_set("csv", root)
    (root / "b/3.png").unlink()
    with pytest.raises(SourceError, match=r"1 of 3 pictures are missing in \./: b/3\.png"):
        read_set("csv", root, Columns.parse("file=index.csv,image=file"))


def test_pictures_may_lie_outside(root: Path, tmp_path: Path) -> None:
    touch(tmp_path / "outside.png")
    write_lines(root / "labels.csv", "image,mos", "../outside.png,1", f"{tmp_path}/outside.png,2")
    paths = [entry.path for entry in read_set("csv", root).entries]
    assert [path.resolve() for path in paths] == [(tmp_path / "outside.png").resolve()] * 2
