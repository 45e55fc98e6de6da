"""Stations that call by UDP: each datagram holds whole frames, and is answered to where it came from."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

from edge_agent.attempt import attempt
from edge_agent.drivers.base import Tally
from edge_agent.drivers.stations.dialogue import Dialogue, Reply, StationLimits
from firmware_bridge.errors import ParseError, Refused

__all__ = ["datagrams"]

_WAITING = 256
"""Datagrams not yet read, and answers not yet due; what comes on top is dropped and counted: its sender sends again."""
_MOST_PEERS = 256

FrameT = TypeVar("FrameT")
Address = tuple[str, int]


@contextlib.asynccontextmanager
async def datagrams(
    bound: Address, make: Callable[[str], Dialogue[FrameT]], limits: StationLimits, tally: Tally
) -> AsyncIterator[None]:
    """Serve UDP at `bound` while the context is open; OSError where the port cannot be had."""
    loop = asyncio.get_running_loop()
    inbox = _Inbox(tally)
    transport, _ = await loop.create_datagram_endpoint(lambda: inbox, bound)
    try:
        async with asyncio.TaskGroup() as tasks:
            post = _Post(make, limits, tally, transport)
            serving = [tasks.create_task(post.read(inbox.queue)), tasks.create_task(post.answer())]
            try:
                yield
            finally:
                for task in serving:
                    task.cancel()
    finally:
        transport.close()


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self, tally: Tally) -> None:
        self.queue: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue(_WAITING)
        self._tally = tally

    def datagram_received(self, data: bytes, addr: Address) -> None:
        try:
            self.queue.put_nowait((data, addr))
        except asyncio.QueueFull:
            self._tally.overflows += 1


class _Post(Generic[FrameT]):
    """A dialogue for each of the peers heard last, and the answers that are due."""

    def __init__(
        self, make: Callable[[str], Dialogue[FrameT]], limits: StationLimits, tally: Tally, transport: asyncio.DatagramTransport
    ) -> None:
        self._make = make
        self._limits = limits
        self._tally = tally
        self._transport = transport
        self._peers: OrderedDict[Address, Dialogue[FrameT]] = OrderedDict()
        self._due: asyncio.Queue[tuple[Reply, Address]] = asyncio.Queue(_WAITING)

    async def read(self, queue: asyncio.Queue[tuple[bytes, Address]]) -> None:
        """Take datagrams in their order; when nothing comes for a while, tell stations that wait to go on."""
        while True:
            lingers = any(dialogue.lingers for dialogue in self._peers.values())
            try:
                data, peer = await attempt(asyncio.wait_for(queue.get(), self._limits.linger_s if lingers else None))
            except TimeoutError:
                await self._settle()
                continue
            await self._take(data, peer)

    async def _settle(self) -> None:
        for peer, dialogue in self._peers.items():
            try:
                await self._put(await dialogue.overdue(), peer)
            except ParseError as error:
                dialogue.refuse(error.reason, str(error))

    async def _take(self, data: bytes, peer: Address) -> None:
        dialogue = self._peers.get(peer)
        if dialogue is None:
            dialogue = self._make(peer[0])
        for item in (*dialogue.framer.feed(data), *dialogue.framer.idle()):
            if isinstance(item, Refused):
                dialogue.refuse(item.reason, item.detail, item.raw)
                continue
            try:
                replies = await dialogue.take(item, dialogue.clock.wall_ns())
            except ParseError as error:
                dialogue.refuse(error.reason, str(error))
                continue
            # Only who is known is remembered: a sender's address is easily made up.
            self._peers[peer] = dialogue
            self._peers.move_to_end(peer)
            if len(self._peers) > _MOST_PEERS:
                self._peers.popitem(last=False)
            await self._put(replies, peer)

    async def _put(self, replies: Sequence[Reply], peer: Address) -> None:
        for reply in replies:
            await self._due.put((reply, peer))

    async def answer(self) -> None:
        """Send each answer when its readings are committed."""
        while True:
            reply, peer = await self._due.get()
            for verdict in reply.verdicts:
                await verdict
            self._transport.sendto(reply.data, peer)
