"""Lines that misbehave: a TCP proxy that delays, throttles, cuts, resets or goes deaf, and noise for serial lines."""

import asyncio
import random
from enum import StrEnum

import msgspec

from simulators.listener import Address
from simulators.relay import Direction, TcpRelay

__all__ = ["FaultyProxy", "Impairment", "Mode", "Noise"]


class Mode(StrEnum):
    """What the line does with what it is given."""

    PASS = "pass"  # noqa: S105 (not a password: bytes pass)
    HALF_OPEN = "half_open"  # swallows everything in both directions and keeps the connection open
    CUT = "cut"  # ends the connection at the next chunk, which is lost


class Impairment(msgspec.Struct, frozen=True, kw_only=True):
    """How bad a line is. `rate_bytes_s` 0 means unlimited; `cut_after_bytes` 0 means never, counted per direction."""

    mode: Mode = Mode.PASS
    delay_s: float = 0.0
    rate_bytes_s: float = 0.0
    cut_after_bytes: int = 0


class FaultyProxy:
    """A TCP proxy before `target` whose `impairment` may be changed while it runs.

    `reset()` breaks every connection at once with a TCP reset; `cuts` counts connections that it ended.
    """

    def __init__(self, target: Address, impairment: Impairment | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.impairment = impairment or Impairment()
        self._passed: dict[tuple[str, Direction], int] = {}
        self._relay = TcpRelay(target, self, host=host, port=port)
        self.cuts = 0
        self.swallowed_bytes = 0

    async def start(self) -> Address:
        """Bind; the address to give to whoever shall suffer."""
        return await self._relay.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._relay.stop()

    async def __aenter__(self) -> "FaultyProxy":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._relay.listener.address

    def reset(self) -> None:
        """Break every connection now."""
        self.cuts += 1
        self._relay.listener.drop_all()

    async def take(self, peer: str, direction: Direction, data: bytes) -> bytes | None:
        """One chunk through the present impairment (the `Tap` of its relay)."""
        bad = self.impairment
        if bad.delay_s:
            await asyncio.sleep(bad.delay_s)
        if bad.rate_bytes_s:
            await asyncio.sleep(len(data) / bad.rate_bytes_s)
        if bad.mode is Mode.HALF_OPEN:
            self.swallowed_bytes += len(data)
            return b""
        if bad.mode is Mode.CUT or (bad.cut_after_bytes and self._too_much(peer, direction, len(data))):
            self.cuts += 1
            return None
        return data

    def _too_much(self, peer: str, direction: Direction, size: int) -> bool:
        """Whether this chunk takes one direction of one connection beyond its share."""
        key = (peer, direction)
        passed = self._passed.pop(key, 0) + size
        if passed > self.impairment.cut_after_bytes:
            return True
        self._passed[key] = passed
        return False


class Noise:
    """What a badly terminated RS-485 line does to bytes: flips bits and puts stray bytes before a frame.

    `flip` and `stray` are chances from 0 to 1, per frame. The same seed gives the same noise.
    """

    def __init__(self, seed: str, *, flip: float = 0.5, stray: float = 0.5) -> None:
        self._random = random.Random(seed)  # noqa: S311 (noise wants to be repeatable, not secret)
        self._flip = flip
        self._stray = stray
        self.spoiled = 0

    def spoil(self, frame: bytes) -> bytes:
        """`frame` as the other end hears it."""
        out = bytearray(frame)
        if out and self._random.random() < self._flip:
            out[self._random.randrange(len(out))] ^= 1 << self._random.randrange(8)
        if self._random.random() < self._stray:
            out[:0] = self._random.randbytes(self._random.randint(1, 4))
        self.spoiled += bytes(out) != frame
        return bytes(out)

    def garbage(self, size: int) -> bytes:
        """`size` bytes of nothing in particular."""
        return self._random.randbytes(size)
