from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from iqa.datasets.tables import number, read_xlsx
from iqa.datasets.xlsx import read_sheet
from sdk.errors import SourceError

from .written_sets import write_xlsx

MAIN = 'xmlns="http://purl.oclc.org/ooxml/spreadsheetml/main"'  # the strict namespace


def workbook(path: Path, cells: str, strings: str = "") -> Path:
    """A workbook of one sheet with one row, in the strict form of the format."""
    office = "http://purl.oclc.org/ooxml/officeDocument/relationships"
    parts = {
        "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{office}"><sheets>'
        '<sheet name="Only" sheetId="1" r:id="rId9"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": '<Relationships xmlns="p"><Relationship Id="rId9" '
        'Type="t" Target="/xl/worksheets/a.xml"/></Relationships>',
        "xl/worksheets/a.xml": f"<worksheet {MAIN}><sheetData><row>{cells}</row></sheetData>"
        "</worksheet>",
    }
    if strings:
        parts["xl/sharedStrings.xml"] = f"<sst {MAIN}>{strings}</sst>"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def test_every_kind_of_cell(tmp_path: Path) -> None:
    rich = "<si><r><t>rich </t></r><r><t>text</t></r><rPh><t>hint</t></rPh></si>"
    cells = (
        '<c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c>'
        '<c r="D1" t="inlineStr"><is><t>inline</t></is></c>'
        '<c r="E1"><f>1+1</f><v>2</v></c><c r="F1" t="str"><f>A1</f><v>formula</v></c>'
        '<c r="G1" t="b"><v>1</v></c><c r="H1" t="e"><v>#N/A</v></c><c r="I1" s="3"/>'
        '<c r="AB1"><v>1.5E-3</v></c>'
    )
    [row] = read_sheet(workbook(tmp_path / "a.xlsx", cells, f"{rich}<si><t>5 &lt; 6</t></si>"))
    assert row[:9] == ["rich text", "5 < 6", None, "inline", 2.0, "formula", 1.0, "#N/A", None]
    assert row[9:27] == [None] * 18
    assert row[27] == 0.0015
    assert len(row) == 28


def test_cells_without_places_follow_each_other(tmp_path: Path) -> None:
    assert read_sheet(workbook(tmp_path / "a.xlsx", "<c><v>1</v></c><c><v>2</v></c>")) == [[1, 2]]


def test_sheets_go_by_name(tmp_path: Path) -> None:
    path = tmp_path / "two.xlsx"
    write_xlsx(path, {"First": [["a"]], "Second": [["b"]]})
    assert read_sheet(path) == [["a"]]
    assert read_sheet(path, "second") == [["b"]]
    with pytest.raises(SourceError, match="no sheet 'Third'; it has 'First', 'Second'"):
        read_sheet(path, "Third")


@pytest.mark.parametrize("content", [b"", b"\xd0\xcf\x11\xe0" + bytes(600), b"PK no zip"])
def test_what_is_no_workbook_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="cannot be read as an Excel workbook") as caught:
        read_sheet(path)
    assert ("older .xls" in caught.value.hint) == content.startswith(b"\xd0")
    with pytest.raises(SourceError, match="mismatched tag"):
        read_sheet(workbook(path, "<c>"))


def test_damaged_bytes_inside_are_refused(tmp_path: Path) -> None:
    write_xlsx(path := tmp_path / "a.xlsx", {"S": [["text"] * 9]})
    data = bytearray(path.read_bytes())
    data[70:90] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="cannot be read as an Excel workbook"):
        read_sheet(path)


def test_tables_are_found_by_their_titles(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    write_xlsx(path, {"S": [["MOS of 2020"], [None, " mos ", "Name"], [None, 3.5, "a"]]})
    [row] = read_xlsx(path, ("Name", "MOS"))
    assert (row["Name"], row["MOS"]) == ("a", 3.5)
    with pytest.raises(SourceError, match="MOS of 'b' is 'high'"):
        number({"Name": "b", "MOS": "high"}, "MOS", path)
    with pytest.raises(SourceError, match="is 'nan'; it must be a finite number"):
        number({"MOS": "nan"}, "MOS", path)
