"""How far the numbers and the commands have come, told by another file than the one that holds them.

It is written after each commit and never synced: after a power cut it may be behind, never ahead. Where it is ahead, the
outbox has lost what it had already synced (a torn or missing journal, an old copy), and its next numbers are already
somebody else's.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from edge_agent.outbox.facts import checksum
from telemetry.records import Lane

__all__ = ["Mark", "MarkFile", "read_mark"]

_SIZE = 256


class Mark(msgspec.Struct, frozen=True):
    """The next number of each lane of an epoch, and the counter of the last command."""

    epoch: str
    next_seqs: dict[Lane, int]
    counter: int = 0


class MarkFile:
    """The file, open for writing."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, epoch: str, next_seqs: Mapping[Lane, int], counter: int) -> None:
        """Remember where lanes and commands are. It is a witness, not a store: a disk that refuses it refuses nothing else."""
        packed = msgspec.msgpack.encode(Mark(epoch, dict(next_seqs), counter))
        line = checksum(packed).to_bytes(4, "big") + len(packed).to_bytes(2, "big") + packed
        with suppress(OSError):
            os.pwrite(self._handle, line.ljust(_SIZE, b"\0"), 0)

    def close(self) -> None:
        """Let go of the file; closing twice is no mistake."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_mark(path: Path) -> Mark | None:
    """What the file says; None where it is not there or not whole."""
    try:
        data = path.read_bytes()[:_SIZE]
        packed = data[6 : 6 + int.from_bytes(data[4:6], "big")]
        return msgspec.msgpack.decode(packed, type=Mark) if checksum(packed) == int.from_bytes(data[:4], "big") else None
    except (OSError, msgspec.MsgspecError):
        return None
