"""Sets of pictures distorted on purpose: LIVE, CSIQ, TID2013, KADID-10k, PIPAL.

What each docstring says of a layout was compared with several public loaders of the set and with a
public list of its pictures: all 779 of LIVE, 866 of CSIQ, 3,000 of TID2013, 10,125 of KADID-10k and
23,200 of PIPAL are found under their names, LIVE's with the DMOS of its own MAT file. No whole
release was at hand. What rests on memory alone says so.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from iqa.datasets.entry import Entry, RatedSet
from iqa.datasets.folder import Folder
from iqa.datasets.mat import read_names, read_numbers
from iqa.datasets.tables import number, read_csv, read_xlsx, text

LIVE_FOLDERS = (("jp2k", 227), ("jpeg", 233), ("wn", 174), ("gblur", 174), ("fastfading", 174))
LIVE_LAYOUT = (
    "jp2k, jpeg, wn, gblur and fastfading, each with img1.bmp, img2.bmp, …; "
    "dmos_realigned.mat, refnames_all.mat"
)
CSIQ_LAYOUT = (
    "csiq.DMOS.xlsx; dst_imgs with awgn, blur, contrast, fnoise, jpeg and jpeg2000, "
    "for example dst_imgs/awgn/1600.AWGN.1.png"
)
CSIQ_KINDS = {
    "noise": ("awgn", "AWGN"),
    "blur": ("blur", "BLUR"),
    "contrast": ("contrast", "contrast"),
    "fnoise": ("fnoise", "fnoise"),
    "jpeg": ("jpeg", "JPEG"),
    "jpeg 2000": ("jpeg2000", "jpeg2000"),
}
TID_LAYOUT = (
    "mos_with_names.txt, mos_std.txt (may be absent), distorted_images with i01_01_1.bmp, …"
)
KADID_LAYOUT = "dmos.csv (dist_img,ref_img,dmos,var), images with I01_01_01.png, …"
PIPAL_LAYOUT = (
    "Train_Label (or MOS_Scores_train) with A0001.txt, …, lines such as A0001_00_00.bmp,1444.9; "
    "pictures in Train_Dist or in Distortion_1 to Distortion_4"
)


def read_live(root: Path) -> RatedSet:
    """LIVE Image Quality Assessment Database, release 2: 779 pictures of 29 references.

    `dmos_new` and `dmos_std` of dmos_realigned.mat and `refnames_all` run over the five folders in
    the order of `LIVE_FOLDERS`; 982 values, of which 203 are undistorted copies (`orgs` is 1) and
    are left out. DMOS is higher for worse and passes 100 a little; quality is 100 - DMOS.
    """
    folder = Folder(root, "live", LIVE_LAYOUT)
    labels = folder.first("dmos_realigned.mat")
    dmos, std, copies = (read_numbers(labels, v) for v in ("dmos_new", "dmos_std", "orgs"))
    references = read_names(folder.first("refnames_all.mat"), "refnames_all")
    names = [f"{kind}/img{i}.bmp" for kind, count in LIVE_FOLDERS for i in range(1, count + 1)]
    sizes = {len(dmos), len(std), len(copies), len(references), len(names)}
    if len(sizes) > 1:
        raise folder.fault(f"the MAT files hold {sorted(sizes)} values; all should be {len(names)}")
    rated = [i for i, copy in enumerate(copies) if not copy]
    paths = folder.pictures([names[i] for i in rated])
    entries = tuple(
        Entry(
            path,
            raw=float(dmos[i]),
            quality=100 - float(dmos[i]),
            reference=Path(references[i]).stem,
            std=float(std[i]),
            flipped=True,
        )
        for i, path in zip(rated, paths, strict=True)
    )
    return RatedSet("live", entries, "100 - realigned DMOS", 779)


def read_csiq(root: Path) -> RatedSet:
    """CSIQ: 866 pictures of 30 references under six distortions.

    Sheet all_by_image of csiq.DMOS.xlsx: image, dst_idx, dst_type, dst_lev, dmos_std, dmos, after
    some lines and columns of blanks. DMOS runs from 0 to 1, higher for worse; quality is 1 - DMOS.
    The folders of dst_imgs may also lie in the root; some copies write them in capitals.
    """
    folder = Folder(root, "csiq", CSIQ_LAYOUT)
    labels = folder.first("csiq.DMOS.xlsx")
    columns = ("image", "dst_type", "dst_lev", "dmos_std", "dmos")
    rows = [r for r in read_xlsx(labels, columns, "all_by_image") if text(r, "image")]
    names = []
    for row in rows:
        kind = text(row, "dst_type").lower()
        if kind not in CSIQ_KINDS:
            raise folder.fault(
                f"{labels.name} has the distortion {kind!r}; known are {', '.join(CSIQ_KINDS)}"
            )
        below, called = CSIQ_KINDS[kind]
        names.append(f"{below}/{text(row, 'image')}.{called}.{text(row, 'dst_lev')}.png")
    paths = folder.pictures(names, below=("dst_imgs", ""))
    entries = []
    for row, path in zip(rows, paths, strict=True):
        dmos = number(row, "dmos", labels)
        std = number(row, "dmos_std", labels)
        entries.append(Entry(path, dmos, 1 - dmos, text(row, "image").lower(), None, std, True))
    return RatedSet("csiq", tuple(entries), "1 - DMOS", 866)


def read_tid2013(root: Path) -> RatedSet:
    """TID2013: 3,000 pictures, 25 references under 24 distortions in 5 levels.

    Lines of mos_with_names.txt are `5.51429 I01_01_1.bmp`, of mos_std.txt one number, in the same
    order. MOS runs from 0 to 9, higher is better. The case of the names varies within the set.
    """
    folder = Folder(root, "tid2013", TID_LAYOUT)
    labels = folder.first("mos_with_names.txt")
    lines = _named_numbers(folder, labels)
    spreads: list[float | None] = [None] * len(lines)
    if (second := folder.find("mos_std.txt")) is not None:
        spreads = [_number(folder, second, word) for word in second.read_text().split()]
        if len(spreads) != len(lines):
            raise folder.fault(f"{second.name} has {len(spreads)} numbers for {len(lines)} images")
    paths = folder.pictures([name for name, _ in lines], below=("distorted_images",))
    entries = tuple(
        Entry(path, mos, mos, name.partition("_")[0].upper(), None, std)
        for (name, mos), path, std in zip(lines, paths, spreads, strict=True)
    )
    return RatedSet("tid2013", entries, "MOS, 0 to 9", 3000)


def read_kadid10k(root: Path) -> RatedSet:
    """KADID-10k: 10,125 pictures, 81 references under 25 distortions in 5 levels.

    The column `dmos` is a mean opinion from 1 to 5 with higher = better, whatever it is called, and
    is not flipped. `var` goes into `std` as it is: public loaders differ on whether it is the
    variance or the deviation, and those who recomputed it from the raw opinions say deviation.
    """
    folder = Folder(root, "kadid10k", KADID_LAYOUT)
    labels = folder.first("dmos.csv")
    rows = read_csv(labels, ("dist_img", "ref_img", "dmos"))
    paths = folder.pictures([text(row, "dist_img") for row in rows], below=("images",))
    entries = []
    for row, path in zip(rows, paths, strict=True):
        mos = number(row, "dmos", labels)
        std = number(row, "var", labels) if "var" in row else None
        entries.append(Entry(path, mos, mos, Path(text(row, "ref_img")).stem, None, std))
    return RatedSet("kadid10k", tuple(entries), "mean opinion, 1 to 5", 10125)


def read_pipal(root: Path) -> RatedSet:
    """PIPAL, its public training part (NTIRE 2021): 23,200 pictures of 200 references.

    One text file a reference, lines `A0001_00_00.bmp,1444.9`: Elo scores, higher is better. That
    Train_Dist is what the four Distortion folders become when unpacked together is from memory.
    """
    folder = Folder(root, "pipal", PIPAL_LAYOUT)
    files = sorted(folder.first("Train_Label", "MOS_Scores_train").glob("*.txt"))
    lines = list(chain.from_iterable(_named_numbers(folder, f) for f in files))
    if not lines:
        raise folder.fault("the label folder has no line in a .txt file")
    parts = [f"Distortion_{i}" for i in range(1, 5)]
    below = ("Train_Dist", *parts, *(f"Distortion/{part}" for part in parts))
    paths = folder.pictures([name for name, _ in lines], below=below)
    entries = tuple(
        Entry(path, score, score, name.partition("_")[0])
        for (name, score), path in zip(lines, paths, strict=True)
    )
    return RatedSet("pipal", entries, "Elo score", 23200)


def _named_numbers(folder: Folder, file: Path) -> list[tuple[str, float]]:
    """Lines of a picture's name and a number, in either order, as (name, number)."""
    found = []
    for line in filter(str.strip, file.read_text().splitlines()):
        words = line.replace(",", " ").split()
        if len(words) != 2:
            raise folder.fault(f"{file.name} has the line {line!r}")
        name, value = words if "_" in words[0] else reversed(words)
        found.append((name, _number(folder, file, value)))
    return found


def _number(folder: Folder, file: Path, word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise folder.fault(f"{file.name} has {word!r} where a number should be") from error
