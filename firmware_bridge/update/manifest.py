"""The header of a firmware package: which device it is for, how new it is, and what the image must be.

A header is citynerve's own, of fixed places, so that a bootloader needs no parser; numbers are big-endian, texts are ASCII
padded with zero bytes:

    0 "CNFW" | 4 layout u16 (1) | 6 chunk bytes u16 | 8 version u32 | 12 image bytes u32 | 16 SHA-256 of the image
    48 model, 32 bytes | 80 hardware, 16 bytes | 96 release, 16 bytes | 112 Ed25519 signature of bytes 0 to 111
"""

import hashlib
import struct

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["HEADER_BYTES", "SIGNED_BYTES", "Manifest", "check_image", "digest_of", "pack_manifest", "parse_manifest"]

HEADER_BYTES = 176
SIGNED_BYTES = 112
MAX_IMAGE_BYTES = 64 * 1024 * 1024
"""Far above what a device of the street holds; below what a gateway can hold twice."""
_MAGIC = b"CNFW"
_LAYOUT = 1
_FORM = struct.Struct(">4sHHII32s32s16s16s")
_TEXTS = {"model": 32, "hardware": 16, "release": 16}
_CHUNKS = range(16, 4097)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is the security counter: it only grows, and no device takes one that is not above its own. `release` is
    what people call it. The image is sent and confirmed in chunks of `chunk_bytes`, an even number; the last may be shorter."""

    model: str
    hardware: str
    release: str
    version: int
    size: int
    sha256: bytes
    chunk_bytes: int = 240

    @property
    def chunks(self) -> int:
        """How many chunks the image has."""
        return -(-self.size // self.chunk_bytes)


def digest_of(image: bytes) -> bytes:
    """The 32 bytes that stand for `image` in its manifest."""
    return hashlib.sha256(image).digest()


def pack_manifest(manifest: Manifest) -> bytes:
    """The 112 bytes that are signed. ParseError(bad_field) where a value has no place in them."""
    _check(manifest)
    texts = (getattr(manifest, name).encode() for name in _TEXTS)
    return _FORM.pack(
        _MAGIC, _LAYOUT, manifest.chunk_bytes, manifest.version, manifest.size, manifest.sha256, *texts
    )  # struct pads texts with zero bytes


def parse_manifest(header: bytes) -> Manifest:
    """What a header of 176 bytes says; its signature is not looked at here.

    ParseError: truncated, bad_length, bad_start, unsupported_version (layout), bad_field.
    """
    if len(header) != HEADER_BYTES:
        reason = Reason.TRUNCATED if len(header) < HEADER_BYTES else Reason.BAD_LENGTH
        raise ParseError(reason, f"a header of {len(header)} bytes, want {HEADER_BYTES}", min(len(header), HEADER_BYTES))
    magic, layout, chunk, version, size, sha256, *texts = _FORM.unpack(header[:SIGNED_BYTES])
    if magic != _MAGIC:
        raise ParseError(Reason.BAD_START, f"{magic.hex()} begins no firmware package, want {_MAGIC.hex()}", 0)
    if layout != _LAYOUT:
        raise ParseError(Reason.UNSUPPORTED_VERSION, f"header layout {layout}, want {_LAYOUT}", 4)
    model, hardware, release = (_text(name, raw) for name, raw in zip(_TEXTS, texts, strict=True))
    manifest = Manifest(
        model=model, hardware=hardware, release=release, version=version, size=size, sha256=sha256, chunk_bytes=chunk
    )
    _check(manifest)
    return manifest


def check_image(manifest: Manifest, image: bytes) -> None:
    """Raise ParseError where `image` is not the manifest's: bad_length, bad_checksum."""
    if len(image) != manifest.size:
        raise ParseError(Reason.BAD_LENGTH, f"an image of {len(image)} bytes, want {manifest.size}")
    if digest_of(image) != manifest.sha256:
        raise ParseError(Reason.BAD_CHECKSUM, f"SHA-256 {digest_of(image).hex()}, want {manifest.sha256.hex()}")


def _text(name: str, raw: bytes) -> str:
    text, _, padding = raw.partition(b"\0")
    if padding.strip(b"\0") or not text.isascii():
        raise ParseError(Reason.BAD_FIELD, f"{name} is not ASCII text padded with zero bytes")
    return text.decode()


def _check(manifest: Manifest) -> None:
    for name, most in _TEXTS.items():
        text = getattr(manifest, name)
        if not text or len(text) > most or not (text.isascii() and text.isprintable()):
            raise ParseError(Reason.BAD_FIELD, f"{name} {text[:40]!r}, want 1 to {most} printable ASCII characters")
    if manifest.chunk_bytes not in _CHUNKS or manifest.chunk_bytes % 2:
        raise ParseError(Reason.BAD_FIELD, f"chunks of {manifest.chunk_bytes} bytes, want an even number from 16 to 4096", 6)
    if not 1 <= manifest.version < 2**32:
        raise ParseError(Reason.BAD_FIELD, f"version {manifest.version}, want 1 to {2**32 - 1}", 8)
    if not 1 <= manifest.size <= MAX_IMAGE_BYTES:
        raise ParseError(Reason.BAD_FIELD, f"an image of {manifest.size} bytes, want 1 to {MAX_IMAGE_BYTES}", 12)
    if len(manifest.sha256) != 32:
        raise ParseError(Reason.BAD_FIELD, f"a SHA-256 of {len(manifest.sha256)} bytes, want 32", 16)
