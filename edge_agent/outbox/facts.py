"""Single facts of an outbox, each with a checksum: whose it is, its lanes' accounts, how far a rescue has come.

All of them fit on one page of the file, so that a commit that changes several still writes one.
"""

from typing import TypeVar

import apsw
import google_crc32c
import msgspec

__all__ = ["DamagedError", "Facts", "checksum"]

_T = TypeVar("_T")


class DamagedError(apsw.CorruptError):
    """The file can be read, but what it says cannot be true."""


def checksum(*parts: bytes) -> int:
    """CRC32C of the parts, one after the other."""
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, part)
    return crc


class Facts:
    """Rows (name, value as MessagePack, CRC32C of both)."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def put(self, name: str, value: object) -> None:
        """Write a fact inside the transaction that is open."""
        packed = msgspec.msgpack.encode(value)
        self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?, ?)", (name, packed, checksum(name.encode(), packed)))

    def get(self, name: str, kind: type[_T]) -> _T:
        """A fact that every outbox has; DamagedError where it is missing or not what was written."""
        row = self._db.execute("SELECT value, crc FROM fact WHERE name = ?", (name,)).fetchone()
        if row is None or not isinstance(row[0], bytes) or checksum(name.encode(), row[0]) != row[1]:
            raise DamagedError(f"fact {name!r} is missing or not what was written")
        try:
            return msgspec.msgpack.decode(row[0], type=kind)
        except msgspec.MsgspecError as error:
            raise DamagedError(f"fact {name!r}: {error}") from error
