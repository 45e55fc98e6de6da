"""Where an update lies in the file records of a Modbus device (functions 20 and 21); the layout is citynerve's own.

    file 1       the package's header, 88 records              written in one piece
    file 2       the standing, 10 records (see standing.py)    read
    file 3       record 0: an order (see Order)                written
    file 16 on   the image; chunk n begins at record (n mod f) x r of file 16 + n div f, where r is the records of a chunk
                 and f = 10000 div r

A record is 16 bits, high byte first; an image with an odd size ends in a zero byte more. A chunk may be written in pieces,
in order; it counts when its last piece is there. Source: MODBUS Application Protocol V1.1b3, clauses 6.14 and 6.15 (records 0
to 9999, at most 122 registers written and 121 read in one request).
"""

import struct
from collections.abc import Iterator
from enum import IntEnum

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.update.manifest import Manifest
from telemetry.reason import Reason

__all__ = [
    "HEADER_FILE",
    "IMAGE_FILE",
    "ORDER_FILE",
    "STANDING_FILE",
    "Order",
    "Piece",
    "bytes_of",
    "chunk_at",
    "pieces",
    "words_of",
]

HEADER_FILE, STANDING_FILE, ORDER_FILE, IMAGE_FILE = 1, 2, 3, 16
_RECORDS = 10_000
_MOST_WORDS = 120


class Order(IntEnum):
    """What file 3 is told."""

    VERIFY = 1
    START = 2
    CONFIRM = 3
    REVERT = 4


class Piece(msgspec.Struct, frozen=True):
    """One write request: `words` from `record` of `file` on."""

    file: int
    record: int
    words: tuple[int, ...]


def words_of(data: bytes) -> tuple[int, ...]:
    """Bytes as records; an odd last byte is the high one of its record."""
    even = data + b"\0" * (len(data) % 2)
    return struct.unpack(f">{len(even) // 2}H", even)


def bytes_of(words: tuple[int, ...]) -> bytes:
    """Records as bytes."""
    return struct.pack(f">{len(words)}H", *words)


def pieces(manifest: Manifest, chunk: int, data: bytes) -> Iterator[Piece]:
    """The writes that carry `data`, the image's chunk `chunk`."""
    records = manifest.chunk_bytes // 2
    files, place = divmod(chunk, _RECORDS // records)
    words = words_of(data)
    for at in range(0, len(words), _MOST_WORDS):
        yield Piece(IMAGE_FILE + files, place * records + at, words[at : at + _MOST_WORDS])


def chunk_at(manifest: Manifest, file: int, record: int) -> tuple[int, int]:
    """Which chunk lies at a record, and at which of its bytes. ParseError(out_of_range) where none does."""
    records = manifest.chunk_bytes // 2
    in_file = _RECORDS // records
    place, at = divmod(record, records)
    chunk = (file - IMAGE_FILE) * in_file + place
    if file < IMAGE_FILE or place >= in_file or chunk >= manifest.chunks:
        raise ParseError(Reason.OUT_OF_RANGE, f"no chunk at record {record} of file {file}")
    return chunk, 2 * at
