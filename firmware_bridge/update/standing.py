"""Where a device stands with an update, in the words of its bootloader; a session reads nothing else of it.

On a register bus or in a file of records a standing is 20 bytes, big-endian:

    0 phase u16 | 2 refusal u16 | 4 running u32 | 8 offered u32 | 12 next chunk u32 | 16 first four bytes of the image's SHA-256
"""

import struct
from enum import IntEnum

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.update.manifest import Manifest
from telemetry.reason import Reason

__all__ = ["STANDING_BYTES", "Own", "Phase", "Refusal", "Standing", "judge", "pack_standing", "parse_standing"]


class Phase(IntEnum):
    """How far the image in the spare slot has come. A device in any phase but TRIAL runs its confirmed image."""

    EMPTY = 0
    RECEIVING = 1
    VERIFIED = 2
    TRIAL = 3
    REFUSED = 4
    BUSY = 5


class Refusal(IntEnum):
    """Why a device did not keep an image."""

    NONE = 0
    BAD_MANIFEST = 1
    BAD_SIGNATURE = 2
    WRONG_MODEL = 3
    WRONG_HARDWARE = 4
    NOT_NEWER = 5
    TOO_LARGE = 6
    BAD_IMAGE = 7
    NOT_CONFIRMED = 8
    CANCELLED = 9
    UNTOLD = 10

    @property
    def reason(self) -> Reason:
        """The product's word for it."""
        return _REASONS[self]

    @property
    def words(self) -> str:
        """The sentence for people."""
        return _WORDS[self]


_REASONS = {
    Refusal.NONE: Reason.DEVICE_EXCEPTION,
    Refusal.BAD_MANIFEST: Reason.BAD_FIELD,
    Refusal.BAD_SIGNATURE: Reason.NOT_AUTHENTICATED,
    Refusal.WRONG_MODEL: Reason.NOT_ALLOWED,
    Refusal.WRONG_HARDWARE: Reason.NOT_ALLOWED,
    Refusal.NOT_NEWER: Reason.EXPIRED,
    Refusal.TOO_LARGE: Reason.OVERSIZED,
    Refusal.BAD_IMAGE: Reason.BAD_CHECKSUM,
    Refusal.NOT_CONFIRMED: Reason.DEVICE_EXCEPTION,
    Refusal.CANCELLED: Reason.INTERRUPTED,
    Refusal.UNTOLD: Reason.DEVICE_EXCEPTION,
}
_WORDS = {
    Refusal.NONE: "the device refused and gave no reason",
    Refusal.BAD_MANIFEST: "the header does not make sense to the device",
    Refusal.BAD_SIGNATURE: "the signature is not of a key that the device knows",
    Refusal.WRONG_MODEL: "the package is for another model",
    Refusal.WRONG_HARDWARE: "the package is for other hardware",
    Refusal.NOT_NEWER: "the device has this version or a newer one",
    Refusal.TOO_LARGE: "the image does not fit the device's slot",
    Refusal.BAD_IMAGE: "what the device stored is not what the header promised",
    Refusal.NOT_CONFIRMED: "the new image was tried and not confirmed; the device is back at the old one",
    Refusal.CANCELLED: "the update was cancelled at the device",
    Refusal.UNTOLD: "the device says that the update failed, and not why",
}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of itself. `running` is the version that runs now, `offered` that in the spare slot (0 none),
    `next_chunk` the first chunk it does not have. `digest`: the first four bytes of the SHA-256 of the image in the spare
    slot, or in phase EMPTY of the one that runs; empty where a language has no place for it."""

    phase: Phase
    running: int
    offered: int = 0
    next_chunk: int = 0
    refusal: Refusal = Refusal.NONE
    digest: bytes = b""

    def is_of(self, manifest: Manifest) -> bool:
        """Whether the digest, as far as it is told, is that of the manifest's image."""
        return not self.digest or self.digest == manifest.sha256[:4]


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What a device knows of itself when a package is offered; `room_bytes` is what its spare slot holds."""

    model: str
    hardware: str
    version: int
    room_bytes: int


def judge(manifest: Manifest, own: Own) -> Refusal:
    """Whether a device takes a package whose signature is right; NONE where it does."""
    if manifest.model != own.model:
        return Refusal.WRONG_MODEL
    if manifest.hardware != own.hardware:
        return Refusal.WRONG_HARDWARE
    if manifest.version <= own.version:
        return Refusal.NOT_NEWER
    return Refusal.TOO_LARGE if manifest.size > own.room_bytes else Refusal.NONE


_FORM = struct.Struct(">HHIII4s")
STANDING_BYTES = _FORM.size


def pack_standing(standing: Standing) -> bytes:
    """The 20 bytes of a standing."""
    return _FORM.pack(standing.phase, standing.refusal, standing.running, standing.offered, standing.next_chunk, standing.digest)


def parse_standing(data: bytes) -> Standing:
    """The standing in 20 bytes. ParseError: truncated, bad_length, bad_field (a phase or refusal without a name)."""
    if len(data) != STANDING_BYTES:
        reason = Reason.TRUNCATED if len(data) < STANDING_BYTES else Reason.BAD_LENGTH
        raise ParseError(reason, f"{len(data)} bytes, want {STANDING_BYTES}", min(len(data), STANDING_BYTES))
    phase, refusal, running, offered, next_chunk, digest = _FORM.unpack(data)
    if phase not in Phase._value2member_map_ or refusal not in Refusal._value2member_map_:
        raise ParseError(Reason.BAD_FIELD, f"phase {phase}, refusal {refusal}: one of them has no name", 0)
    return Standing(
        phase=Phase(phase), refusal=Refusal(refusal), running=running, offered=offered, next_chunk=next_chunk, digest=digest
    )
