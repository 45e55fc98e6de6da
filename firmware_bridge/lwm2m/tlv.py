"""LwM2M TLV: nested type, identifier, length, value (LwM2M 1.0, clause 6.4.3; 1.1 Core, clause 7.4.5).

0 type: bits 7-6 kind, bit 5 identifier of 16 bits, bits 4-3 width of the length, bits 2-0 the length where that width is 0
| identifier 1 or 2 | length 0 to 3 | value
"""

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.paths import MAX_ID
from telemetry.reason import Reason

__all__ = ["MAX_BYTES", "MAX_ENTRIES", "Tlv", "TlvKind", "encode_tlv", "parse_tlv"]

MAX_BYTES = 64 * 1024
MAX_ENTRIES = 4096


class TlvKind(IntEnum):
    """Bits 7-6 of the type."""

    OBJECT_INSTANCE = 0
    RESOURCE_INSTANCE = 1
    MULTIPLE_RESOURCE = 2
    RESOURCE = 3


_WITHIN = {  # what may stand within what (1.1 Core, table 7.4.5.-1); None is the payload itself
    None: frozenset(TlvKind),
    TlvKind.OBJECT_INSTANCE: frozenset({TlvKind.MULTIPLE_RESOURCE, TlvKind.RESOURCE}),
    TlvKind.MULTIPLE_RESOURCE: frozenset({TlvKind.RESOURCE_INSTANCE}),
}


class Tlv(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, with `parts` where it holds others, else with its `value`. It stood at `at`, `size` bytes with its head."""

    kind: TlvKind
    id: int
    value: bytes = b""
    parts: tuple["Tlv", ...] = ()
    at: int = 0
    size: int = 0


def parse_tlv(payload: bytes) -> tuple[Tlv, ...]:
    """The entries in `payload`, none where it is empty.

    ParseError: oversized (bytes or entries), truncated, bad_field (an entry where its kind may not stand, an identifier
    twice or 65535, object instances beside resources).
    """
    if len(payload) > MAX_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(payload)} bytes, want at most {MAX_BYTES}", MAX_BYTES)
    return _Reader(payload).entries(0, len(payload), None)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0

    def entries(self, at: int, end: int, within: TlvKind | None) -> tuple[Tlv, ...]:
        found: dict[int, Tlv] = {}
        while at < end:
            entry = self._entry(at, end, within)
            if entry.id in found:
                raise ParseError(Reason.BAD_FIELD, f"the identifier {entry.id} stands there twice", at)
            first = next(iter(found.values()), entry)
            if _level(first.kind) != _level(entry.kind):
                raise ParseError(Reason.BAD_FIELD, f"{entry.kind.name.lower()} beside {first.kind.name.lower()}", at)
            found[entry.id] = entry
            at += entry.size
        return tuple(found.values())

    def _entry(self, at: int, end: int, within: TlvKind | None) -> Tlv:
        self.count += 1
        if self.count > MAX_ENTRIES:
            raise ParseError(Reason.OVERSIZED, f"more than {MAX_ENTRIES} entries", at)
        head = self.data[at]
        kind = TlvKind(head >> 6)
        if kind not in _WITHIN[within]:
            raise ParseError(Reason.BAD_FIELD, f"{kind.name.lower()} may not stand here", at)
        id_size, length_size = 1 + (head >> 5 & 1), head >> 3 & 3
        start = at + 1 + id_size + length_size
        if start > end:
            raise ParseError(Reason.TRUNCATED, "an entry ends within its head", end)
        number = int.from_bytes(self.data[at + 1 : at + 1 + id_size], "big")
        length = int.from_bytes(self.data[start - length_size : start], "big") if length_size else head & 7
        if number == MAX_ID:
            raise ParseError(Reason.BAD_FIELD, f"the identifier {MAX_ID} is reserved", at + 1)
        if start + length > end:
            raise ParseError(Reason.TRUNCATED, f"an entry of {length} bytes, {end - start} are left", at)
        size = start + length - at
        if kind in _WITHIN:
            return Tlv(kind=kind, id=number, parts=self.entries(start, start + length, kind), at=at, size=size)
        return Tlv(kind=kind, id=number, value=self.data[start : start + length], at=at, size=size)


def _level(kind: TlvKind) -> int:
    """A resource stands on one level whether it has one value or several."""
    return TlvKind.RESOURCE if kind is TlvKind.MULTIPLE_RESOURCE else kind


def encode_tlv(entries: Sequence[Tlv]) -> bytes:
    """The payload that `parse_tlv` reads as `entries`, heads as short as they can be. ParseError: out_of_range, oversized."""
    return b"".join(_encoded(entry) for entry in entries)


def _encoded(entry: Tlv) -> bytes:
    if not 0 <= entry.id < MAX_ID:
        raise ParseError(Reason.OUT_OF_RANGE, f"identifier {entry.id}, want 0 to {MAX_ID - 1}")
    value = encode_tlv(entry.parts) if entry.kind in _WITHIN else entry.value
    if len(value) > MAX_BYTES:
        raise ParseError(Reason.OVERSIZED, f"a value of {len(value)} bytes, want at most {MAX_BYTES}")
    wide = entry.id > 0xFF
    length_size = 0 if len(value) < 8 else (len(value).bit_length() + 7) // 8
    head = entry.kind << 6 | wide << 5 | length_size << 3 | (0 if length_size else len(value))
    length = len(value).to_bytes(length_size, "big") if length_size else b""
    return bytes((head,)) + entry.id.to_bytes(1 + wide, "big") + length + value
