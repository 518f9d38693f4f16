"""The cells of an Excel workbook, with the standard library alone.

Three sets give their labels as .xlsx. Such a file is a zip of XML parts (ECMA-376, Part 1: §12.3.24
worksheet, §18.3.1.4 cell, §18.4.8 shared string, §18.18.11 cell types), and values are all that is
wanted of it: a hundred lines instead of a dependency for everyone. Formulas count with the value
that was saved with them; dates stay the numbers that they are stored as.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from sdk.errors import SourceError

Cell = str | float | None
MAX_PART = 256 * 2**20  # bytes of one unpacked part; the largest known, SPAQ's, has 3 MB
UNREADABLE = (
    BadZipFile, ElementTree.ParseError, IndexError, KeyError, RuntimeError, ValueError, zlib.error,
)  # fmt: skip
OLD_EXCEL = b"\xd0\xcf\x11\xe0"  # the compound files of .xls


def read_sheet(path: Path, sheet: str | None = None) -> list[list[Cell]]:
    """The rows of a sheet, each as long as its last cell; empty cells are None.

    Args:
        path: An .xlsx file.
        sheet: Its name, compared without case; None for the first.

    Raises:
        SourceError: No workbook, or no such sheet.
    """
    try:
        with ZipFile(path) as archive:
            part = _sheet_part(archive, sheet, path)
            return list(_rows(archive, part, _shared_strings(archive)))
    except UNREADABLE as error:
        raise SourceError(
            f"{path} cannot be read as an Excel workbook (.xlsx): {error}.", hint=_advice(path)
        ) from error


def _advice(path: Path) -> str:
    with path.open("rb") as file:
        old = file.read(4) == OLD_EXCEL
    return "This is the older .xls; save it as .xlsx." if old else "Fetch the file again."


def _open(archive: ZipFile, part: str) -> IO[bytes]:
    if archive.getinfo(part).file_size > MAX_PART:
        raise ValueError(f"its part {part} is larger than {MAX_PART >> 20} MiB")
    return archive.open(part)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]  # transitional and strict files differ in the namespace


def _elements(archive: ZipFile, part: str, name: str) -> Iterator[ElementTree.Element]:
    """Elements of one name, each forgotten when the next is asked for."""
    with _open(archive, part) as file:
        for _, element in ElementTree.iterparse(file):
            if _local(element.tag) == name:
                yield element
                element.clear()


def _sheet_part(archive: ZipFile, wanted: str | None, path: Path) -> str:
    """The part that holds a sheet: the workbook names an id, its relations a file."""
    sheets: dict[str, str] = {}
    for element in _elements(archive, "xl/workbook.xml", "sheet"):
        relations = [v for k, v in element.attrib.items() if _local(k) == "id" and k != "id"]
        sheets[element.attrib["name"]] = relations[0]
    chosen = next(
        (i for name, i in sheets.items() if wanted is None or name.casefold() == wanted.casefold()),
        None,
    )
    if chosen is None:
        raise SourceError(
            f"{path} has no sheet {wanted!r}; it has {', '.join(map(repr, sheets))}.",
            hint="Fetch the file again, or rename the sheet.",
        )
    for element in _elements(archive, "xl/_rels/workbook.xml.rels", "Relationship"):
        if element.attrib["Id"] == chosen:
            target = element.attrib["Target"]
            return target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    raise ValueError(f"its sheet {chosen} leads nowhere")


def _shared_strings(archive: ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    return [_text(item) for item in _elements(archive, "xl/sharedStrings.xml", "si")]


def _text(element: ElementTree.Element) -> str:
    """Text of a string: its runs joined, without the phonetic hints (rPh) of Japanese."""
    parts = []
    for child in element:
        if _local(child.tag) == "t":
            parts.append(child.text or "")
        elif _local(child.tag) == "r":
            parts.append(_text(child))
    return "".join(parts)


def _rows(archive: ZipFile, part: str, strings: list[str]) -> Iterator[list[Cell]]:
    for row in _elements(archive, part, "row"):
        cells: list[Cell] = []
        for cell in row:
            if _local(cell.tag) != "c":
                continue
            place = _column(cell.attrib["r"]) if "r" in cell.attrib else len(cells)
            cells += [None] * (place - len(cells))
            cells.append(_value(cell, strings))
        yield cells


def _column(reference: str) -> int:
    """0 for A7, 26 for AA1."""
    letters = re.match(r"[A-Z]+", reference)
    if letters is None:
        raise ValueError(f"a cell is called {reference!r}")
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _value(cell: ElementTree.Element, strings: list[str]) -> Cell:
    kind = cell.attrib.get("t", "n")
    children = {_local(child.tag): child for child in cell}
    if kind == "inlineStr":
        return _text(children["is"]) if "is" in children else None
    value = children["v"].text if "v" in children else None
    if value is None:
        return None
    if kind == "s":
        return strings[int(value)]
    return float(value) if kind in ("n", "b") else value
