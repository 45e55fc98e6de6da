"""Modbus file records, functions 20 and 21: how units keep what is larger than their registers, firmware among it.

    read    20, bytes of what follows 1, then for each record   6, file 2, record 2, registers 2
    data    20, bytes of what follows 1, then for each record   bytes 1 (1 + 2 x registers), 6, registers
    write   21, bytes of what follows 1, then for each record   6, file 2, record 2, registers 2, registers; the reply is its echo

Source: MODBUS Application Protocol V1.1b3, clauses 6.14 and 6.15. A record is one register; records are numbered 0 to
9999 within a file, files from 1 on. Units whose files have more records than that exist, so a larger number is not refused.
"""

import struct

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = [
    "MOST_READ",
    "MOST_WRITTEN",
    "FileData",
    "FilePart",
    "FileRead",
    "FileWrite",
    "build_file_reply",
    "build_file_request",
    "parse_file_reply",
    "parse_file_request",
]

_READ, _WRITE = 20, 21
_REFERENCE = 6  # clauses 6.14 and 6.15: always 6
_PART = struct.Struct(">BHHH")
_MOST_BYTES = 0xF5  # clauses 6.14 (byte count 07 to F5) and 6.15 (09 to FB; the smaller one serves both)
MOST_READ = (_MOST_BYTES - 2) // 2
"""Registers that one read of one record run brings at most."""
MOST_WRITTEN = (0xFB - _PART.size) // 2
"""Registers that one write of one record run takes at most."""


class FilePart(msgspec.Struct, frozen=True, kw_only=True):
    """`registers` registers of `file` from `record` on."""

    file: int
    record: int
    registers: int


class FileRead(msgspec.Struct, frozen=True, kw_only=True):
    """Function 20's request."""

    parts: tuple[FilePart, ...]


class FileData(msgspec.Struct, frozen=True, kw_only=True):
    """Function 20's reply: the registers' bytes of each part that was asked for, high byte first."""

    parts: tuple[bytes, ...]


class FileWrite(msgspec.Struct, frozen=True, kw_only=True):
    """Function 21's request, and its reply: each part with its registers' bytes."""

    parts: tuple[tuple[FilePart, bytes], ...]


def build_file_request(request: FileRead | FileWrite) -> bytes:
    """The request's PDU."""
    if isinstance(request, FileWrite):
        return build_file_reply(request)
    body = b"".join(_PART.pack(_REFERENCE, part.file, part.record, part.registers) for part in request.parts)
    return bytes((_READ, len(body))) + body


def build_file_reply(reply: FileData | FileWrite) -> bytes:
    """The reply's PDU."""
    if isinstance(reply, FileData):
        body = b"".join(bytes((1 + len(data), _REFERENCE)) + data for data in reply.parts)
        return bytes((_READ, len(body))) + body
    body = b"".join(_PART.pack(_REFERENCE, part.file, part.record, part.registers) + data for part, data in reply.parts)
    return bytes((_WRITE, len(body))) + body


def parse_file_request(pdu: bytes) -> FileRead | FileWrite:
    """The PDU of a request by function 20 or 21. ParseError: truncated, bad_length, bad_field."""
    if pdu[0] == _WRITE:
        return _parse_write(pdu)
    _whole(pdu)
    if (len(pdu) - 2) % _PART.size or len(pdu) == 2:
        raise ParseError(Reason.BAD_LENGTH, f"{pdu[1]} bytes, want {_PART.size} for each record", 1)
    return FileRead(parts=tuple(_part(pdu, at) for at in range(2, len(pdu), _PART.size)))


def parse_file_reply(pdu: bytes) -> FileData | FileWrite:
    """The PDU of a reply to function 20 or 21. ParseError: truncated, bad_length, bad_field."""
    if pdu[0] == _WRITE:
        return _parse_write(pdu)
    _whole(pdu)
    parts = []
    at = 2
    while at < len(pdu):
        size = pdu[at]
        if size < 1 or size % 2 == 0 or at + 1 + size > len(pdu):
            raise ParseError(Reason.BAD_LENGTH, f"a record of {size} bytes with {len(pdu) - at - 1} left", at)
        if pdu[at + 1] != _REFERENCE:
            raise ParseError(Reason.BAD_FIELD, f"reference type {pdu[at + 1]}, want {_REFERENCE}", at + 1)
        parts.append(pdu[at + 2 : at + 1 + size])
        at += 1 + size
    return FileData(parts=tuple(parts))


def _parse_write(pdu: bytes) -> FileWrite:
    _whole(pdu)
    parts = []
    at = 2
    while at < len(pdu):
        part = _part(pdu, at)
        end = at + _PART.size + 2 * part.registers
        if end > len(pdu):
            raise ParseError(Reason.TRUNCATED, f"{part.registers} registers, but {len(pdu) - at - _PART.size} bytes left", at)
        parts.append((part, pdu[at + _PART.size : end]))
        at = end
    return FileWrite(parts=tuple(parts))


def _part(pdu: bytes, at: int) -> FilePart:
    if at + _PART.size > len(pdu):
        raise ParseError(Reason.TRUNCATED, f"{len(pdu) - at} bytes of a record's head, want {_PART.size}", at)
    reference, file, record, registers = _PART.unpack_from(pdu, at)
    if reference != _REFERENCE:
        raise ParseError(Reason.BAD_FIELD, f"reference type {reference}, want {_REFERENCE}", at)
    return FilePart(file=file, record=record, registers=registers)


def _whole(pdu: bytes) -> None:
    if len(pdu) < 2:
        raise ParseError(Reason.TRUNCATED, f"{len(pdu)} bytes, want at least 2", len(pdu))
    if len(pdu) != 2 + pdu[1]:
        raise ParseError(Reason.BAD_LENGTH, f"{len(pdu) - 2} bytes, want {pdu[1]}", 1)
