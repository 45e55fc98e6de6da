"""Plain serial devices: frames of a fixed layout on one port, spoken unasked or in answer to a poll."""

import asyncio
import contextlib
import termios
from collections.abc import AsyncIterator, Mapping

import msgspec
import serial_asyncio_fast

from device_profiles.model import Profile
from device_profiles.wires.serial import BinaryLayout, SerialWire
from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, LinkHealth, SetupError, Tally, profile_of, reconnecting, turn_down
from edge_agent.drivers.rounds import Rounds
from edge_agent.heard import Heard, Inlet
from edge_agent.link_kinds import SerialOptions
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.serial_layout import LayoutFramer, decode_frame, poll_frame
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult

__all__ = ["SerialDriver"]

_QUIET_S = 0.1
"""Silence after which what was begun will not be finished; far above the gaps that USB adapters and schedulers make."""
_ANSWER_S = 1.0
"""How long a polled unit has."""
_READ_BYTES = 4096

_OPEN_FAULTS = (OSError, ValueError, termios.error)
"""pyserial's own error is an OSError; the terminal layer's is not, though it says the same."""


class _Unit(msgspec.Struct, frozen=True, kw_only=True):
    device: DeviceConfig
    profile: Profile
    wire: SerialWire
    number: int


class _Layout:
    """One frame layout on the line, and the units that speak it by their number."""

    def __init__(self, layout: BinaryLayout) -> None:
        self.layout = layout
        self.framer = LayoutFramer(layout)
        self.units: dict[int, _Unit] = {}


class SerialDriver:
    """One serial port. Units are told apart by the address in their frames; several layouts may share the line.

    Units whose profile has a poll are asked one at a time, dead ones ever less often; every sound frame of a known
    unit counts, asked for or not.
    """

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> None:
        if not isinstance(link.options, SerialOptions):
            raise SetupError(f"link {link.name}: driver serial wants a serial port")
        self.name = link.name
        self.started = asyncio.Event()
        self.ports: tuple[tuple[str, int], ...] = ()
        self._options = link.options
        self._clock = clock
        self._tally = Tally(link)
        self._units = tuple(_unit(link, device, catalog) for device in link.devices)
        self._spoke = {unit.device.id: asyncio.Event() for unit in self._units}
        self._asked = ""

    def health(self) -> LinkHealth:
        return self._tally.health()

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{device.id} takes no commands")

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
                self._tally.opened()
                self._tally.connections += 1
                polling = tasks.create_task(self._poll(writer, deliveries))
                problem = await self._listen(reader, deliveries, backoff)
                polling.cancel()
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

    async def _poll(self, writer: asyncio.StreamWriter, deliveries: Deliveries) -> None:
        loop = asyncio.get_running_loop()
        units = [unit for unit in self._units if unit.wire.poll is not None]
        if not units:
            return
        rounds = Rounds([unit.wire.poll_s for unit in units], loop.time())
        while True:
            due_s, index = rounds.first()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            began_s = loop.time()
            answered = await self._ask(units[index], writer)
            if not answered:
                self._tally.timeouts += 1
                deliveries.refuse(units[index].device.id, Reason.TIMEOUT, "no answer")
            rounds.done(began_s, loop.time(), answered=answered)

    async def _ask(self, unit: _Unit, writer: asyncio.StreamWriter) -> bool:
        question = poll_frame(unit.wire, unit.number)
        if question is None:
            return False
        self._tally.polls += 1
        spoke = self._spoke[unit.device.id]
        spoke.clear()
        self._asked = unit.device.id
        writer.write(question)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await spoke.wait()
        except TimeoutError:
            return False
        finally:
            self._asked = ""
        return True

    async def _listen(self, reader: asyncio.StreamReader, deliveries: Deliveries, backoff: Backoff) -> str:
        """Take in what the line says until it is gone; what happened, in words."""
        layouts = self._layouts()
        begun = False
        while True:
            try:
                async with asyncio.timeout(_QUIET_S if begun else None):
                    data = await reader.read(_READ_BYTES)
            except TimeoutError:
                begun = False
                await self._take([(layout, layout.framer.idle()) for layout in layouts], deliveries)
                continue
            except OSError as error:
                return str(error)
            if not data:
                return "closed"
            begun = True
            if await self._take([(layout, layout.framer.feed(data)) for layout in layouts], deliveries):
                backoff.reset()

    def _layouts(self) -> list[_Layout]:
        layouts: list[_Layout] = []
        for unit in self._units:
            layout = next((layout for layout in layouts if layout.layout == unit.wire.layout), None)
            if layout is None:
                layout = _Layout(unit.wire.layout)
                layouts.append(layout)
            layout.units[unit.number] = unit
        return layouts

    async def _take(self, pieces: list[tuple[_Layout, list[bytes | Refused]]], deliveries: Deliveries) -> bool:
        """Handle what the framers made of the same bytes; whether any of them found a frame."""
        received_ns = self._clock.wall_ns()
        found = any(not isinstance(item, Refused) for _, items in pieces for item in items)
        for position, (layout, items) in enumerate(pieces):
            for item in items:
                if not isinstance(item, Refused):
                    await self._frame(layout, item, received_ns, deliveries)
                elif len(pieces) == 1 or (position == 0 and not found):
                    # On a shared line one layout's frame is another's noise; it is nobody's only when none found a frame.
                    deliveries.refuse(self.name, item.reason, item.detail, item.raw)
        return found

    async def _frame(self, layout: _Layout, frame: bytes, received_ns: int, deliveries: Deliveries) -> None:
        number = frame[layout.layout.address_at]
        unit = layout.units.get(number)
        if unit is None:
            deliveries.refuse(self.name, Reason.UNKNOWN_DEVICE, f"unit {number} is not on this line", frame)
            return
        if unit.wire.poll is not None and self._asked != unit.device.id:
            asked = self._asked or "nobody"
            deliveries.refuse(unit.device.id, Reason.WRONG_UNIT, f"unit {number} spoke, {asked} was asked", frame)
            return
        try:
            _, decoded = decode_frame(unit.profile, frame)
        except ParseError as error:
            deliveries.refuse(unit.device.id, error.reason, str(error), frame)
            return
        self._spoke[unit.device.id].set()
        await deliveries.hand_over(Heard(device=unit.device.id, profile=unit.profile, received_ns=received_ns, decoded=decoded))


def _unit(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> _Unit:
    profile = profile_of(link, device, catalog)
    where = f"link {link.name}, device {device.id}"
    if profile.wire.serial is None:
        raise SetupError(f"{where}: profile {profile.name} has no serial frame")
    if not (device.address.isascii() and device.address.isdigit() and int(device.address) <= 255):
        raise SetupError(f"{where}: address {device.address!r}, want a unit number from 0 to 255")
    return _Unit(device=device, profile=profile, wire=profile.wire.serial, number=int(device.address))
