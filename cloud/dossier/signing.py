"""The key that exports are signed with, and what it signs (Ed25519, RFC 8032): whoever has the public key can tell whether
what they hold is what this cloud handed out."""

import base64
import binascii
import hashlib
import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from cloud.dossier.canonical import canonical

__all__ = ["ALGORITHM", "Checked", "KeyFault", "Signer", "Verdict", "check", "fingerprint"]

ALGORITHM: Final = "Ed25519"


class KeyFault(RuntimeError):  # noqa: N818 - a fault of the key's file
    """The file of the key is there and holds no key of ours."""


class Verdict(StrEnum):
    """What a check found."""

    GENUINE = "genuine"
    ALTERED = "altered"
    OTHER_KEY = "other_key"
    UNREADABLE = "unreadable"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """`fingerprint` is of the key that the document names, "" where it names none."""

    verdict: Verdict
    detail: str
    fingerprint: str = ""
    case: int | None = None
    as_of: str = ""


class Signer:
    """Signs with the key in `path`, which is made at the first use, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: Ed25519PrivateKey | None = None

    def public_key(self) -> bytes:
        """The 32 bytes of the public key. KeyFault, OSError."""
        return self._private().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def public_pem(self) -> str:
        """The public key as other programs read it (SubjectPublicKeyInfo, RFC 8410)."""
        return self._private().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, bundle: dict[str, Any]) -> dict[str, Any]:
        """The envelope: the bundle, and the signature of its canonical bytes. ValueError, KeyFault, OSError."""
        key = self.public_key()
        value = self._private().sign(canonical(bundle))
        signature = {"algorithm": ALGORITHM, "public_key": _b64(key), "fingerprint": fingerprint(key), "value": _b64(value)}
        return {"bundle": bundle, "signature": signature}

    def _private(self) -> Ed25519PrivateKey:
        if self._key is None:
            self._key = self._read() if self._path.exists() else self._make()
        return self._key

    def _read(self) -> Ed25519PrivateKey:
        try:
            key = load_pem_private_key(self._path.read_bytes(), password=None)
        except ValueError as error:
            raise KeyFault(f"{self._path}: holds no private key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFault(f"{self._path}: holds another kind of key, want {ALGORITHM}")
        return key

    def _make(self) -> Ed25519PrivateKey:
        """Written whole beside its place and then linked to it: a second process finds the first one's key, never half of one."""
        key = Ed25519PrivateKey.generate()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, self._path)
            except FileExistsError:
                return self._read()
        finally:
            draft.unlink()
        return key


def fingerprint(key: bytes) -> str:
    """The SHA-256 of the 32 bytes of a public key, in hexadecimal."""
    return hashlib.sha256(key).hexdigest()


def check(document: bytes, wanted: str = "") -> Checked:
    """What is to be thought of a file that says that it is an export; `wanted` is the fingerprint of the key that it must be
    signed with, without which only its own word says whose it is."""
    try:
        envelope = json.loads(document)
        signature, bundle = envelope["signature"], envelope["bundle"]
        key, value = (base64.b64decode(signature[name], validate=True) for name in ("public_key", "value"))
        public = Ed25519PublicKey.from_public_bytes(key)
        signed = canonical(bundle)
        about: dict[str, Any] = {"case": bundle["case"]["id"], "as_of": bundle["as_of"], "fingerprint": fingerprint(key)}
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        return Checked(verdict=Verdict.UNREADABLE, detail=f"is no export of a case ({type(error).__name__})")
    if signature.get("algorithm") != ALGORITHM:
        return Checked(verdict=Verdict.UNREADABLE, detail=f"is not signed with {ALGORITHM}")
    try:
        public.verify(value, signed)
    except InvalidSignature:
        return Checked(verdict=Verdict.ALTERED, detail="was altered after it was signed", **about)
    if wanted and wanted.strip().lower().replace(":", "") != about["fingerprint"]:
        return Checked(verdict=Verdict.OTHER_KEY, detail="is signed with another key than the one wanted", **about)
    return Checked(verdict=Verdict.GENUINE, detail="is as it was signed", **about)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
