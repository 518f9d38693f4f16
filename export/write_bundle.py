"""Write bundles: byte for byte reproducible, and never half."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sdk.bundle import Bundle
from sdk.errors import SinkError
from sdk.manifest import MANIFEST_NAME, SIGNATURE_NAME, Manifest, encode_manifest
from sdk.signature import sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date a zip can say


def write_bundle(
    path: str | os.PathLike[str],
    manifest: Manifest,
    members: Mapping[str, bytes],
    *,
    private_key: bytes | None = None,
) -> Bundle:
    """Write a bundle; equal arguments give an equal file.

    The file appears under its name complete or not at all, and only if it can be read back.

    Args:
        path: Where to; a file that is there is replaced.
        manifest: What the bundle says; its `files` are filled in here.
        members: Contents by name, without the manifest.
        private_key: An Ed25519 private key in PEM to sign the manifest with; None signs nothing.

    Returns:
        The bundle as a reader will see it.

    Raises:
        BundleError: Manifest and members do not make a bundle that loads.
        UsageError: The key cannot be read.
        SinkError: The file cannot be written, for example because the disk is full.
    """
    bundle, data = pack_bundle(path, manifest, members, private_key=private_key)
    _write_atomically(bundle.path, data)
    return bundle


def pack_bundle(
    path: str | os.PathLike[str],
    manifest: Manifest,
    members: Mapping[str, bytes],
    *,
    private_key: bytes | None = None,
) -> tuple[Bundle, bytes]:
    """Make a bundle without writing it: the bundle, and the bytes of its file.

    Args:
        path: Where it would lie.
        manifest: As for `write_bundle`.
        members: As for `write_bundle`.
        private_key: As for `write_bundle`.

    Raises:
        BundleError: Manifest and members do not make a bundle that loads.
        UsageError: The key cannot be read.
    """
    digests = {name: hashlib.sha256(members[name]).hexdigest() for name in sorted(members)}
    text = encode_manifest(msgspec.structs.replace(manifest, files=digests))
    signed = {SIGNATURE_NAME: sign(text, private_key)} if private_key is not None else {}
    data = zip_bytes({MANIFEST_NAME: text, **signed, **{name: members[name] for name in digests}})
    return Bundle.from_bytes(data, Path(path)), data


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    """Pack members in their order, with fixed dates and modes.

    They are stored, not deflated: weights hardly shrink, loading is faster, and the file does not
    depend on the version of zlib.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, also when written elsewhere
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack arrays as numpy's npz, reproducibly; `numpy.load` reads it."""
    members = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.lib.format.write_array(
            buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
        )
        members[f"{name}.npy"] = buffer.getvalue()
    return zip_bytes(members)


def _write_atomically(path: Path, data: bytes) -> None:
    """Write beside the target and rename; a killed or failed write leaves the target as it was."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        try:
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            _sync_directory(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Check the directory, its permissions and the free space.",
        ) from error


def _sync_directory(directory: Path) -> None:
    """Make the rename itself survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
