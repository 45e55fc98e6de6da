"""The message layer of a simulated LwM2M client: one message out at a time, sent until it is answered (RFC 7252, clause 4)."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import cast

from firmware_bridge.coap import CoapMessage, parse_coap
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.messages import encode_coap
from simulators.listener import Address

__all__ = ["Radio"]

_REPEATS = 3
_REMEMBERED = 16


class Radio(asyncio.DatagramProtocol):
    """A socket towards the server, from `open` to `close`. `asked` answers a request of the server's, None for no answer."""

    def __init__(self, asked: Callable[[CoapMessage], CoapMessage | None], first_id: int) -> None:
        self._asked = asked
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[int, asyncio.Future[CoapMessage]] = {}
        self._answered: OrderedDict[int, bytes] = OrderedDict()
        self._message_id = first_id
        self.late_s = 0.0
        self.noise = 0
        """Datagrams of the server's that could not be read."""

    async def open(self, target: Address) -> None:
        """Connect. OSError where there is no way to the target."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, remote_addr=target)

    def close(self) -> None:
        """Switch it off."""
        if self._transport is not None:
            self._transport.close()

    def next_id(self) -> int:
        """The id of the next message."""
        self._message_id = self._message_id + 1 & 0xFFFF
        return self._message_id

    def send(self, data: bytes) -> None:
        """Send a datagram, whole or not."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data)

    async def exchange(self, message: CoapMessage, first_s: float, cut: Callable[[bytes], bytes]) -> CoapMessage | None:
        """Send until there is an answer or an acknowledgement; None where there was none. `cut` may spoil what goes out."""
        answer: asyncio.Future[CoapMessage] = asyncio.get_running_loop().create_future()
        self._waiting[message.message_id] = answer
        try:
            for turn in range(_REPEATS):
                self.send(cut(encode_coap(message)))
                await asyncio.wait([answer], timeout=first_s * 2**turn)
                if answer.done():
                    return answer.result()
            return None
        finally:
            del self._waiting[message.message_id]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        try:
            message = parse_coap(data)
        except ParseError:
            self.noise += 1
            return
        if message.type in {"ACK", "RST"}:
            waiting = self._waiting.get(message.message_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            return
        if message.message_id not in self._answered:
            answer = self._asked(message)
            if answer is None:
                return
            self._answered[message.message_id] = encode_coap(answer)
            if len(self._answered) > _REMEMBERED:
                self._answered.popitem(last=False)
        answered = self._answered[message.message_id]
        if self.late_s:
            asyncio.get_running_loop().call_later(self.late_s, self.send, answered)
        else:
            self.send(answered)
