"""Model bundles: one `.framescore` file with network, manifest and golden frames, verified."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sdk.archive import MAX_BYTES, Archive
from sdk.errors import BundleError
from sdk.golden import Golden, read_golden
from sdk.manifest import MANIFEST_NAME, SIGNATURE_NAME, Manifest, OnnxGraph, parse_manifest
from sdk.signature import SIGNATURE_BYTES
from sdk.views import View

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MODEL: Final = "glint-edge"
SUFFIX: Final = ".framescore"
_MODELS_DIR = Path(__file__).parent / "models"
_MAX_MANIFEST_BYTES = 2**20


@dataclass(frozen=True, slots=True, repr=False)
class Bundle:
    """A verified bundle, wholly in memory: the file may change or go away afterwards.

    Attributes:
        path: The file it was read from.
        manifest: What the bundle says about the model.
        digest: sha256 of the manifest, which itself holds the sha256 of every other member.
        signature: The contents of manifest.sig, if it has one; see `check_signature`.
        views: What to gather from a frame, by the name of the network's input.
        golden: Frames with known scores.
        members: Contents of every member that the manifest lists.
    """

    path: Path
    manifest: Manifest
    digest: str
    views: Mapping[str, View]
    golden: Golden
    members: Mapping[str, bytes]
    signature: bytes | None = None
    _text: bytes = b""

    @classmethod
    def load(cls, model: str | os.PathLike[str] | None = None) -> Bundle:
        """Read and verify a bundle.

        Args:
            model: A path, the bare name of a packaged model, or None for the default model.

        Raises:
            BundleError: The file is missing, damaged, tampered with, from a newer framescore, or
                no bundle. The message names the file, the member and the reason.
        """
        path = _resolve(model)
        return cls.from_bytes(_read(path), path)

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> Bundle:
        """Verify a bundle that is already in memory.

        Args:
            data: The whole file.
            path: Where it came from, for messages and `path`.

        Raises:
            BundleError: As for `load`.
        """
        name = str(path)
        archive = Archive(data, name)
        text = archive.read(MANIFEST_NAME, _MAX_MANIFEST_BYTES)
        manifest = parse_manifest(text, name)
        views = _parse_views(manifest, name)
        members = _verified_members(archive, manifest, name)
        golden_file = manifest.golden.file
        golden = read_golden(members[golden_file], views, f"{name}: {golden_file}")
        digest = hashlib.sha256(text).hexdigest()
        signature = _read_signature(archive, name)
        return cls(path, manifest, digest, views, golden, members, signature, text)

    def __repr__(self) -> str:
        return f"<Bundle {self.model_id} {self.path}>"

    @property
    def model_id(self) -> str:
        """Identity of the model for results: `id@digest`, the digest cut to 12 digits."""
        return f"{self.manifest.id}@{self.digest[:12]}"

    @property
    def onnx(self) -> bytes:
        """The reference network as an ONNX file."""
        return self.members[self.manifest.onnx.file]

    def check_signature(self, public_key: bytes) -> None:
        """Make sure that the owner of a key wrote this bundle.

        Args:
            public_key: An Ed25519 public key in PEM.

        Raises:
            BundleError: It is not signed, or by somebody else.
            UsageError: The key cannot be read.
        """
        from sdk.signature import verify_signature

        verify_signature(self._text, self.signature, public_key, str(self.path))

    def graphs(self) -> tuple[OnnxGraph, ...]:
        """Every form of the network, the reference first."""
        return (self.manifest.onnx, *self.manifest.variants)

    def describe_graph(self, precision: str, profile: str | None = None) -> OnnxGraph:
        """Find a form of the network.

        Args:
            precision: One of `sdk.manifest.GRAPH_PRECISIONS`.
            profile: One of `sdk.manifest.PROFILES`, or None for the first that there is.

        Raises:
            BundleError: The bundle has none such.
        """
        for graph in self.graphs():
            if graph.precision == precision and profile in (None, graph.profile):
                return graph
        kind = precision if profile is None else f"{precision} {profile}"
        has = ", ".join(f"{graph.precision} {graph.profile}" for graph in self.graphs())
        raise BundleError(
            f"{self.path} has no {kind} graph; it has {has}.",
            hint="Write the bundle again: framescore export … --precision fp32,fp16,int8",
        )

    def graph(self, precision: str, profile: str | None = None) -> bytes:
        """Return a form of the network as an ONNX file; see `describe_graph`.

        Raises:
            BundleError: The bundle has none such.
        """
        return self.members[self.describe_graph(precision, profile).file]


def packaged_models() -> dict[str, Path]:
    """Return the models that come with framescore: path by name, sorted."""
    return {path.stem: path for path in sorted(_MODELS_DIR.glob(f"*{SUFFIX}"))}


def _resolve(model: str | os.PathLike[str] | None) -> Path:
    """Find the file; a bare name (no separator, no suffix) means a packaged model."""
    name = DEFAULT_MODEL if model is None else os.fspath(model)
    if isinstance(model, os.PathLike) or name.endswith(SUFFIX) or os.sep in name:
        return Path(name).expanduser()
    packaged = packaged_models()
    if name in packaged:
        return packaged[name]
    raise BundleError(
        f"Model {name!r} does not come with framescore; packaged are "
        f"{', '.join(packaged) or 'none'}.",
        hint=f"For a file give its path, for example ./{name}{SUFFIX}",
    )


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BundleError(f"{path} has {size} bytes; a bundle has at most {MAX_BYTES}.")
        if not path.is_file():
            raise BundleError(f"{path} is not a file.", hint=f"Give a {SUFFIX} file.")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise BundleError(
            f"{path} cannot be read: {reason}.", hint="Check the path; see: framescore models"
        ) from error


def _parse_views(manifest: Manifest, name: str) -> dict[str, View]:
    try:
        return {view.input: View.parse(view.spec) for view in manifest.views}
    except BundleError as error:
        raise BundleError(f"{name}: {error.message}", hint=error.hint) from error


def _read_signature(archive: Archive, name: str) -> bytes | None:
    if SIGNATURE_NAME not in archive.names:
        return None
    signature = archive.read(SIGNATURE_NAME, SIGNATURE_BYTES)
    if len(signature) == SIGNATURE_BYTES:
        return signature
    raise BundleError(
        f"{name}: {SIGNATURE_NAME} has {len(signature)} bytes; an Ed25519 signature has "
        f"{SIGNATURE_BYTES}.",
        hint="Fetch the bundle again.",
    )


def _verified_members(archive: Archive, manifest: Manifest, name: str) -> dict[str, bytes]:
    """Read every member that the manifest lists; no more, no less, each with its sha256."""
    unlisted = sorted({*archive.names} - {*manifest.files, MANIFEST_NAME, SIGNATURE_NAME})
    if unlisted:
        raise BundleError(
            f"{name}: member {unlisted[0]!r} is not listed in its manifest.",
            hint="Something was added to the bundle; fetch it again.",
        )
    return {member: _verified(archive, member, manifest, name) for member in manifest.files}


def _verified(archive: Archive, member: str, manifest: Manifest, name: str) -> bytes:
    data = archive.read(member)
    found, wanted = hashlib.sha256(data).hexdigest(), manifest.files[member]
    if found == wanted:
        return data
    raise BundleError(
        f"{name}: member {member!r} has sha256 {found[:16]}…; its manifest says {wanted[:16]}….",
        hint="The bundle was changed after it was written; fetch it again.",
    )
