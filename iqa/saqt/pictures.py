"""Undistorted pictures: of KADIS-700k, of KADID-10k, of a folder with an index, of any folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from iqa.data.photos import read_folder
from sdk.errors import SourceError, UsageError

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
NAMED = 6  # missing pictures that a message lists
KADID_REFERENCE = re.compile(r"I\d+\.png")


@dataclass(frozen=True, slots=True)
class Picture:
    """One file; ``name`` is what tables call it, without ending."""

    name: str
    path: Path

    def read(self) -> NDArray[np.uint8]:
        """uint8 RGB ``[H, W, 3]`` at the file's size.

        Raises:
            SourceError: The file is missing or no image.
        """
        try:
            data = np.fromfile(self.path, np.uint8)
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}.") from error
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if bgr is None:
            raise SourceError(f"{self.path} is not an image that OpenCV can read.")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def find_pictures(root: Path) -> list[Picture]:
    """The undistorted pictures of a folder, by name.

    Understood are KADIS-700k (``ref_imgs/``), KADID-10k (``images/I01.png`` among the distorted
    ones), a folder with an ``index.csv`` that has a ``licence`` column, of which only accepted
    licences and the training split are taken, and a plain folder of pictures.

    Raises:
        UsageError: The folder is missing or holds none, or two pictures of one name.
    """
    if not root.is_dir():
        raise UsageError(f"Folder {root} does not exist.")
    found = sorted(_paths(root), key=lambda path: path.stem)
    if not found:
        raise UsageError(
            f"Folder {root} holds no undistorted pictures.",
            hint="Give KADIS-700k (with ref_imgs/), KADID-10k (with images/), or pictures.",
        )
    names = [path.stem for path in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"Folder {root} holds two pictures named {twice}.")
    return [Picture(path.stem, path) for path in found]


def choose(pictures: Sequence[Picture], names: Sequence[str]) -> list[Picture]:
    """The pictures that a list names, in the order of ``pictures``.

    Raises:
        UsageError: The list names a picture that is not there, or none at all.
    """
    wanted = set(names)
    if absent := sorted(wanted - {picture.name for picture in pictures}):
        raise UsageError(
            f"{len(absent)} of {len(wanted)} pictures of the list are missing: "
            f"{', '.join(absent[:NAMED])}.",
            hint="Names are compared without ending; is it the list of another set?",
        )
    if not wanted:
        raise UsageError("The list names no picture.")
    return [picture for picture in pictures if picture.name in wanted]


def _paths(root: Path) -> list[Path]:
    if (root / "ref_imgs").is_dir():
        return _images(root / "ref_imgs")
    if (root / "images").is_dir():
        return [p for p in _images(root / "images") if KADID_REFERENCE.fullmatch(p.name)]
    if _has_licences(root / "index.csv"):
        return [photo.path for photo in read_folder(root) if photo.split == "train"]
    return _images(root)


def _images(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS]


def _has_licences(index: Path) -> bool:
    if not index.is_file():
        return False
    with index.open(encoding="utf-8") as stream:
        return {"file", "split", "licence"} <= set(stream.readline().strip().split(","))
