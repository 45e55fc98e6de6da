"""Firmware packages: a signed header and the image behind it, in one file.

header, 176 bytes (see manifest.py) | image
"""

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from firmware_bridge.errors import ParseError
from firmware_bridge.update.manifest import (
    HEADER_BYTES,
    MAX_IMAGE_BYTES,
    SIGNED_BYTES,
    Manifest,
    check_image,
    pack_manifest,
    parse_manifest,
)
from telemetry.reason import Reason

__all__ = ["Package", "check_header", "open_package", "read_private_key", "read_public_key", "sign_package"]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose signature and image are right; made by `open_package` and `sign_package` alone."""

    header: bytes
    manifest: Manifest
    image: bytes

    @property
    def whole(self) -> bytes:
        """The package as one piece, as it lies in a file."""
        return self.header + self.image

    def chunk(self, number: int) -> bytes:
        """The image's chunk `number`, counted from 0."""
        size = self.manifest.chunk_bytes
        return self.image[number * size : (number + 1) * size]


def read_private_key(pem: bytes) -> Ed25519PrivateKey:
    """The key that signs, from unencrypted PEM (PKCS #8). ParseError(bad_field), which never quotes the key."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ParseError(Reason.BAD_FIELD, "no unencrypted private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ParseError(Reason.BAD_FIELD, "a private key of another kind, want Ed25519")
    return key


def read_public_key(pem: bytes) -> Ed25519PublicKey:
    """The key that checks, from PEM (SubjectPublicKeyInfo). ParseError(bad_field)."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ParseError(Reason.BAD_FIELD, "no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ParseError(Reason.BAD_FIELD, "a public key of another kind, want Ed25519")
    return key


def sign_package(manifest: Manifest, image: bytes, key: Ed25519PrivateKey) -> Package:
    """`image` behind its signed header (Ed25519, RFC 8032). ParseError where the two do not belong together."""
    check_image(manifest, image)
    signed = pack_manifest(manifest)
    return Package(header=signed + key.sign(signed), manifest=manifest, image=image)


def check_header(header: bytes, key: Ed25519PublicKey) -> Manifest:
    """What a header says, its signature checked first. ParseError: not_authenticated, and those of `parse_manifest`."""
    if len(header) == HEADER_BYTES:
        try:
            key.verify(header[SIGNED_BYTES:], header[:SIGNED_BYTES])
        except InvalidSignature:
            parse_manifest(header)  # what is no header at all is told as that
            raise ParseError(Reason.NOT_AUTHENTICATED, "the signature is not of this key", SIGNED_BYTES) from None
    return parse_manifest(header)


def open_package(data: bytes, key: Ed25519PublicKey) -> Package:
    """The package in a file. ParseError where it is cut, too long, signed by nobody we know, or holds another image."""
    if len(data) > HEADER_BYTES + MAX_IMAGE_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(data)} bytes, want at most {HEADER_BYTES + MAX_IMAGE_BYTES}")
    header, image = data[:HEADER_BYTES], data[HEADER_BYTES:]
    manifest = check_header(header, key)
    check_image(manifest, image)
    return Package(header=header, manifest=manifest, image=image)
