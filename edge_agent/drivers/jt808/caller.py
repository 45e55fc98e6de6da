"""The platform's own word on a JT/T 808 connection: orders and packages to its terminals, each until it is answered."""

import asyncio
from collections.abc import Iterable, Sequence

from edge_agent.drivers.jt808.requests import Request, Requests
from firmware_bridge.jt808.frames import Frame
from firmware_bridge.jt808.messages import Message
from firmware_bridge.jt808.orders import Order
from firmware_bridge.jt808.packets import Packets

__all__ = ["Caller"]

_WINDOW = 8
"""Packets that wait for their answers at a time; a terminal's modem keeps few of them."""
_TRIES = 3
_MOST_RESENT = 512
"""Packets that one 0x0005 gets; a terminal that wants more asks again."""


class Caller:
    """What one connection's `Session` says by itself. TCP sends again what the network loses, so an order is sent once; packets
    that a terminal does not confirm are sent again with growing patience, T(n+1) = T(n) * (n + 1) (clause 5)."""

    def __init__(self, answer_s: float, drain_s: float) -> None:
        self._answer_s, self._drain_s = answer_s, drain_s
        self._requests = Requests()
        self._writer: asyncio.StreamWriter | None = None
        self._serial = 0

    def attach(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def detach(self) -> None:
        """The connection is gone: whoever waits is told."""
        self._writer = None
        self._requests.lose_all()

    def take_serials(self, count: int = 1) -> int:
        """The first of `count` serial numbers in a row, ours from now on."""
        first = self._serial + 1 & 0xFFFF
        self._serial = self._serial + count & 0xFFFF
        return first

    def hear(self, frame: Frame, message: Message) -> None:
        """A message that may answer something."""
        self._requests.hear(frame, message)

    async def ask(self, phone: str, version: int, order: Order) -> Request | None:
        """Send an order and wait `answer_s` for what ends it; None where too many wait already. ParseError as `Packets`."""
        request = self._begin(phone, version, order)
        if request is None:
            return None
        loop = asyncio.get_running_loop()
        until = loop.time() + self._answer_s
        try:
            await self._write(request.frames)
            while not request.ended and await request.change(until - loop.time()):
                pass
        finally:
            self._requests.close(request)
        return request

    async def deliver(self, phone: str, version: int, order: Order, sent: asyncio.Event) -> Request | None:
        """Send a message of many packets, a window of them at a time. Terminals may confirm each packet or all of them once at
        the end: one that confirms none within `answer_s` is given the rest at once. `sent` is set when every packet is out."""
        request = self._begin(phone, version, order)
        if request is None:
            return None
        try:
            await self._send_packets(request)
            if not request.ended:
                sent.set()
                await self._await_confirmation(request)
        finally:
            self._requests.close(request)
        return request

    async def resend(self, frame: Frame, first_serial: int, numbers: Sequence[int]) -> bool:
        """Send the packets again that a terminal misses; False where they are not kept any more."""
        frames = self._requests.packets(frame, first_serial, numbers[:_MOST_RESENT])
        await self._write(frames)
        return bool(frames)

    def _begin(self, phone: str, version: int, order: Order) -> Request | None:
        if self._requests.full or self._writer is None:
            return None
        frames = Packets(order.message_id, phone, self._serial + 1 & 0xFFFF, order.body, version)
        request = Request(phone, order.message_id, order.answer, self.take_serials(len(frames)), frames)
        self._requests.open(request)
        return request

    async def _send_packets(self, request: Request) -> None:
        at_once = False
        for number, frame in enumerate(request.frames):
            while not at_once and not request.ended and request.unconfirmed(number) >= _WINDOW:
                at_once = not await request.change(self._answer_s)
            if request.ended:
                return
            await self._write((frame,))

    async def _await_confirmation(self, request: Request) -> None:
        patience_s = self._answer_s
        for attempt in range(1, _TRIES + 1):
            while not request.ended and await request.change(patience_s):
                pass
            if request.ended or attempt == _TRIES:
                return
            patience_s *= attempt + 1
            missing = [number for number, serial in enumerate(request.serials) if serial not in request.confirmed]
            # One that confirms nothing before the end says by 0x0005 which packets it wants: the last one says that we wait.
            await self._write(request.frames[number] for number in (missing if request.confirmed else missing[-1:]))

    async def _write(self, frames: Iterable[bytes]) -> None:
        """Put frames on the wire; a terminal that does not take them loses its connection."""
        writer = self._writer
        if writer is None:
            return
        try:
            for frame in frames:
                writer.write(frame)
                async with asyncio.timeout(self._drain_s):
                    await writer.drain()
        except (TimeoutError, OSError):
            writer.transport.abort()
