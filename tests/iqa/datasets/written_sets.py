"""Tiny folders, each in exactly the format in which its set is distributed.

Readers look at names and labels, never at pixels, so that the pictures are empty files.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from scipy.io import savemat

Value = str | float | None
LIVE = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def cell_array(texts: Sequence[str]) -> np.ndarray:
    cells = np.empty((1, len(texts)), object)
    cells[0] = texts
    return cells


def write_live(root: Path) -> None:
    """982 values; the first of every five pictures is an undistorted copy."""
    names = [f"{kind}/img{i}.bmp" for kind, n in LIVE.items() for i in range(1, n + 1)]
    for name in names:
        touch(root / name)
    copies = np.array([[i % 5 == 0 for i in range(len(names))]], np.uint8)
    dmos = np.where(copies, 0.0, np.arange(len(names)) / 10)
    savemat(
        root / "dmos_realigned.mat",
        {"dmos_new": dmos, "dmos_std": dmos / 100, "orgs": copies},
    )
    references = [f"ref{i % 29}.bmp" for i in range(len(names))]
    savemat(root / "refnames_all.mat", {"refnames_all": cell_array(references)})


CSIQ_ROWS: tuple[tuple[Value, ...], ...] = (
    ("1600", 1, "noise", 1, 0.061, 0.062),
    ("1600", 5, "jpeg 2000", 2, 0.1, 0.5),
    ("boston", 2, "blur", 5, 0.2, 0.9),
)


def write_csiq(root: Path) -> None:
    """The table begins at D4, below and beside blanks; 1600 is a number, as Excel stores it."""
    header = (None, None, None, "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos")
    rows = [(None,) * 3 + (float(r[0]) if r[0] == "1600" else r[0], *r[1:]) for r in CSIQ_ROWS]
    root.mkdir(parents=True, exist_ok=True)
    write_xlsx(
        root / "csiq.DMOS.xlsx",
        {"info": [["read me"]], "all_by_image": [[], ["CSIQ"], [], header, *rows]},
    )
    for name in ("awgn/1600.AWGN.1", "jpeg2000/1600.jpeg2000.2", "blur/boston.BLUR.5"):
        touch(root / f"dst_imgs/{name}.png")


def write_tid2013(root: Path) -> None:
    """The list says I01, the second picture is called i01: the release mixes the two."""
    write_lines(
        root / "mos_with_names.txt", "5.51429 I01_01_1.bmp", "5.56757 I01_01_2.bmp",
        "3.5 i25_24_5.bmp",
    )  # fmt: skip
    write_lines(root / "mos_std.txt", "0.13", "0.14", "0.15")
    for name in ("I01_01_1.bmp", "i01_01_2.BMP", "I25_24_5.bmp"):
        touch(root / "distorted_images" / name)


def write_kadid10k(root: Path) -> None:
    write_lines(
        root / "dmos.csv", "dist_img,ref_img,dmos,var", "I01_01_01.png,I01.png,4.57,0.496",
        "I81_25_05.png,I81.png,1.2,0.4",
    )  # fmt: skip
    for name in ("I01.png", "I81.png", "I01_01_01.png", "I81_25_05.png"):
        touch(root / "images" / name)


def write_pipal(root: Path) -> None:
    write_lines(root / "Train_Label/A0001.txt", "A0001_00_00.bmp,1444.9", "A0001_00_01.bmp,1399.25")
    write_lines(root / "Train_Label/A0003.txt", "A0003_06_02.bmp,1500.5")
    touch(root / "Distortion_1/A0001_00_00.bmp")
    touch(root / "Distortion_2/A0001_00_01.bmp")
    touch(root / "Distortion_4/A0003_06_02.bmp")


def write_clive(root: Path) -> None:
    """Seven practice pictures come first and lie elsewhere."""
    names = [f"t{i}.bmp" for i in range(1, 8)] + ["3.bmp", "1024.JPG", "4.bmp"]
    for name in names[:7]:
        touch(root / "Images/trainingImages" / name)
    for name in names[7:]:
        touch(root / "Images" / name)
    (root / "Data").mkdir()
    savemat(root / "Data/AllImages_release.mat", {"AllImages_release": cell_array(names).T})
    mos = np.array([[50.0] * 7 + [63.9, 20.5, 88.0]])
    savemat(root / "Data/AllMOS_release.mat", {"AllMOS_release": mos})
    savemat(root / "Data/AllStdDev_release.mat", {"AllStdDev_release": mos / 4})


KONIQ_HEADER = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD"


def write_koniq10k(root: Path, *, sets: bool = True) -> None:
    """One of the two label files of the release."""
    if sets:
        write_lines(
            root / "koniq10k_distributions_sets.csv", f"{KONIQ_HEADER},set",
            "10004473376.jpg,0.0,0.0,0.238,0.695,0.0667,105,77.3836206897,0.527277894494,training",
            "10007357496.jpg,0.0,0.03125,0.469,0.4896,0.0104,96,68.7285714286,0.580003,test",
            "10043785683.jpg,0.0,0.0,0.434,0.566,0.0,106,71.2043269231,0.497974333332,validation",
        )  # fmt: skip
    else:
        write_lines(
            root / "koniq10k_scores_and_distributions.csv", f"{KONIQ_HEADER},"
            "MOS_zscore",
            '"10004473376.jpg",0,0,25,73,7,105,3.82857142857,0.527278,77.3836206897',
            '"10007357496.jpg",0,3,45,47,1,96,3.47916666667,0.580003,68.7285714286',
            '"10043785683.jpg",0,0,46,60,0,106,3.56603773585,0.497974,71.2043269231',
        )  # fmt: skip
    for name in ("10004473376", "10007357496", "10043785683"):
        touch(root / f"{'1024x768' if sets else '512x384'}/{name}.jpg")


def write_spaq(root: Path) -> None:
    (root / "Annotations").mkdir(parents=True)
    header = ("Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness")
    write_xlsx(
        root / "Annotations/MOS and Image attribute scores.xlsx",
        {"Sheet1": [header, ("00001.jpg", 38.1, 40, 40, 40, 40), ("00002.jpg", 71, 1, 2, 3, 4)]},
    )
    for name in ("00001.jpg", "00002.jpg"):
        touch(root / "TestImage" / name)


def write_bid(root: Path) -> None:
    header = ("Image Number", "Average Subjective Grade", "std")
    root.mkdir(parents=True, exist_ok=True)
    write_xlsx(root / "DatabaseGrades.xlsx", {"Plan1": [header, (1, 3.5, 0.6), (586, 1.25, 0.3)]})
    for name in ("DatabaseImage0001.JPG", "DatabaseImage0586.JPG"):
        touch(root / "ImageDatabase" / name)


def write_flive(root: Path) -> None:
    names = ("blur_dataset/motion0044.jpg", "voc_emotic_ava/AVA__129332.jpg", "EE371R/rq59.jpg")
    rows = [f"{name},{value}" for name, value in zip(names, (75.44, 58.65, 40.0), strict=True)]
    write_lines(root / "labels_image.csv", "name,mos", *rows)
    write_lines(root / "labels>640.csv", "mos_image,name_image", f"75.44,{names[0]}")
    write_lines(
        root / "labels<=640_padded.csv", "name_image,is_valid", f"{names[1]},True",
        f"{names[2]},False",
    )  # fmt: skip
    for name in names:
        touch(root / "database" / name)


def write_xlsx(path: Path, sheets: dict[str, list[Sequence[Value]]]) -> None:
    """A workbook as Excel saves it: texts shared, empty cells and empty rows left out."""
    shared: list[str] = []
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        listed, related = [], []
        for number, (name, rows) in enumerate(sheets.items(), 1):
            listed.append(f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>')
            related.append(
                f'<Relationship Id="rId{number}" Type="{office}/worksheet" '
                f'Target="worksheets/sheet{number}.xml"/>'
            )
            body = "".join(row_xml(i, row, shared) for i, row in enumerate(rows, 1) if row)
            archive.writestr(
                f"xl/worksheets/sheet{number}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
            )
        texts = "".join(f"<si><t>{escape(text)}</t></si>" for text in shared)
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}">{texts}</sst>')
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{"".join(listed)}</sheets>'
            "</workbook>",
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}">{"".join(related)}</Relationships>',
        )


def row_xml(number: int, row: Sequence[Value], shared: list[str]) -> str:
    cells = ""
    for place, value in enumerate(row):
        where = f'r="{chr(ord("A") + place)}{number}"'
        if isinstance(value, str):
            if value not in shared:
                shared.append(value)
            cells += f'<c {where} t="s"><v>{shared.index(value)}</v></c>'
        elif value is not None:
            cells += f"<c {where}><v>{value!r}</v></c>"
    return f'<row r="{number}">{cells}</row>'
