"""Plain serial devices: frames or lines of a fixed form on one port, spoken unasked or in answer to a poll."""

import asyncio
from collections.abc import Mapping

import msgspec

from device_profiles.model import Profile
from device_profiles.wires.serial import BinaryLayout, LineLayout, SerialWire
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, SetupError, profile_of
from edge_agent.drivers.rounds import Rounds
from edge_agent.drivers.serial.port import PortDriver
from edge_agent.heard import Heard
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.serial.frames import canonical_address, framer, question, read_frame, speaker
from telemetry.clock import Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["SerialDriver"]


class _Unit(msgspec.Struct, frozen=True, kw_only=True):
    device: DeviceConfig
    profile: Profile
    wire: SerialWire
    address: str | None


class _Layout:
    """One form of frame on the line, and the units that speak it by the address they say. A form without an address has one
    unit that speaks unasked, under None, or units that answer their polls: then whoever was asked has spoken."""

    def __init__(self, layout: BinaryLayout | LineLayout) -> None:
        self.layout = layout
        self.framer = framer(layout)
        self.units: dict[str | None, _Unit] = {}

    def unit(self, said: str | None, asked: str) -> _Unit | None:
        """Who spoke a frame that says the address `said`, while the device `asked` was to answer."""
        return self.units.get(said) if said is not None else self.units.get(asked) or self.units.get(None)


class SerialDriver(PortDriver):
    """One serial port. Units are told apart by the address in their frames; several forms may share the line.

    Units whose profile has a poll are asked one at a time, dead ones ever less often; every sound frame of a known unit that
    speaks unasked counts, and of a polled one those that answer its poll. After a question that nobody answered the line is
    left alone for half its time limit, so that a late answer without an address is not taken for another unit's.
    """

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> None:
        super().__init__(link, clock)
        self._units = tuple(_unit(link, device, catalog) for device in link.devices)
        self._layouts = _layouts(link, self._units)
        self._spoke = {unit.device.id: asyncio.Event() for unit in self._units}
        self._asked = ""
        self._question = b""
        self._rounds: Rounds | None = None

    def begin(self) -> None:
        for layout in self._layouts:
            layout.framer = framer(layout.layout)

    async def take(self, data: bytes, deliveries: Deliveries) -> bool:
        return await self._sort([(layout, layout.framer.feed(data)) for layout in self._layouts], deliveries)

    async def quiet(self, deliveries: Deliveries) -> None:
        await self._sort([(layout, layout.framer.idle()) for layout in self._layouts], deliveries)

    async def talk(self, writer: asyncio.StreamWriter, deliveries: Deliveries) -> None:
        loop = asyncio.get_running_loop()
        units = [unit for unit in self._units if unit.wire.poll is not None]
        if not units:
            return
        # What the line was in the middle of saying when it was opened is no answer.
        await asyncio.sleep(self.quiet_s)
        # Kept over reconnections: opening the line anew is no reason to trouble it with its dead units again.
        rounds = self._rounds = self._rounds or Rounds([unit.wire.poll_s for unit in units], loop.time())
        while True:
            due_s, index = rounds.first()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            began_s = loop.time()
            answered = await self._ask(units[index], writer)
            if not answered:
                self._tally.timeouts += 1
                deliveries.refuse(units[index].device.id, Reason.TIMEOUT, "no answer")
                await asyncio.sleep(units[index].wire.timeout_s / 2)
            rounds.done(began_s, loop.time(), answered=answered)

    async def _ask(self, unit: _Unit, writer: asyncio.StreamWriter) -> bool:
        asked = question(unit.wire, unit.device.address)
        if asked is None:
            return False
        self._tally.polls += 1
        spoke = self._spoke[unit.device.id]
        spoke.clear()
        self._asked, self._question = unit.device.id, asked
        self.say(writer, asked)
        try:
            async with asyncio.timeout(unit.wire.timeout_s):
                await spoke.wait()
        except TimeoutError:
            return False
        finally:
            self._asked, self._question = "", b""
        return True

    async def _sort(self, pieces: list[tuple[_Layout, list[bytes | Refused]]], deliveries: Deliveries) -> bool:
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
        if frame == self._question:
            return  # a two-wire line gives back what was put on it
        try:
            said = speaker(layout.layout, frame)
        except ParseError as error:
            deliveries.refuse(self.name, error.reason, str(error), frame)
            return
        unit = layout.unit(said, self._asked)
        if unit is None:
            who = "nobody was asked" if said is None else f"unit {said} is not on this line"
            deliveries.refuse(self.name, Reason.UNKNOWN_DEVICE, who, frame)
            return
        if unit.wire.poll is not None and self._asked != unit.device.id:
            asked = self._asked or "nobody"
            deliveries.refuse(unit.device.id, Reason.WRONG_UNIT, f"unit {said} spoke, {asked} was asked", frame)
            return
        try:
            _, decoded = read_frame(unit.profile, frame)
        except ParseError as error:
            deliveries.refuse(unit.device.id, error.reason, str(error), frame)
            return
        self._spoke[unit.device.id].set()
        heard = Heard(
            device=unit.device.id,
            profile=unit.profile,
            received_ns=received_ns,
            decoded=decoded,
            frames=(RawFrame(unit.profile.name, frame),),
            source=self.source,
        )
        await deliveries.hand_over(heard)


def _layouts(link: LinkConfig, units: tuple[_Unit, ...]) -> list[_Layout]:
    """The forms that the units speak; SetupError for two of one form and the same address."""
    layouts: list[_Layout] = []
    for unit in units:
        layout = next((layout for layout in layouts if layout.layout == unit.wire.layout), None)
        if layout is None:
            layout = _Layout(unit.wire.layout)
            layouts.append(layout)
        nameless = unit.address is None and unit.wire.poll is not None
        other = layout.units.setdefault(unit.device.id if nameless else unit.address, unit)
        if other is not unit:
            said = "no address" if unit.address is None else f"address {unit.address}"
            raise SetupError(f"link {link.name}: {other.device.id} and {unit.device.id} both say {said}, want one of them")
    return layouts


def _unit(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> _Unit:
    profile = profile_of(link, device, catalog)
    where = f"link {link.name}, device {device.id}"
    if profile.wire.serial is None:
        raise SetupError(f"{where}: profile {profile.name} has no serial frame")
    try:
        address = canonical_address(profile.wire.serial.layout, device.address)
    except ParseError as error:
        raise SetupError(f"{where}: {error}") from error
    return _Unit(device=device, profile=profile, wire=profile.wire.serial, address=address)
