"""XMODEM and YMODEM over a serial port's streams."""

import asyncio
import contextlib
import termios
from collections.abc import AsyncIterator, Callable

import serial_asyncio_fast

from edge_agent.updates.base import SilentError
from firmware_bridge.xmodem import CANCEL, Receiver, Sender
from telemetry.reason import Reason

__all__ = ["Port", "open_port", "receive_blocks", "send_blocks"]

_READ_BYTES = 4096
_BABBLE_S = 30.0
"""Above the time of the longest packet on the slowest line (1,029 bytes at 1,200 baud take 9 s)."""
_SETTLE_S = 0.01
"""Some receivers (lrzsz) answer a packet and then empty their input: what follows at once is lost. At 115,200 baud a
packet of 1 KiB takes nine times as long."""
_FAULTS = (OSError, ValueError, termios.error)
"""pyserial's own error is an OSError; the terminal layer's is not, though it says the same."""


class Port:
    """A serial line over asyncio's streams; SilentError(unreachable) once it is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, within_s: float) -> bytes:
        """What came within the time, b"" where nothing did."""
        try:
            async with asyncio.timeout(within_s):
                data = await self._reader.read(_READ_BYTES)
        except TimeoutError:
            return b""
        except OSError as error:
            raise SilentError(Reason.UNREACHABLE, str(error)) from error
        if not data:
            raise SilentError(Reason.UNREACHABLE, "the line was closed")
        return data

    async def write(self, data: bytes) -> None:
        """Say `data`; returns when the line has room for more."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise SilentError(Reason.UNREACHABLE, str(error)) from error

    def say_last(self, data: bytes) -> None:
        """Say `data` without waiting for the line, on the way out."""
        if not self._writer.is_closing():
            self._writer.write(data)


@contextlib.asynccontextmanager
async def open_port(path: str, baudrate: int = 115200) -> AsyncIterator[Port]:
    """The serial port at `path`, 8 data bits, no parity, nobody else's meanwhile. SilentError(unreachable) where it does not
    open."""
    try:
        reader, writer = await serial_asyncio_fast.open_serial_connection(url=path, baudrate=baudrate, exclusive=True)
    except _FAULTS as error:
        raise SilentError(Reason.UNREACHABLE, f"{path}: {error}") from error
    try:
        yield Port(reader, writer)
    finally:
        # Not close(): that drains first, which never ends on a line that takes nothing.
        if not writer.transport.is_closing():
            writer.transport.abort()
        with contextlib.suppress(*_FAULTS):
            await writer.wait_closed()


async def send_blocks(port: Port, sender: Sender, *, quiet_s: float = 3.0, tell: Callable[[int], None] = lambda _: None) -> bytes:
    """Send what `sender` holds; the bytes that came with the last acknowledgement or behind it. `tell` hears how many bytes
    have one. SilentError where the other side cancels, is silent or does not take it."""
    loop = asyncio.get_running_loop()
    due_s = loop.time() + quiet_s
    try:
        while True:
            heard = await port.read(max(0.01, due_s - loop.time()))
            answer = sender.feed(heard)
            if answer:
                await asyncio.sleep(_SETTLE_S)
            is_late = loop.time() >= due_s  # a line that babbles is silent, too
            if not (answer or sender.done) and is_late:
                answer = sender.quiet()
            if answer or is_late:
                due_s = loop.time() + quiet_s
            await port.write(answer)
            tell(sender.sent)
            if sender.refused is not None:
                raise SilentError(sender.refused.reason, sender.refused.detail)
            if sender.done:
                return heard
    except asyncio.CancelledError:
        port.say_last(CANCEL)
        raise


async def receive_blocks(port: Port, receiver: Receiver, *, quiet_s: float = 1.0) -> None:
    """Receive into `receiver` until it is done; SilentError as above."""
    loop = asyncio.get_running_loop()
    answered_s = loop.time()
    try:
        await port.write(receiver.start())
        while not receiver.done:
            heard = await port.read(quiet_s)
            answer = receiver.feed(heard)
            if not answer and (not heard or loop.time() > answered_s + _BABBLE_S):
                answer = receiver.quiet()
            if answer:
                answered_s = loop.time()
            await port.write(answer)
            if receiver.refused is not None:
                raise SilentError(receiver.refused.reason, receiver.refused.detail)
    except asyncio.CancelledError:
        port.say_last(CANCEL)
        raise
