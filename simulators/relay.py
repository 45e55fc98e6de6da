"""A relay between a device and the agent: what passes is shown to, and may be delayed or held by, a `Tap`."""

import asyncio
from enum import StrEnum
from typing import Protocol

from simulators.listener import Address, Listener, close_quietly, reset

__all__ = ["Direction", "Tap", "TcpRelay", "UdpRelay"]

_CHUNK = 65536
_PEERS_MAX = 4096
"""UDP peers that are remembered at once; a recorder must not grow with whoever shouts at its port."""


class Direction(StrEnum):
    """As the agent sees it: `in` is from the device to the agent."""

    IN = "in"
    OUT = "out"


class Tap(Protocol):
    """Sees each connection begin and end, and each chunk before it goes on."""

    async def take(self, peer: str, direction: Direction, data: bytes) -> bytes | None:
        """What goes on in place of `data` (empty: nothing), after whatever wait is due; None ends the connection."""
        ...

    def opened(self, peer: str) -> None:
        """A peer has connected. Datagrams have no connections."""
        ...

    def closed(self, peer: str) -> None:
        """A peer's connection has ended, whoever ended it."""
        ...


class TcpRelay:
    """Listens for devices and connects each one to `target`; `peer` is the device's host:port."""

    def __init__(self, target: Address, tap: Tap, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._target = target
        self._tap = tap
        self.listener = Listener(self._handle, host, port)

    async def start(self) -> Address:
        """Bind; the address devices should call."""
        return await self.listener.start()

    async def stop(self) -> None:
        """Close the port and every connection on both sides."""
        await self.listener.stop()

    async def __aenter__(self) -> "TcpRelay":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port, *_ = writer.get_extra_info("peername")
        peer = f"{host}:{port}"
        self._tap.opened(peer)
        try:
            await self._relay(peer, reader, writer)
        finally:
            self._tap.closed(peer)

    async def _relay(self, peer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(peer, Direction.IN, reader, far_writer))
                group.create_task(self._pump(peer, Direction.OUT, far_reader, writer))
        except* OSError:
            reset(writer)
        finally:
            await close_quietly(far_writer)

    async def _pump(self, peer: str, way: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            passed = await self._tap.take(peer, way, data)
            if passed is None:
                raise ConnectionAbortedError(f"{peer}: cut")
            if passed:
                writer.write(passed)
                await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class UdpRelay:
    """Listens for datagrams and passes each on to `target` from one socket per peer, and the answers back."""

    def __init__(self, target: Address, tap: Tap, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._target = target
        self._tap = tap
        self._wanted: Address = (host, port)
        self._near: asyncio.DatagramTransport | None = None
        self._far: dict[Address, asyncio.DatagramTransport] = {}
        self._queue: asyncio.Queue[tuple[Address, Direction, bytes]] = asyncio.Queue(maxsize=10_000)
        self.overflow = 0

    async def start(self) -> Address:
        """Bind; the address devices should send to."""
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(lambda: _Inbox(self, None), local_addr=self._wanted)
        host, port, *_ = self._near.get_extra_info("sockname")
        return host, port

    async def run(self) -> None:
        """Pass datagrams on until cancelled."""
        while True:
            peer, way, data = await self._queue.get()
            if way is Direction.IN:
                await self._connect(peer)
            passed = await self._tap.take(f"{peer[0]}:{peer[1]}", way, data)
            if passed:
                self.pass_on(peer, way, passed)

    def pass_on(self, peer: Address, way: Direction, data: bytes) -> None:
        """Send one datagram on; nothing happens where its peer has been forgotten."""
        if way is Direction.OUT and self._near is not None:
            self._near.sendto(data, peer)
        elif way is Direction.IN and peer in self._far:
            self._far[peer].sendto(data)

    async def stop(self) -> None:
        """Close every socket."""
        for transport in (self._near, *self._far.values()):
            if transport is not None:
                transport.close()
        await asyncio.sleep(0)  # the loop closes datagram sockets on its next turn

    def hear(self, peer: Address, way: Direction, data: bytes) -> None:
        """Queue one datagram; when nobody keeps up it is dropped and counted, as a network would."""
        try:
            self._queue.put_nowait((peer, way, data))
        except asyncio.QueueFull:
            self.overflow += 1

    async def _connect(self, peer: Address) -> None:
        if peer not in self._far:
            if len(self._far) >= _PEERS_MAX:
                self._far.pop(next(iter(self._far))).close()
            loop = asyncio.get_running_loop()
            self._far[peer], _ = await loop.create_datagram_endpoint(lambda: _Inbox(self, peer), remote_addr=self._target)


class _Inbox(asyncio.DatagramProtocol):
    """Hands datagrams to the relay: from devices where `peer` is None, else the agent's answers to that peer."""

    def __init__(self, relay: UdpRelay, peer: Address | None) -> None:
        self._relay = relay
        self._peer = peer

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        if self._peer is not None:
            self._relay.hear(self._peer, Direction.OUT, data)
        else:
            self._relay.hear((str(addr[0]), addr[1]), Direction.IN, data)
