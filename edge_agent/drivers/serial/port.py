"""A serial port that is opened, read until it is gone, and opened again: what every driver of one line shares."""

import asyncio
import contextlib
import termios
from collections.abc import AsyncIterator

import serial_asyncio_fast

from edge_agent.backoff import Backoff
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import Deliveries, LinkDriver, SetupError, address_of, reconnecting
from edge_agent.heard import Inlet
from edge_agent.link_kinds import SerialOptions
from telemetry.clock import Clock
from telemetry.reason import Reason

__all__ = ["PortDriver"]

_READ_BYTES = 4096
_MOST_UNSENT_BYTES = 2048

_OPEN_FAULTS = (OSError, ValueError, termios.error)
"""pyserial's own error is an OSError; the terminal layer's is not, though it says the same."""


class PortDriver(LinkDriver):
    """One serial port. A subclass takes in what the line says, and what it does not say, and may ask questions.

    Bytes come to `take`; after `quiet_s` without any, `quiet` is told once. `talk` runs while the port is open; it may end.
    """

    quiet_s = 0.1
    """Silence after which what was begun will not be finished; far above the gaps that USB adapters and schedulers make."""

    def __init__(self, link: LinkConfig, clock: Clock) -> None:
        if not isinstance(link.options, SerialOptions):
            raise SetupError(f"link {link.name}: driver {link.driver} wants a serial port")
        super().__init__(link, clock)
        self._options = link.options
        self.source = address_of(link)

    def begin(self) -> None:
        """The port was opened anew: nothing that was heard before belongs to what will be."""

    async def take(self, data: bytes, deliveries: Deliveries) -> bool:
        """Handle bytes off the line; whether something sound was among them."""
        raise NotImplementedError

    async def quiet(self, deliveries: Deliveries) -> None:
        """Handle that the line has gone quiet."""
        raise NotImplementedError

    async def talk(self, writer: asyncio.StreamWriter, deliveries: Deliveries) -> None:
        """Ask whoever must be asked, for as long as the port is open."""

    def say(self, writer: asyncio.StreamWriter, question: bytes) -> None:
        """Put a question on the line; nothing where the line is closed or takes nothing, so that old questions do not pile up."""
        if not writer.transport.is_closing() and writer.transport.get_write_buffer_size() < _MOST_UNSENT_BYTES:
            writer.write(question)

    async def run(self, inlet: Inlet) -> None:
        backoff = reconnecting()
        self.started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                deliveries = Deliveries(inlet, tasks, self._tally)
                while True:
                    problem = await self._serve(deliveries, backoff)
                    self._tally.closed(problem)
                    deliveries.refuse(self.name, Reason.UNREACHABLE, problem)
                    await asyncio.sleep(backoff.next_s())
        finally:
            self._tally.closed("stopped")

    async def _serve(self, deliveries: Deliveries, backoff: Backoff) -> str:
        """Open the port and work until it is gone; what happened, in words."""
        try:
            async with self._opened() as (reader, writer), asyncio.TaskGroup() as tasks:
                self.begin()
                self._tally.opened()
                self._tally.connections += 1
                talking = tasks.create_task(self.talk(writer, deliveries))
                problem = await self._listen(reader, deliveries, backoff)
                talking.cancel()
        except _OPEN_FAULTS as error:
            problem = str(error)
        return f"{self._options.port}: {problem}"

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        options = self._options
        reader, writer = await serial_asyncio_fast.open_serial_connection(
            url=options.port, baudrate=options.baudrate, parity=options.parity, stopbits=options.stopbits, exclusive=True
        )
        try:
            yield reader, writer
        finally:
            # Not close(): that drains first, which never ends on a line that takes nothing. After an error the
            # transport closes by itself, and would do so twice.
            if not writer.transport.is_closing():
                writer.transport.abort()
            with contextlib.suppress(*_OPEN_FAULTS):
                await writer.wait_closed()

    async def _listen(self, reader: asyncio.StreamReader, deliveries: Deliveries, backoff: Backoff) -> str:
        """Take in what the line says until it is gone; what happened, in words."""
        begun = True  # a line that is quiet when it is opened is told as quiet, too
        while True:
            try:
                async with asyncio.timeout(self.quiet_s if begun else None):
                    data = await reader.read(_READ_BYTES)
            except TimeoutError:
                begun = False
                await self.quiet(deliveries)
                continue
            except OSError as error:
                return str(error)
            if not data:
                return "closed"
            begun = True
            if await self.take(data, deliveries):
                backoff.reset()
