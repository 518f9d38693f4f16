"""Signatures of bundles: who wrote one, where a checksum only says that it is whole.

A bundle's `manifest.sig` is the Ed25519 signature (RFC 8032, 64 bytes) of its `manifest.json`,
which holds the sha256 of everything else. It can be checked without framescore:
``openssl pkeyutl -verify -pubin -inkey KEY.pem -rawin -in manifest.json -sigfile manifest.sig``
"""

from __future__ import annotations

from typing import Any, Final

from sdk.errors import BundleError, UsageError

SIGNATURE_BYTES: Final = 64


def verify_signature(data: bytes, signature: bytes | None, public_key: bytes, name: str) -> None:
    """Make sure that a key's owner wrote a manifest.

    Args:
        data: The manifest's bytes.
        signature: The contents of manifest.sig; None if the bundle has none.
        public_key: An Ed25519 public key in PEM.
        name: How messages call the bundle.

    Raises:
        BundleError: No signature, or not this key's.
        UsageError: The key cannot be read.
        FramescoreError: The package cryptography is missing.
    """
    if signature is None:
        raise BundleError(
            f"{name} is not signed; a signature was asked for.",
            hint="Fetch the signed bundle, or sign it: framescore export … --sign KEY.pem",
        )
    key = _load(public_key, private=False)
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, data)
    except InvalidSignature:
        raise BundleError(
            f"{name}: its signature is not of the given key, or its manifest was changed.",
            hint="Fetch the bundle and the key again, from different places if you can.",
        ) from None


def sign(data: bytes, private_key: bytes) -> bytes:
    """Sign a manifest.

    Args:
        data: The manifest's bytes.
        private_key: An Ed25519 private key in PEM, not encrypted.

    Returns:
        64 bytes.

    Raises:
        UsageError: The key cannot be read.
        BundleError: The package cryptography is missing.
    """
    signature: bytes = _load(private_key, private=True).sign(data)
    return signature


def _load(pem: bytes, *, private: bool) -> Any:
    """Read a key with the package `cryptography`, which only those who sign need."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise BundleError(
            f"Signatures need the package cryptography, which cannot be imported ({error}).",
            hint="Install it: pip install 'framescore[sign]'",
        ) from error
    word = "private" if private else "public"
    wanted = ed25519.Ed25519PrivateKey if private else ed25519.Ed25519PublicKey
    try:
        key: Any = (
            serialization.load_pem_private_key(pem, password=None)
            if private
            else serialization.load_pem_public_key(pem)
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"The {word} key cannot be read: {error}.", hint=_HOW) from error
    if isinstance(key, wanted):
        return key
    raise UsageError(f"The {word} key is {type(key).__name__}; it must be Ed25519.", hint=_HOW)


_HOW: Final = (
    "Make a pair: openssl genpkey -algorithm ed25519 -out key.pem; "
    "openssl pkey -in key.pem -pubout -out public.pem"
)
