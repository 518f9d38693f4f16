from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from sdk import archive
from sdk.archive import Archive
from sdk.errors import BundleError


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], deflate: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    ) as out:
        for name, data in members:
            out.writestr(name, data)
    return buffer.getvalue()


def refused(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason) as caught:
        with_all_read(data)
    assert "model.zip" in str(caught.value)


def with_all_read(data: bytes) -> dict[str, bytes]:
    found = Archive(data, "model.zip")
    return {name: found.read(name) for name in found.names}


@pytest.mark.parametrize("deflate", [False, True])
def test_members_come_back_in_order(deflate: bool) -> None:
    data = zipped(("b.txt", b"two" * 99), ("a/c-1.bin", b""), deflate=deflate)
    assert with_all_read(data) == {"b.txt": b"two" * 99, "a/c-1.bin": b""}
    assert Archive(data, "model.zip").names == ["b.txt", "a/c-1.bin"]


def test_empty_file_is_named() -> None:
    refused(b"", r"is empty \(0 bytes\)")


@pytest.mark.parametrize("data", [b"hello, world", b"\x7fELF" + bytes(99), bytes(4096)])
def test_other_files_are_not_a_zip(data: bytes) -> None:
    refused(data, "is not a zip file")


def test_every_truncation_is_refused() -> None:
    data = zipped(("a.txt", b"x" * 40), ("b.txt", b"y" * 40))
    for length in range(1, len(data)):
        with pytest.raises(BundleError):
            with_all_read(data[:length])


def test_trailing_and_leading_data_are_refused() -> None:
    data = zipped(("a.txt", b"x"))
    refused(data + b"\0", "truncated, or has data after its end")
    refused(data[:4] + b"padding" + data[4:], "damaged zip directory")


def test_missing_member_lists_what_there_is() -> None:
    with pytest.raises(BundleError, match=r"no member manifest.json; it has a.txt"):
        Archive(zipped(("a.txt", b"")), "model.zip").read("manifest.json")


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/passwd",
        "C:\\evil",
        "a\\b",
        "dir/",
        ".",
        "..",
        "a//b",
        "a b",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    refused(zipped((name, b"x")), "is a directory or its name leads outside")


def test_duplicates_are_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(("a.txt", b"good"), ("a.txt", b"evil"))
    refused(data, "'a.txt' is in it twice")


def test_symbolic_links_are_refused() -> None:
    link = zipfile.ZipInfo("a.txt")
    link.create_system = 3
    link.external_attr = 0o120777 << 16
    refused(zipped((link, b"/etc/passwd")), "is not a regular file")


def test_encrypted_members_are_refused() -> None:
    data = bytearray(zipped(("a.txt", b"x")))
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1
    refused(bytes(data), "is encrypted")


def test_other_compression_is_refused() -> None:
    info = zipfile.ZipInfo("a.txt")
    info.compress_type = zipfile.ZIP_BZIP2
    refused(zipped((info, b"x")), "compression method 12; allowed are stored and deflated")


def test_bomb_is_refused_before_it_inflates(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped(("bomb.bin", bytes(4 * 2**20)), deflate=True)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("inflated"))
    refused(data, "like a zip bomb")


def test_total_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    refused(zipped(("a.txt", bytes(60)), ("b.txt", bytes(60))), "inflates to 120 bytes")


def test_count_is_bounded() -> None:
    members = [(f"{index}.txt", b"") for index in range(archive.MAX_MEMBERS + 1)]
    refused(zipped(*members), "lists 65 members")
    with_all_read(zipped(*members[1:]))


def test_member_larger_than_it_declares_is_refused() -> None:
    """A deflated stream that goes on after the size in the directory must not be followed."""
    data = bytearray(zipped(("a.txt", bytes(9000)), deflate=True))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", data, data.index(signature) + offset, 10)
    refused(bytes(data), "is damaged")


def test_member_smaller_than_it_declares_is_refused() -> None:
    data = bytearray(zipped(("a.txt", bytes(9000)), deflate=True))
    checksum = zlib.crc32(bytes(9000))
    for signature, offset in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        struct.pack_into("<3L", data, data.index(signature) + offset, checksum, 29, 9500)
    refused(bytes(data), "is damaged|declares 9500")


def test_limit_of_a_read() -> None:
    with pytest.raises(BundleError, match="has 60 bytes; allowed are 59"):
        Archive(zipped(("a.txt", bytes(60))), "model.zip").read("a.txt", limit=59)
