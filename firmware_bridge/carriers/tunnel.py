"""A meter frame that vendors tunnel through CTWing as RAWData, seen in pushes only (no published specification).

    68 | 11 | blocks: d2, id 2, length 1, value | sum 1 | 16

The byte 11 may be a type. The sum is that of all bytes before it, modulo 256. What the ids mean no source tells.
"""

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["TunnelFrame", "encode_tunnel", "parse_tunnel"]

_START, _KIND, _BLOCK, _END = 0x68, 0x11, 0xD2, 0x16


class TunnelFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The blocks in order, as (id, value)."""

    blocks: tuple[tuple[int, bytes], ...]


def parse_tunnel(raw: bytes) -> TunnelFrame:
    """The frame in `raw`. ParseError: truncated, bad_start, bad_field, bad_checksum."""
    if len(raw) < 4:
        raise ParseError(Reason.TRUNCATED, f"{len(raw)} bytes, want at least 4", len(raw))
    if raw[0] != _START or raw[1] != _KIND:
        raise ParseError(Reason.BAD_START, f"{raw[:2].hex()}, want 6811", 0)
    if raw[-1] != _END:
        raise ParseError(Reason.BAD_FIELD, f"ends in {raw[-1]:02x}, want 16", len(raw) - 1)
    if raw[-2] != sum(raw[:-2]) & 0xFF:
        raise ParseError(Reason.BAD_CHECKSUM, f"sum {raw[-2]:02x}, want {sum(raw[:-2]) & 0xFF:02x}", len(raw) - 2)
    blocks: list[tuple[int, bytes]] = []
    at, end = 2, len(raw) - 2
    while at < end:
        if raw[at] != _BLOCK:
            raise ParseError(Reason.BAD_FIELD, f"a block begins with {raw[at]:02x}, want d2", at)
        if at + 4 > end or at + 4 + raw[at + 3] > end:
            raise ParseError(Reason.TRUNCATED, "the frame ends within a block", at)
        size = raw[at + 3]
        blocks.append((int.from_bytes(raw[at + 1 : at + 3], "big"), raw[at + 4 : at + 4 + size]))
        at += 4 + size
    return TunnelFrame(blocks=tuple(blocks))


def encode_tunnel(frame: TunnelFrame) -> bytes:
    """The bytes that `parse_tunnel` reads as `frame`; ids up to 65535, values up to 255 bytes."""
    body = bytes((_START, _KIND)) + b"".join(
        bytes((_BLOCK,)) + number.to_bytes(2, "big") + bytes((len(value),)) + value for number, value in frame.blocks
    )
    return body + bytes((sum(body) & 0xFF, _END))
