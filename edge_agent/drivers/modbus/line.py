"""A line that carries one checked Modbus request at a time: a TCP connection, or a serial port."""

import asyncio
import termios
from collections.abc import Callable, Coroutine
from typing import Any

from edge_agent.attempt import attempt
from edge_agent.drivers.modbus.reply import Envelope, Failure, Request, exception
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["ModbusLine", "Open"]

Open = Callable[[Callable[[], asyncio.Protocol]], Coroutine[Any, Any, asyncio.Transport]]
"""Opens the line for a protocol."""

_CONNECT_S = 5.0
_OPEN_FAULTS = (OSError, ValueError, termios.error)
"""pyserial's own error is an OSError; the terminal layer's is not, though it says the same."""


class ModbusLine:
    """A connection on which requests go out strictly one after the other.

    `turnaround_s` is kept between a reply and the next request. On a `shared_bus` a reply names no request, so after one
    that brought nothing the line is left alone for half its time limit, and a late reply finds nobody waiting; where the
    next question to the same unit would have a reply of the same shape, a second reply is waited for as long again, and
    counts instead of the first: a unit answers in the order of the questions, so the first was the late one.
    """

    def __init__(self, open_line: Open, envelope: Envelope, *, shared_bus: bool) -> None:
        self._open = open_line
        self._envelope = envelope
        self._shared_bus = shared_bus
        self._transport: asyncio.Transport | None = None
        self._lock = asyncio.Lock()
        self._answer: asyncio.Future[bytes | Failure] | None = None
        self._haunted: set[tuple[int, bytes]] = set()
        """The shapes of replies that may still come; one for each unit and length at most."""
        self.free_at_s = 0.0
        """When the line may carry the next request, by the loop's clock."""
        self._until_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        """Rings when the time of the request in hand may be up."""

    @property
    def frame(self) -> RawFrame:
        """The frame of the reply that `ask` gave last; whoever wants it looks before anybody else may ask."""
        return RawFrame(self._envelope.language, self._envelope.frame)

    @property
    def connected(self) -> bool:
        """Whether the port is open or the peer connected."""
        return self._transport is not None

    async def connect(self) -> str:
        """Open the line; what went wrong in words, empty when it is open."""
        self.close()
        ear = _Ear(self)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await attempt(self._open(lambda: ear))
        except TimeoutError:
            return "nobody takes the connection"
        except _OPEN_FAULTS as error:
            return str(error) or type(error).__name__
        return "" if self.connected else "closed at once"

    def close(self) -> None:
        """Close the line; harmless when it is."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._end(Failure(reason=Reason.UNREACHABLE, detail="connection closed"))

    async def ask(self, request: Request, timeout_s: float, turnaround_s: float = 0.0) -> bytes | Failure:
        """Send one request; the PDU of its reply, or why there is none. An exception reply is a failure with its code."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            pause_s = self.free_at_s - loop.time()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            if self._transport is None:
                return Failure(reason=Reason.UNREACHABLE, detail="not connected")
            # A question left alone, by its time limit or by whoever asked, may still be answered: nobody may wait then.
            pause_s = timeout_s / 2 if self._shared_bus else 0.0
            try:
                self._transport.write(self._envelope.wrap(request))
                reply = await self._hear(timeout_s + self._envelope.line_s(request))
                if request.shape in self._haunted and isinstance(reply, bytes):
                    reply = await self._hear_again(reply, timeout_s / 2)
                self._mark(request, reply)
                if isinstance(reply, bytes):
                    pause_s = turnaround_s
            finally:
                self._answer = None
                self.free_at_s = loop.time() + pause_s
        if isinstance(reply, bytes) and reply[0] & 0x80:
            return exception(reply[1])
        return reply

    async def _hear(self, timeout_s: float) -> bytes | Failure:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes | Failure] = loop.create_future()
        self._answer = answer
        self._until_s = loop.time() + timeout_s
        if self._watch is None or self._watch.when() > self._until_s:
            self._look_again()
        return await answer

    async def _hear_again(self, first: bytes, timeout_s: float) -> bytes | Failure:
        second = await self._hear(timeout_s)
        if isinstance(second, bytes) or second.reason is Reason.UNREACHABLE:
            return second
        return first

    def _mark(self, request: Request, reply: bytes | Failure) -> None:
        """Note which replies may still come."""
        if not self._shared_bus:
            return
        if isinstance(reply, bytes):
            self._haunted.discard(request.shape)
        elif reply.reason is not Reason.UNREACHABLE:
            self._haunted.add(request.shape)

    def _look_again(self) -> None:
        """One alarm clock for all requests: most are answered long before it rings, and it is set anew only when it has."""
        if self._watch is not None:
            self._watch.cancel()
        self._watch = asyncio.get_running_loop().call_at(self._until_s, self._expire)

    def _expire(self) -> None:
        self._watch = None
        if self._answer is None or self._answer.done():
            return
        if asyncio.get_running_loop().time() < self._until_s:
            self._look_again()
        else:
            self._answer.set_result(self._envelope.explain())

    def _end(self, failure: Failure) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(failure)

    # What the transport says.

    def opened(self, transport: asyncio.Transport) -> None:
        """The line is open."""
        self._transport = transport

    def heard(self, transport: asyncio.Transport, data: bytes) -> None:
        """Bytes came; while nobody waits only the envelope hears them, and forgets them with the next request."""
        if transport is not self._transport:
            return
        reply = self._envelope.feed(data)
        if reply is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(reply)

    def lost(self, transport: asyncio.Transport) -> None:
        """The line is gone."""
        if transport is self._transport:
            self._transport = None
            self._end(Failure(reason=Reason.UNREACHABLE, detail="connection lost"))


class _Ear(asyncio.Protocol):
    """One connection's end."""

    def __init__(self, line: ModbusLine) -> None:
        self._line = line
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport, as every Open makes one
        self._line.opened(self._transport)

    def data_received(self, data: bytes) -> None:
        self._line.heard(self._transport, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.lost(self._transport)
