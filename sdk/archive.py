"""Zip files from strangers, read without trusting a number they declare."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from typing import Final

from sdk.errors import BundleError

MAX_BYTES: Final = 512 * 2**20  # of a file, and of all its members together
MAX_MEMBERS: Final = 64
MAX_DIRECTORY_BYTES: Final = 64 * 2**10
MAX_RATIO: Final = 200  # inflated : deflated, for members above
RATIO_APPLIES_FROM: Final = 2**20  # bytes

_END = struct.Struct("<4s4H2LH")  # end-of-central-directory record without comment
_MEMBER_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*/)*[A-Za-z0-9_][A-Za-z0-9._-]*")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises on garbage; RuntimeError covers its NotImplementedError too.
_GARBAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    struct.error,
    ValueError,
)


class Archive:
    """The members of a zip whose directory has been checked; nothing is inflated before `read`.

    Args:
        data: The whole file.
        name: How messages call it.

    Raises:
        BundleError: Not a zip, truncated, too large, or with members that no bundle has:
            duplicates, directories, links, encrypted ones, paths that lead elsewhere, bombs.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        _check_end_record(data, name)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _GARBAGE as error:
            raise BundleError(
                f"{name} has a damaged zip directory: {error}.", hint="Fetch it again."
            ) from error
        self._check_directory()

    @property
    def names(self) -> list[str]:
        """Names of the members, in the order of the directory."""
        return [member.filename for member in self._zip.infolist()]

    def read(self, member: str, limit: int = MAX_BYTES) -> bytes:
        """Inflate one member.

        Args:
            member: Its name.
            limit: Most bytes it may have.

        Raises:
            BundleError: It is missing, larger than `limit`, or damaged.
        """
        try:
            info = self._zip.getinfo(member)
        except KeyError:
            raise BundleError(
                f"{self._name} has no member {member}; it has {', '.join(self.names) or 'none'}.",
                hint="It is not a framescore bundle, or it was repacked.",
            ) from None
        if info.file_size > limit:
            raise self._refuse(member, f"has {info.file_size} bytes; allowed are {limit}")
        try:
            with self._zip.open(info) as stream:
                data = stream.read(info.file_size + 1)
        except _GARBAGE as error:
            raise self._refuse(member, f"is damaged ({error})") from error
        if len(data) != info.file_size:  # a member may not be larger or smaller than it says
            raise self._refuse(member, f"has {len(data)} bytes and declares {info.file_size}")
        return data

    def _check_directory(self) -> None:
        seen: set[str] = set()
        for info in self._zip.infolist():
            if info.filename in seen:
                raise self._refuse(info.filename, "is in it twice")
            seen.add(info.filename)
            self._check_member(info)
        total = sum(info.file_size for info in self._zip.infolist())
        if total > MAX_BYTES:
            raise BundleError(
                f"{self._name} inflates to {total} bytes; allowed are {MAX_BYTES}.",
                hint="It is damaged or a zip bomb.",
            )

    def _check_member(self, info: zipfile.ZipInfo) -> None:
        if not _MEMBER_NAME.fullmatch(info.orig_filename):
            raise self._refuse(
                info.orig_filename, "is a directory or its name leads outside the bundle"
            )
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise self._refuse(info.filename, "is not a regular file but a link or device")
        if info.flag_bits & 0x1:
            raise self._refuse(info.filename, "is encrypted")
        if info.compress_type not in _METHODS:
            raise self._refuse(
                info.filename,
                f"uses compression method {info.compress_type}; allowed are stored and deflated",
            )
        deflated = max(info.compress_size, 1)
        if info.file_size > RATIO_APPLIES_FROM and info.file_size > MAX_RATIO * deflated:
            raise self._refuse(
                info.filename,
                f"would inflate {info.compress_size} bytes to {info.file_size}, more than "
                f"{MAX_RATIO}-fold, like a zip bomb",
            )

    def _refuse(self, member: str, reason: str) -> BundleError:
        return BundleError(
            f"{self._name}: member {member!r} {reason}.", hint="Fetch the bundle again."
        )


def _check_end_record(data: bytes, name: str) -> None:
    """Bound the directory before zipfile builds an object per entry of it."""
    if not data:
        raise BundleError(f"{name} is empty (0 bytes).", hint="Fetch it again.")
    if not data.startswith(b"PK\x03\x04"):
        raise BundleError(
            f"{name} is not a zip file: it starts with {data[:4]!r}.",
            hint="A model bundle ends in .framescore; see: framescore models",
        )
    if len(data) < _END.size or data[-_END.size : 4 - _END.size] != b"PK\x05\x06":
        raise BundleError(
            f"{name} is truncated, or has data after its end: no zip directory closes its "
            f"{len(data)} bytes.",
            hint="Fetch it again.",
        )
    _, disk, first_disk, here, members, size, offset, _ = _END.unpack(data[-_END.size :])
    if members > MAX_MEMBERS or size > MAX_DIRECTORY_BYTES:
        raise BundleError(
            f"{name} lists {members} members in {size} bytes; allowed are {MAX_MEMBERS} in "
            f"{MAX_DIRECTORY_BYTES}.",
            hint="It is not a framescore bundle.",
        )
    if disk or first_disk or here != members or offset + size + _END.size != len(data):
        raise BundleError(
            f"{name} has a damaged zip directory: it does not lie where it should.",
            hint="Fetch it again.",
        )
