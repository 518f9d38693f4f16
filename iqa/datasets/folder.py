"""A data set's folder: files found whatever the case of their names, absent ones named."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from sdk.errors import SourceError

ALIKE = 0.85  # of a spelling, as difflib measures it
NAMED = 3  # missing files that a message lists before it counts the rest


class Folder:
    """The root of a data set.

    Sets were unpacked, copied and renamed on systems that do not tell `I01.BMP` from `i01.bmp`,
    and TID2013's own list does not either; so names are compared without case where none matches
    exactly.

    Args:
        root: The folder.
        name: Of the data set, for messages.
        layout: What the folder should hold, for messages.

    Raises:
        SourceError: There is no such folder.
    """

    def __init__(self, root: Path, name: str, layout: str) -> None:
        self.root = root
        self.name = name
        self.layout = layout
        self._names = cache(_names_in)
        if not root.is_dir():
            raise self.fault(f"{root} is not a folder")

    def fault(self, what: str) -> SourceError:
        """An error about this folder, which says how it should look."""
        return SourceError(f"{self.name}: {what}.", hint=f"Expected in {self.root}: {self.layout}")

    def find(self, name: str) -> Path | None:
        """The path of a file or folder below the root, or None."""
        relative = Path(name)
        if relative.is_absolute() or ".." in relative.parts:
            outside = self.root / relative
            return outside if outside.exists() else None
        here = self.root
        for part in relative.parts:
            names = self._names(here)
            found = names.get(part) or names.get(part.casefold())
            if found is None:
                return None
            here = here / found
        return here

    def first(self, *names: str) -> Path:
        """The first of several files or folders that is there.

        Raises:
            SourceError: None of them is.
        """
        for name in names:
            if (found := self.find(name)) is not None:
                return found
        raise self.fault(f"{' or '.join(names)} is missing{self._renamed(names, ALIKE)}")

    def pictures(self, names: Sequence[str], *, below: Sequence[str] = ("",)) -> list[Path]:
        """The path of every picture.

        Args:
            names: As the labels name them.
            below: Folders that may hold them, below the root.

        Raises:
            SourceError: Some are missing; the first few are named, with their count.
        """
        folders = [folder for folder in below if not folder or self.find(folder)]
        found = [self._picture(name, folders) for name in names]
        lost = [name for name, path in zip(names, found, strict=True) if path is None]
        if lost:
            where = " or ".join(f"{folder or '.'}/" for folder in below)
            more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
            places = [f"{folder}/{lost[0]}" if folder else lost[0] for folder in folders]
            raise self.fault(
                f"{len(lost)} of {len(names)} pictures are missing in {where}: "
                f"{', '.join(lost[:NAMED])}{more}{self._renamed(places, 1.0)}"
            )
        return [path for path in found if path is not None]

    def _renamed(self, names: Sequence[str], alike: float) -> str:
        """What may be one of these under another name, in words; empty where nothing resembles.

        Another ending counts first, then the closest spelling that is as alike as ``alike``:
        label files differ in spelling, pictures of a set all resemble each other.
        """
        for name in map(Path, names):
            here = self.find(str(name.parent))
            there = sorted(set(self._names(here).values())) if here is not None else []
            twins = [other for other in there if Path(other).stem == name.stem]
            if close := twins or get_close_matches(name.name, there, 1, alike):
                return f"; is {name.parent / close[0]} one of them, renamed?"
        return ""

    def _picture(self, name: str, folders: Sequence[str]) -> Path | None:
        paths = (self.find(f"{folder}/{name}" if folder else name) for folder in folders)
        return next((path for path in paths if path is not None), None)


def _names_in(folder: Path) -> dict[str, str]:
    """The names in a folder by themselves and by their casefolded form; empty if it is none."""
    if not folder.is_dir():
        return {}
    names = sorted(path.name for path in folder.iterdir())
    return {name.casefold(): name for name in names} | {name: name for name in names}
