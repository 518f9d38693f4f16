"""Sets of pictures as people took them: LIVE Challenge, KonIQ-10k, SPAQ, BID, FLIVE.

As for the synthetic sets, layouts were compared with public loaders and the releases' own readmes.
KonIQ-10k and FLIVE were read with the label files that their authors publish (10,073 and 39,810
pictures); of the others no file was at hand. What rests on memory alone says so.
"""

from __future__ import annotations

from pathlib import Path

from iqa.datasets.entry import Entry, RatedSet
from iqa.datasets.folder import Folder
from iqa.datasets.mat import read_names, read_numbers
from iqa.datasets.tables import Row, number, read_csv, read_xlsx, text

CLIVE_LAYOUT = (
    "Data with AllImages_release.mat, AllMOS_release.mat and AllStdDev_release.mat; "
    "Images with the 1,162 pictures"
)
CLIVE_PRACTICE = 7
KONIQ_LAYOUT = (
    "koniq10k_distributions_sets.csv or koniq10k_scores_and_distributions.csv; "
    "1024x768 (or 512x384) with the pictures"
)
KONIQ_SPLITS = {"training": "train", "validation": "val", "test": "test"}
SPAQ_LAYOUT = "Annotations with 'MOS and Image attribute scores.xlsx'; TestImage with 00001.jpg, …"
BID_LAYOUT = "DatabaseGrades.xlsx; DatabaseImage0001.JPG, … beside it or in ImageDatabase"
FLIVE_LAYOUT = (
    "labels_image.csv (name,mos); the pictures by these names, such as "
    "voc_emotic_ava/AVA__129332.jpg, in database or beside it"
)


def read_clive(root: Path) -> RatedSet:
    """LIVE In the Wild Image Quality Challenge Database: 1,162 pictures.

    Names, MOS (0 to 100) and standard deviations of 1,169 pictures in three MAT files; the first
    seven trained the observers, lie in Images/trainingImages, and are left out.
    """
    folder = Folder(root, "clive", CLIVE_LAYOUT)
    names = read_names(folder.first("Data/AllImages_release.mat"), "AllImages_release")
    mos = read_numbers(folder.first("Data/AllMOS_release.mat"), "AllMOS_release")
    std = read_numbers(folder.first("Data/AllStdDev_release.mat"), "AllStdDev_release")
    if not len(names) == len(mos) == len(std):
        raise folder.fault(
            f"the MAT files hold {len(names)} names, {len(mos)} opinions and {len(std)} deviations"
        )
    paths = folder.pictures(names[CLIVE_PRACTICE:], below=("Images",))
    entries = tuple(
        Entry(path, float(mean), float(mean), std=float(spread))
        for path, mean, spread in zip(
            paths, mos[CLIVE_PRACTICE:], std[CLIVE_PRACTICE:], strict=True
        )
    )
    return RatedSet("clive", entries, "MOS, 0 to 100", 1162)


def read_koniq10k(root: Path) -> RatedSet:
    """KonIQ-10k: 10,073 pictures.

    koniq10k_distributions_sets.csv (image_name, c1…c5, c_total, MOS, SD, set) has the authors'
    split and a MOS from 0 to 100; the other file calls that MOS_zscore and has no split. SD is on
    the 1-to-5 scale of the single opinions in both. 512x384 is taken where 1024x768 is absent.
    """
    folder = Folder(root, "koniq10k", KONIQ_LAYOUT)
    labels = folder.first(
        "koniq10k_distributions_sets.csv", "koniq10k_scores_and_distributions.csv"
    )
    sets = "distributions_sets" in labels.name.lower()
    column = "MOS" if sets else "MOS_zscore"
    rows = read_csv(labels, ("image_name", column, "SD", *(["set"] if sets else [])))
    pictures = folder.first("1024x768", "512x384").name
    paths = folder.pictures([text(row, "image_name") for row in rows], below=(pictures,))
    entries = []
    for row, path in zip(rows, paths, strict=True):
        mos = number(row, column, labels)
        split = KONIQ_SPLITS.get(text(row, "set").lower())
        entries.append(Entry(path, mos, mos, None, split, number(row, "SD", labels)))
    return RatedSet("koniq10k", tuple(entries), "MOS, 0 to 100", 10073)


def read_spaq(root: Path) -> RatedSet:
    """SPAQ: 11,125 smartphone pictures; columns `Image name` and `MOS`, 0 to 100."""
    folder = Folder(root, "spaq", SPAQ_LAYOUT)
    named = "MOS and Image attribute scores.xlsx"
    labels = folder.first(f"Annotations/{named}", named)
    rows = [row for row in read_xlsx(labels, ("Image name", "MOS")) if text(row, "Image name")]
    paths = folder.pictures([text(row, "Image name") for row in rows], below=("TestImage",))
    values = [number(row, "MOS", labels) for row in rows]
    entries = tuple(Entry(p, value, value) for p, value in zip(paths, values, strict=True))
    return RatedSet("spaq", entries, "MOS, 0 to 100", 11125)


def read_bid(root: Path) -> RatedSet:
    """Blurred Image Database: 586 pictures; grades from 0 to 5, higher is better.

    Columns `Image Number`, `Average Subjective Grade` and `std` of DatabaseGrades.xlsx. Some copies
    hold an .xls; that must be saved as .xlsx first. The direction of the grades is from memory.
    """
    folder = Folder(root, "bid", BID_LAYOUT)
    if folder.find("DatabaseGrades.xls") and not folder.find("DatabaseGrades.xlsx"):
        raise folder.fault("DatabaseGrades.xls is of the older Excel; save it as .xlsx")
    labels = folder.first("DatabaseGrades.xlsx")
    rows = read_xlsx(labels, ("Image Number", "Average Subjective Grade"))
    rows = [row for row in rows if text(row, "Image Number")]
    names = [f"DatabaseImage{int(number(row, 'Image Number', labels)):04d}.JPG" for row in rows]
    paths = folder.pictures(names, below=("", "ImageDatabase"))
    entries = []
    for row, path in zip(rows, paths, strict=True):
        grade = number(row, "Average Subjective Grade", labels)
        std = number(row, "std", labels) if row.get("std") is not None else None
        entries.append(Entry(path, grade, grade, std=std))
    return RatedSet("bid", tuple(entries), "grade, 0 to 5", 586)


def read_flive(root: Path) -> RatedSet:
    """FLIVE, also LIVE-FB or PaQ-2-PiQ: 39,810 whole pictures (not the patches); MOS, 0 to 100.

    The authors test on the pictures with a side above 640, listed in labels>640.csv (name_image),
    and validate on those of labels<=640_padded.csv whose is_valid is True. Both files are also met
    without the sign that some systems forbid. Without both there is no split.
    """
    folder = Folder(root, "flive", FLIVE_LAYOUT)
    labels = folder.first("labels_image.csv", "database/labels_image.csv")
    rows = read_csv(labels, ("name", "mos"))
    names = [text(row, "name") for row in rows]
    paths = folder.pictures(names, below=("database", ""))
    split = _flive_split(folder)
    values = [number(row, "mos", labels) for row in rows]
    entries = tuple(
        Entry(path, value, value, split=None if split is None else split.get(name, "train"))
        for name, path, value in zip(names, paths, values, strict=True)
    )
    return RatedSet("flive", entries, "MOS, 0 to 100", 39810)


def _flive_split(folder: Folder) -> dict[str, str] | None:
    """The pictures that are not for training; None where the set's lists are not all there."""
    test = _find(folder, "labels>640.csv", "labels640.csv")
    rest = _find(folder, "labels<=640_padded.csv", "labels=640_padded.csv")
    if test is None or rest is None:
        return None
    held = {text(row, "name_image"): "test" for row in read_csv(test, ("name_image",))}
    rows: list[Row] = read_csv(rest, ("name_image", "is_valid"))
    valid = {text(r, "name_image"): "val" for r in rows if text(r, "is_valid").lower() == "true"}
    return valid | held


def _find(folder: Folder, *names: str) -> Path | None:
    places = (folder.find(below + name) for name in names for below in ("", "database/"))
    return next((path for path in places if path is not None), None)
