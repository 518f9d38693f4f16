from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from export.write_bundle import write_bundle, zip_bytes
from sdk.bundle import Bundle
from sdk.errors import BundleError, UsageError

from .test_bundle import PATH, SMALL, members_of
from .tiny_model import tiny_manifest, tiny_members

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def pem_of(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    """Private and public key."""
    private = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    spki = ser.PublicFormat.SubjectPublicKeyInfo
    return private, key.public_key().public_bytes(ser.Encoding.PEM, spki)


PRIVATE, PUBLIC = pem_of(ed25519.Ed25519PrivateKey.generate())


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("signed") / "tiny.framescore"
    write_bundle(path, tiny_manifest(), tiny_members(), private_key=PRIVATE)
    return path


def test_the_owners_key_accepts_it(signed: Path) -> None:
    Bundle.load(signed).check_signature(PUBLIC)


def test_another_key_refuses_it(signed: Path) -> None:
    _, other = pem_of(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(BundleError, match="signature is not of the given key"):
        Bundle.load(signed).check_signature(other)


def test_a_changed_manifest_is_refused(signed: Path) -> None:
    members = members_of(signed.read_bytes())
    members["manifest.json"] = members["manifest.json"].replace(b"Brightness", b"Whiteness.")
    forged = Bundle.from_bytes(zip_bytes(members), signed)
    with pytest.raises(BundleError, match="or its manifest was changed"):
        forged.check_signature(PUBLIC)


def test_unsigned_bundle_is_refused_where_a_signature_is_asked_for() -> None:
    with pytest.raises(BundleError, match="is not signed"):
        Bundle.from_bytes(SMALL, PATH).check_signature(PUBLIC)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_signature_of_another_length(size: int) -> None:
    data = zip_bytes({**members_of(SMALL), "manifest.sig": bytes(size)})
    with pytest.raises(BundleError, match=r"manifest\.sig.* has (0|63|65) bytes"):
        Bundle.from_bytes(data, PATH)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"", "public key cannot be read"),
        (PRIVATE, "public key cannot be read"),
        (pem_of(ec.generate_private_key(ec.SECP256R1()))[1], "must be Ed25519"),
    ],
)
def test_what_is_no_key(signed: Path, key: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        Bundle.load(signed).check_signature(key)
    assert "openssl genpkey" in caught.value.hint


def test_signing_twice_gives_the_same_file(signed: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.framescore"
    write_bundle(again, tiny_manifest(), tiny_members(), private_key=PRIVATE)
    assert again.read_bytes() == signed.read_bytes()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_agrees(signed: Path, tmp_path: Path) -> None:
    for name, data in {**members_of(signed.read_bytes()), "public.pem": PUBLIC}.items():
        (tmp_path / name).write_bytes(data)
    command = "openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in manifest.json -sigfile"
    run = subprocess.run(
        [*command.split(), "manifest.sig"], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
