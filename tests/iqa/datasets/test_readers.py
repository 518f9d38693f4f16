from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.io import savemat

from iqa.datasets.entry import RatedSet
from iqa.datasets.registry import NAMES, READERS, read_set
from sdk.errors import SourceError, UsageError

from . import written_sets as written

WRITERS: dict[str, Callable[[Path], None]] = {
    name: getattr(written, f"write_{name}") for name in READERS
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], RatedSet]:
    def write_and_read(name: str) -> RatedSet:
        WRITERS[name](tmp_path / name)
        return read_set(name, tmp_path / name)

    return write_and_read


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in READERS:
        (tmp_path / name).mkdir()


@pytest.mark.parametrize("name", READERS)
def test_entries_are_files_and_the_count_is_doubted(
    name: str, read: Callable[[str], RatedSet]
) -> None:
    rated = read(name)
    assert rated.name == name
    assert rated.entries
    assert all(entry.path.is_file() for entry in rated.entries)
    doubted = [remark for remark in rated.remarks() if "the published set has" in remark]
    assert len(doubted) == (len(rated.entries) != rated.published)


def test_live_leaves_copies_out_and_turns_dmos_round(read: Callable[[str], RatedSet]) -> None:
    rated = read("live")
    assert len(rated.entries) == 982 - 197  # ours has 197 copies, the release 203
    first = rated.entries[0]
    assert first.path.parts[-2:] == ("jp2k", "img2.bmp")
    assert (first.raw, first.quality, first.reference) == (0.1, 99.9, "ref1")
    assert first.std == pytest.approx(0.001)
    last = rated.entries[-1]
    assert last.path.parts[-2:] == ("fastfading", "img174.bmp")
    assert last.raw == pytest.approx(98.1)
    assert all(e.flipped and e.raw + e.quality == pytest.approx(100) for e in rated.entries)
    assert any("turned round" in remark for remark in rated.remarks())
    assert rated.contents_repeat


def test_csiq_finds_its_table_among_blanks(read: Callable[[str], RatedSet]) -> None:
    entries = read("csiq").entries
    assert [(e.path.name, e.raw, e.reference) for e in entries] == [
        ("1600.AWGN.1.png", 0.062, "1600"),
        ("1600.jpeg2000.2.png", 0.5, "1600"),
        ("boston.BLUR.5.png", 0.9, "boston"),
    ]
    assert [e.quality for e in entries] == pytest.approx([0.938, 0.5, 0.1])
    assert [e.std for e in entries] == [0.061, 0.1, 0.2]


def test_tid2013_whatever_the_case_of_its_names(
    read: Callable[[str], RatedSet], tmp_path: Path
) -> None:
    entries = read("tid2013").entries
    assert [(e.path.name, e.quality, e.reference, e.std) for e in entries] == [
        ("I01_01_1.bmp", 5.51429, "I01", 0.13),
        ("i01_01_2.BMP", 5.56757, "I01", 0.14),
        ("I25_24_5.bmp", 3.5, "I25", 0.15),
    ]
    (tmp_path / "tid2013/mos_std.txt").unlink()
    assert [e.std for e in read_set("tid2013", tmp_path / "tid2013").entries] == [None] * 3


def test_kadid_is_not_turned_round_by_its_column_name(read: Callable[[str], RatedSet]) -> None:
    entries = read("kadid10k").entries
    assert [(e.path.name, e.raw, e.quality, e.reference, e.std) for e in entries] == [
        ("I01_01_01.png", 4.57, 4.57, "I01", 0.496),
        ("I81_25_05.png", 1.2, 1.2, "I81", 0.4),
    ]


def test_pipal_gathers_its_folders(read: Callable[[str], RatedSet]) -> None:
    entries = read("pipal").entries
    assert [(e.path.parent.name, e.quality, e.reference) for e in entries] == [
        ("Distortion_1", 1444.9, "A0001"),
        ("Distortion_2", 1399.25, "A0001"),
        ("Distortion_4", 1500.5, "A0003"),
    ]


def test_clive_without_the_practice_pictures(read: Callable[[str], RatedSet]) -> None:
    rated = read("clive")
    assert [(e.path.name, e.quality, e.std) for e in rated.entries] == [
        ("3.bmp", 63.9, 63.9 / 4),
        ("1024.JPG", 20.5, 20.5 / 4),
        ("4.bmp", 88.0, 22.0),
    ]
    assert {entry.reference for entry in rated.entries} == {None}
    assert not rated.contents_repeat


def test_koniq_in_both_of_its_forms(tmp_path: Path) -> None:
    found = []
    for sets in (True, False):
        root = tmp_path / f"koniq{sets}"
        written.write_koniq10k(root, sets=sets)
        found.append(read_set("koniq10k", root).entries)
    with_sets, without = found
    assert [e.quality for e in with_sets] == [77.3836206897, 68.7285714286, 71.2043269231]
    assert [e.quality for e in without] == [e.quality for e in with_sets]
    assert [e.split for e in with_sets] == ["train", "test", "val"]
    assert [e.split for e in without] == [None] * 3
    assert [e.path.parent.name for e in (with_sets[0], without[0])] == ["1024x768", "512x384"]


def test_spaq_and_bid_from_excel(read: Callable[[str], RatedSet]) -> None:
    assert [(e.path.name, e.quality) for e in read("spaq").entries] == [
        ("00001.jpg", 38.1),
        ("00002.jpg", 71.0),
    ]
    assert [(e.path.name, e.quality, e.std) for e in read("bid").entries] == [
        ("DatabaseImage0001.JPG", 3.5, 0.6),
        ("DatabaseImage0586.JPG", 1.25, 0.3),
    ]


def test_flive_has_its_authors_split_where_their_lists_are(
    read: Callable[[str], RatedSet], tmp_path: Path
) -> None:
    assert [(e.path.name, e.quality, e.split) for e in read("flive").entries] == [
        ("motion0044.jpg", 75.44, "test"),
        ("AVA__129332.jpg", 58.65, "val"),
        ("rq59.jpg", 40.0, "train"),
    ]
    (tmp_path / "flive/labels>640.csv").unlink()
    assert {e.split for e in read_set("flive", tmp_path / "flive").entries} == {None}


@pytest.mark.parametrize("name", READERS)
def test_missing_pictures_are_named_and_counted(
    name: str, read: Callable[[str], RatedSet], tmp_path: Path
) -> None:
    entries = read(name).entries
    for entry in entries[1:]:
        entry.path.unlink()
    with pytest.raises(SourceError) as caught:
        read_set(name, tmp_path / name)
    lost = len(entries) - 1
    assert f"{name}: {lost} of {len(entries)} pictures are missing in" in caught.value.message
    assert caught.value.message.count(", ") == min(lost, 3) - 1
    assert (f"and {lost - 3} more" in caught.value.message) == (lost > 3)
    assert caught.value.hint.startswith(f"Expected in {tmp_path / name}: ")


@pytest.mark.parametrize("name", READERS)
def test_an_empty_folder_says_what_it_should_hold(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is missing") as caught:
        read_set(name, tmp_path / name)
    assert caught.value.hint.startswith(f"Expected in {tmp_path / name}: ")
    with pytest.raises(SourceError, match="is not a folder"):
        read_set(name, tmp_path / "nowhere")


def test_what_was_renamed_is_named(read: Callable[[str], RatedSet], tmp_path: Path) -> None:
    for name, old, new in (
        ("kadid10k", "images/I81_25_05.png", "images/I81_25_05.jpg"),
        ("clive", "Images/1024.JPG", "Images/1024.png"),
        ("koniq10k", "koniq10k_distributions_sets.csv", "koniq10k_distribution_sets.csv"),
        ("live", "refnames_all.mat", "refnames_all(1).mat"),
    ):
        read(name)
        (tmp_path / name / old).rename(tmp_path / name / new)
        with pytest.raises(SourceError, match=re.escape(f"; is {new} one of them, renamed?")):
            read_set(name, tmp_path / name)
    read("tid2013")
    (tmp_path / "tid2013/mos_with_names.txt").rename(tmp_path / "tid2013/scores.csv")
    with pytest.raises(SourceError, match=r"mos_with_names\.txt is missing\. Expected"):
        read_set("tid2013", tmp_path / "tid2013")


def test_labels_that_do_not_fit_are_refused(
    read: Callable[[str], RatedSet], tmp_path: Path
) -> None:
    read("live")
    savemat(tmp_path / "live/refnames_all.mat", {"refnames_all": written.cell_array(["a.bmp"])})
    with pytest.raises(SourceError, match=r"hold \[1, 982\] values"):
        read_set("live", tmp_path / "live")
    read("tid2013")
    written.write_lines(tmp_path / "tid2013/mos_std.txt", "0.1")
    with pytest.raises(SourceError, match="1 numbers for 3"):
        read_set("tid2013", tmp_path / "tid2013")
    written.write_lines(tmp_path / "tid2013/mos_with_names.txt", "high I01_01_1.bmp")
    with pytest.raises(SourceError, match="'high' where a number should be"):
        read_set("tid2013", tmp_path / "tid2013")
    read("kadid10k")
    written.write_lines(tmp_path / "kadid10k/dmos.csv", "dist_img,ref_img,mos")
    with pytest.raises(SourceError, match="no column 'dmos'; it has 'dist_img', 'ref_img', 'mos'"):
        read_set("kadid10k", tmp_path / "kadid10k")
    (tmp_path / "clive/Data").mkdir()
    (tmp_path / "clive/Data/AllImages_release.mat").write_bytes(b"no MATLAB file at all" * 20)
    with pytest.raises(SourceError, match="cannot be read as a MATLAB file"):
        read_set("clive", tmp_path / "clive")


def test_a_variable_that_is_not_there_is_named(
    read: Callable[[str], RatedSet], tmp_path: Path
) -> None:
    read("live")
    savemat(tmp_path / "live/dmos_realigned.mat", {"dmos": [[1.0]]})
    with pytest.raises(SourceError, match="no variable 'dmos_new'"):
        read_set("live", tmp_path / "live")


def test_the_older_excel_is_recognised(tmp_path: Path) -> None:
    written.touch(tmp_path / "bid/DatabaseGrades.xls")
    with pytest.raises(SourceError, match=r"save it as \.xlsx"):
        read_set("bid", tmp_path / "bid")


def test_unknown_sets_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=", ".join(NAMES)):
        read_set("koniq", tmp_path)
