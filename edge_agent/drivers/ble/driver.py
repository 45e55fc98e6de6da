"""Sensors near the gateway by Bluetooth Low Energy: their advertisements, a few characteristics, and the maintenance door.

The adapter listens for a while and then rests. Whoever was heard and has characteristics that are due is connected to
afterwards; whoever was not costs nothing. A gateway without an adapter says so, and looks again every few minutes.
"""

import asyncio
from collections.abc import Mapping

from device_profiles.model import Profile
from edge_agent.attempt import attempt
from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, LinkDriver, SetupError, turn_down
from edge_agent.drivers.ble.door import carry_out
from edge_agent.drivers.ble.radio import Radio
from edge_agent.drivers.ble.station import Items, Sighting, Station, read_characteristics, station_of
from edge_agent.drivers.orders import argument_of
from edge_agent.heard import Heard, Inlet
from edge_agent.link_kinds import BleOptions
from firmware_bridge.ble.advertising import Advertisement
from firmware_bridge.ble.bthome import SERVICE
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.items import decode_items
from telemetry.clock import SECOND_NS, Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult

__all__ = ["BleDriver", "ble"]

_QUEUE = 1000
"""Advertisements heard and not yet read; what does not fit is counted as an overflow."""
_SLICE_S = 5.0
"""An order waits no longer than this for the adapter to stop listening."""
_STRANGERS = 64
"""Foreign BTHome sensors that are counted in one round; a street is full of them."""


def ble(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> "BleDriver":
    """The driver on the machine's own adapter."""
    from edge_agent.drivers.ble.bleak import BleakRadio  # noqa: PLC0415 - heavy, and only a gateway with Bluetooth needs it

    options = link.options
    if not isinstance(options, BleOptions):
        raise SetupError(f"link {link.name}: driver ble wants an adapter")
    return BleDriver(link, catalog, clock, BleakRadio(options.adapter, passive=options.passive))


class BleDriver(LinkDriver):
    """Listens `scan_s` of every `every_s`. The same advertisement counts once a round, however often it is repeated."""

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock, radio: Radio) -> None:
        if not isinstance(link.options, BleOptions):
            raise SetupError(f"link {link.name}: driver ble wants an adapter")
        super().__init__(link, clock)
        self._options = link.options
        self._radio = radio
        self._stations = {device.address: station_of(link, device, catalog) for device in link.devices}
        self._queue: asyncio.Queue[Sighting] = asyncio.Queue(_QUEUE)
        self._strangers: set[str] = set()
        self._air = asyncio.Lock()
        """The adapter does one thing at a time."""

    async def run(self, inlet: Inlet) -> None:
        # An adapter that is not there is seldom plugged in within the minute.
        backoff = Backoff(first_s=5.0, most_s=300.0)
        self.started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                deliveries = Deliveries(inlet, tasks, self._tally)
                tasks.create_task(self._read_all(deliveries), name=f"read {self.name}")
                while True:
                    await self._turn(deliveries, backoff)
        finally:
            self._tally.closed("stopped")

    async def _turn(self, deliveries: Deliveries, backoff: Backoff) -> None:
        """Listen, ask who is due, rest."""
        began_ns = self._clock.monotonic_ns()
        try:
            await self._listen(deliveries)
            self._note_open()
            backoff.reset()
            await self._ask_who_is_due(deliveries)
        except OSError as error:
            self._tally.closed(str(error))
            deliveries.refuse(self.name, Reason.UNREACHABLE, str(error))
            await asyncio.sleep(backoff.next_s())
            return
        rested_s = (self._clock.monotonic_ns() - began_ns) / SECOND_NS
        await asyncio.sleep(max(0.0, self._options.every_s - rested_s))

    def _note_open(self) -> None:
        self._tally.connections += not self._tally.up
        self._tally.opened()

    async def _listen(self, deliveries: Deliveries) -> None:
        self._strangers.clear()
        for station in self._stations.values():
            station.begin_round()

        def heard(address: str, said: Advertisement) -> None:
            self._note(address, said, deliveries)

        left_s = self._options.scan_s
        while left_s > 0:
            async with self._air:
                await attempt(self._radio.listen(min(left_s, _SLICE_S), heard))
            self._note_open()
            left_s -= _SLICE_S

    def _note(self, address: str, said: Advertisement, deliveries: Deliveries) -> None:
        station = self._stations.get(address)
        if station is None:
            if SERVICE in said.service_data and address not in self._strangers and len(self._strangers) < _STRANGERS:
                self._strangers.add(address)
                deliveries.refuse(self.name, Reason.UNKNOWN_DEVICE, f"{address} is nobody's", said.service_data[SERVICE])
            return
        heard = station.hear(said, self._clock.wall_ns())
        if heard is None:
            return
        if self._queue.full():
            self._tally.overflows += 1
            deliveries.refuse(station.device.id, Reason.QUEUE_FULL, f"more than {_QUEUE} advertisements wait")
            return
        self._queue.put_nowait(heard)

    async def _read_all(self, deliveries: Deliveries) -> None:
        while True:
            heard = await self._queue.get()
            device = heard.station.device.id
            try:
                said = heard.items()
            except ParseError as error:
                deliveries.refuse(device, error.reason, str(error), heard.raw)
                continue
            if heard.unknown is not None:
                detail = f"object {heard.unknown:#04x} of a newer BTHome: it and what follows are not read"
                deliveries.refuse(device, Reason.UNKNOWN_MESSAGE, detail, heard.raw)
            await self._hand_over(heard.station, said, heard.received_ns, deliveries, heard.frames)

    async def _ask_who_is_due(self, deliveries: Deliveries) -> None:
        for station in self._stations.values():
            if not station.is_due(self._clock.monotonic_ns(), unheard_too=self._options.passive):
                continue
            self._tally.polls += 1
            try:
                async with self._air:
                    said = await attempt(read_characteristics(self._radio, station))
            except (ConnectionError, TimeoutError) as error:
                self._tally.timeouts += 1
                deliveries.refuse(station.device.id, Reason.UNREACHABLE, str(error) or "no connection in time")
                continue
            await self._hand_over(station, said, self._clock.wall_ns(), deliveries)

    async def _hand_over(
        self,
        station: Station,
        said: Items,
        received_ns: int,
        deliveries: Deliveries,
        frames: tuple[RawFrame, ...] = (),
    ) -> None:
        items, unreadable = said
        decoded = decode_items(station.profile, station.wire.items, items, unreadable=unreadable)
        if decoded.values:
            heard = Heard(
                device=station.device.id,
                profile=station.profile,
                received_ns=received_ns,
                decoded=decoded,
                frames=frames,
                source=station.device.address,
            )
            await deliveries.hand_over(heard)

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        station = self._stations.get(device.address)
        spec = None if station is None else station.profile.commands.get(command.action)
        if station is None or spec is None or spec.uart is None or not station.wire.uart:
            return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{device.id} takes no {command.action!r}")
        value = argument_of(spec, command)
        if isinstance(value, Refused):
            return turn_down(command, self._clock, value.reason, value.detail)
        async with self._air:
            outcome, reason, detail = await attempt(carry_out(self._radio, station, spec.uart, value))
        now_ns = self._clock.wall_ns()
        return CommandResult(id=command.id, device=device.id, outcome=outcome, time_ns=now_ns, reason=reason, detail=detail)
