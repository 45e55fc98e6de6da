"""The wire log: what was heard on a link and when, one JSON object a line.

    {"t_ns": 1754550000000000000, "link": "tcp", "peer": "10.0.0.7:50312", "direction": "in", "hex": "", "event": "open"}
    {"t_ns": 1754550000003000000, "link": "tcp", "peer": "10.0.0.7:50312", "direction": "in", "hex": "7e0002..."}

`t_ns` is nanoseconds since the Unix epoch, UTC; `direction` is the agent's: `in` is from the device. A connection's
beginning and end are entries without bytes.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TextIO

import msgspec

from simulators.relay import Direction
from telemetry.clock import Clock

__all__ = ["LogTap", "WireEntry", "WireEvent", "WireLogError", "read_wire_log"]


class WireLogError(ValueError):
    """A line that is no wire log entry: file, line and what was wanted."""


class WireEvent(StrEnum):
    """What an entry tells."""

    DATA = "data"
    OPEN = "open"
    CLOSE = "close"


class WireEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One chunk of one direction of one connection, or the connection's beginning or end (`hex` is empty)."""

    t_ns: int
    link: str
    peer: str
    direction: Direction
    hex: str
    event: WireEvent = WireEvent.DATA

    @property
    def data(self) -> bytes:
        """The bytes themselves."""
        return bytes.fromhex(self.hex)

    def __post_init__(self) -> None:
        try:
            bytes.fromhex(self.hex)
        except ValueError as error:
            raise ValueError(f"hex: {error}") from error


_decoder = msgspec.json.Decoder(WireEntry)


def read_wire_log(path: Path) -> Iterator[WireEntry]:
    """The entries in file order; blank lines are passed over. WireLogError names the first line that is not one."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _decoder.decode(line)
            except (msgspec.MsgspecError, ValueError) as error:
                raise WireLogError(f"{path}:{number}: {error}; want t_ns, link, peer, direction in|out, hex") from error


class LogTap:
    """Writes what passes a relay to `out`, one line a chunk, and passes it on unchanged."""

    def __init__(self, out: TextIO, clock: Clock, link: str) -> None:
        self._out = out
        self._clock = clock
        self._link = link
        self.entries = 0
        self.bytes = 0

    async def take(self, peer: str, direction: Direction, data: bytes) -> bytes | None:
        """Log one chunk; `data` itself."""
        self._write(peer, direction, data)
        self.entries += 1
        self.bytes += len(data)
        return data

    def opened(self, peer: str) -> None:
        """Log that a peer connected."""
        self._write(peer, Direction.IN, b"", WireEvent.OPEN)

    def closed(self, peer: str) -> None:
        """Log that a peer's connection ended."""
        self._write(peer, Direction.IN, b"", WireEvent.CLOSE)

    def _write(self, peer: str, direction: Direction, data: bytes, event: WireEvent = WireEvent.DATA) -> None:
        entry = WireEntry(
            t_ns=self._clock.wall_ns(), link=self._link, peer=peer, direction=direction, hex=data.hex(), event=event
        )
        # One short write into the page cache a chunk, flushed so that a killed recorder keeps what it heard.
        self._out.write(msgspec.json.encode(entry).decode() + "\n")
        self._out.flush()
