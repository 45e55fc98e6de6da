"""Lines that misbehave: proxies that delay, throttle, go deaf, cut, reset or refuse, and noise for serial lines.

The faults are a link's, not a connection's: its rate is shared by all connections, and what does not fit into it waits
with whoever sends, because the proxy holds only a few KiB of each.
"""

import asyncio
import random
import socket
from collections.abc import Iterable

from simulators.bad_link import BadLink, Connection, FaultCounts, Impairment, Mode, Stream
from simulators.listener import Address, Listener, keep_small, reset
from simulators.relay import Direction

__all__ = ["FaultCounts", "FaultyProxy", "Impairment", "Mode", "Noise"]

_BUFFER_BYTES = 4096
_READER_LIMIT = 65536


class FaultyProxy:
    """A TCP proxy before `target`, as bad as it was last told to be. The same seed draws the same jitter and the same
    bytes to break at.

    Direction IN is from the caller to the target, OUT the way back. `buffer_bytes` is near what it holds of each
    connection and direction besides what a delay keeps under way.
    """

    def __init__(
        self,
        target: Address,
        impairment: Impairment | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | str = 0,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> None:
        self._target = target
        self._link = BadLink(impairment or Impairment(), seed)
        self._buffer_bytes = buffer_bytes
        self._connections: set[Connection] = set()
        self._listener = Listener(self._serve, host, port, buffer_bytes=buffer_bytes)

    async def start(self) -> Address:
        """Bind; the address to give to whoever shall suffer."""
        await self._listener.start()
        await self._follow()
        return self.address

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._listener.stop()

    async def __aenter__(self) -> "FaultyProxy":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._listener.address

    @property
    def counts(self) -> FaultCounts:
        """What it did so far."""
        return self._link.counts

    async def change(self, impairment: Impairment | None = None, way: Direction | None = None) -> None:
        """Be so bad from now on, in one direction or both; sound where it is not said how."""
        for each in Direction if way is None else (way,):
            self._link.change(each, impairment or Impairment())
        await self._follow()

    async def play(self, steps: Iterable[tuple[float, Impairment]]) -> None:
        """Be so bad for so many seconds, step by step; with `itertools.cycle`, a link that flaps."""
        for seconds, impairment in steps:
            await self.change(impairment)
            await asyncio.sleep(seconds)

    def reset(self) -> None:
        """Break every connection now; new ones are welcome."""
        self._end_all(Mode.RESET)

    def point_to(self, target: Address) -> None:
        """Connect elsewhere from now on; the connections there are stay where they are."""
        self._target = target

    async def _follow(self) -> None:
        """The port is open exactly while neither direction is down."""
        down = next((bad.mode for bad in map(self._link.bad, Direction) if bad.down), None)
        if down is None:
            await self._listener.reopen()
        else:
            self._listener.shut()
            self._end_all(down)

    def _end_all(self, how: Mode) -> None:
        for connection in self._connections:
            connection.end(how)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await self._connect()
        except OSError:
            self._link.counts.unreachable += 1
            reset(writer)
            return
        self._link.counts.connections += 1
        connection = Connection(self._link, (reader, writer), far)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    async def _connect(self) -> Stream:
        loop = asyncio.get_running_loop()
        host, port = self._target
        family, kind, protocol, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
        far = socket.socket(family, kind, protocol)
        try:
            keep_small(far, self._buffer_bytes)
            far.settimeout(0)
            await loop.sock_connect(far, address)
        except BaseException:
            far.close()
            raise
        return await asyncio.open_connection(sock=far, limit=self._buffer_bytes or _READER_LIMIT)


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
