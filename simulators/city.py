"""A whole city: every device of a scenario on its real transport, and the scenario's events as they come due."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from device_profiles.mistakes import Mistake, did_you_mean
from device_profiles.model import Profile
from device_profiles.quantities import Text
from device_profiles.shelf import load_catalog
from firmware_bridge.errors import ParseError
from simulators.actions import ACTIONS
from simulators.deeds import GENERAL
from simulators.devices.base import Account, Calling, Device, Line, Surroundings
from simulators.devices.carrier_platform import SIMULATED_TOKEN, CarrierDevice
from simulators.devices.cover.cover import Cover
from simulators.devices.lwm2m.client import Lwm2mClient
from simulators.devices.modbus.lines import ModbusTcpPort, RtuBus
from simulators.devices.modbus.server import RtuServer
from simulators.devices.modbus.unit import ModbusUnit
from simulators.devices.mqtt.device import MqttDevice
from simulators.devices.mqtt.sparkplug import SparkplugNode
from simulators.devices.serial.meters import Cjt188Meter, Dlt645Meter, MeterBus
from simulators.devices.serial.node import SerialBus, SerialNode
from simulators.devices.stations.environment import EnvironmentStation
from simulators.devices.stations.hydrology import HydrologyStation
from simulators.devices.vehicle.vehicle import Vehicle
from simulators.links import Endpoints, link_table
from simulators.listener import Address
from simulators.pace import Pace, SystemPace
from simulators.scenario import DeviceSpec, EventSpec, Scenario, ScenarioError
from simulators.ways import WAYS, Driver
from telemetry.clock import SECOND_NS, Clock, SystemClock
from telemetry.records import Value

__all__ = ["City", "Happening"]

_HAPPENINGS_MAX = 1000

_CALLING: Mapping[Driver, Callable[[DeviceSpec, Profile, Surroundings, Callable[[], Address]], Device]] = {
    Driver.CARRIER: CarrierDevice,
    Driver.COAP: Cover,
    Driver.JT808: Vehicle,
    Driver.LWM2M: Lwm2mClient,
    Driver.HJ212: EnvironmentStation,
    Driver.SL651: HydrologyStation,
}
"""Devices that call the agent by themselves."""
_CALLED: Mapping[Driver, Callable[[DeviceSpec, Profile, Surroundings], Device]] = {
    Driver.MODBUS_TCP: ModbusUnit,
    Driver.MODBUS_RTU: ModbusUnit,
    Driver.MODBUS_RTU_TCP: ModbusUnit,
    Driver.SERIAL: SerialNode,
    Driver.DLT645: Dlt645Meter,
    Driver.CJT188: Cjt188Meter,
}
"""Devices that the agent calls, and below what carries them."""
_LINES: Mapping[Driver, Callable[[Sequence[Any]], Line]] = {
    Driver.MODBUS_TCP: ModbusTcpPort,
    Driver.MODBUS_RTU: RtuBus,
    Driver.MODBUS_RTU_TCP: RtuServer,
    Driver.SERIAL: SerialBus,
    Driver.DLT645: MeterBus,
    Driver.CJT188: MeterBus,
}


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the scenario that has taken place. `at_s` is the scenario's time, `time_ns` the clock's, UTC."""

    at_s: float
    time_ns: int
    device: str
    name: str
    kind: str
    what: str
    title: Text
    args: Mapping[str, Value]


class City:
    """The devices of one scenario, from `start_servers` to the end of `run`.

    `places` says where the agent finds what it must call: link name to `host:port` or pty path. Raises ScenarioError
    where the scenario asks for profiles or metrics that the catalog does not have.
    """

    def __init__(
        self,
        scenario: Scenario,
        endpoints: Endpoints | None = None,
        clock: Clock | None = None,
        catalog: Mapping[str, Profile] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.scenario = scenario
        self.endpoints = endpoints or Endpoints()
        self.places: dict[str, str] = {}
        self.happenings_lost = 0
        self._clock = clock or SystemClock()
        self._pace = pace or SystemPace(self._clock)
        self._told: asyncio.Queue[Happening] = asyncio.Queue(maxsize=_HAPPENINGS_MAX)
        profiles = load_catalog() if catalog is None else catalog
        _check(scenario, profiles)
        around = Surroundings(clock=self._clock, seed=scenario.seed, speed=scenario.speed, born_ns=self._clock.wall_ns())
        self.devices = {spec.id: self._build(spec, profiles[spec.profile], around) for spec in scenario.devices}
        self._check_values()
        self._lines: list[Line] = []

    async def start_servers(self) -> None:
        """Bind the ports and open the lines that the agent calls, so that `places` and `agent_links` are complete."""
        for link in self.scenario.links:
            make = _LINES.get(link.driver)
            if make is not None:
                line = make([self.devices[spec.id] for spec in self.scenario.devices if spec.link == link.name])
                self._lines.append(line)
                self.places[link.name] = await line.start()

    async def run(self, endpoints: Endpoints | None = None) -> None:
        """Let the devices live and the scenario's events happen, until cancelled; then close every port and line.

        `endpoints`, where given, says where the agent listens now that it does (port 0 in its config).
        """
        if endpoints is not None:
            self.endpoints = endpoints
        try:
            async with asyncio.TaskGroup() as group:
                for device in self.devices.values():
                    device.body.begin(self._clock.wall_ns())
                    if isinstance(device, Calling):
                        group.create_task(device.run(), name=f"sim {device.spec.id}")
                for line in self._lines:
                    group.create_task(line.run(), name="sim line")
                group.create_task(self._play(), name="sim events")
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every port and line; for a city whose servers were started and that never ran."""
        for line in self._lines:
            await line.close()

    async def happenings(self) -> AsyncIterator[Happening]:
        """The scenario's events as they take place; ends with the task that reads it."""
        while True:
            yield await self._told.get()

    def produced(self) -> dict[str, int]:
        """Readings that the devices of each kind handed over so far."""
        totals: dict[str, int] = {}
        for device in self.devices.values():
            totals[device.spec.kind] = totals.get(device.spec.kind, 0) + device.account.spoken
        return totals

    def accounts(self) -> dict[str, Account]:
        """What each device counted, by its id."""
        return {name: device.account for name, device in self.devices.items()}

    def agent_links(self) -> list[dict[str, object]]:
        """The links and devices that an agent's config needs for this city, one table a link, ready to be written as TOML."""
        return [link_table(link, self.scenario.devices, self.places, self.endpoints) for link in self.scenario.links]

    def tokens(self) -> dict[str, str]:
        """The files that `agent_links` names for its carriers, and what is to stand in each."""
        return {f"{link.name}.token": SIMULATED_TOKEN for link in self.scenario.links if link.driver is Driver.CARRIER}

    def _build(self, spec: DeviceSpec, profile: Profile, around: Surroundings) -> Device:
        driver = self._driver(spec)
        if driver is Driver.MQTT:
            node = profile.wire.mqtt is not None and profile.wire.mqtt.sparkplug is not None
            return (SparkplugNode if node else MqttDevice)(spec, profile, around, lambda: self.endpoints.broker)
        calling = _CALLING.get(driver)
        if calling is not None:
            return calling(spec, profile, around, lambda: self.endpoints.listener(spec.link, driver))
        return _CALLED[driver](spec, profile, around)

    def _driver(self, spec: DeviceSpec) -> Driver:
        return next(link.driver for link in self.scenario.links if link.name == spec.link)

    async def _play(self) -> None:
        start = self._clock.monotonic_ns()
        for event in self.scenario.events:
            await self._pace.until(start + round(event.at_s / self.scenario.speed * SECOND_NS))
            now_ns = self._clock.wall_ns()
            device = self.devices[event.device]
            device.act(event.do, event.args, now_ns)
            self._tell(device, event, now_ns)

    def _tell(self, device: Device, event: EventSpec, now_ns: int) -> None:
        deed = GENERAL.get(event.do) or ACTIONS[device.spec.kind][event.do]
        happening = Happening(
            at_s=event.at_s,
            time_ns=now_ns,
            device=event.device,
            name=device.spec.name or event.device,
            kind=device.spec.kind,
            what=event.do,
            title=deed.title,
            args=event.args,
        )
        try:
            self._told.put_nowait(happening)
        except asyncio.QueueFull:
            self.happenings_lost += 1

    def _check_values(self) -> None:
        """A value that a scenario sets must have a form in its device's language."""
        mistakes = []
        for number, event in enumerate(self.scenario.events):
            if event.do != "set":
                continue
            device = self.devices[event.device]
            now_ns = self._clock.wall_ns()
            device.act("set", event.args, now_ns)
            try:
                device.speak(now_ns)
            except ParseError as error:
                mistakes.append(_mistake(self.scenario, f"events[{number}].value", str(error), "a value that the device can say"))
            device.body.free(str(event.args["metric"]))
        if mistakes:
            raise ScenarioError(mistakes)


def _check(scenario: Scenario, profiles: Mapping[str, Profile]) -> None:
    mistakes = []
    for number, spec in enumerate(scenario.devices):
        if spec.profile not in profiles:
            instead = did_you_mean(spec.profile, profiles)
            mistakes.append(_mistake(scenario, f"devices[{number}].profile", f"no profile {spec.profile!r}", instead))
            continue
        driver = next(link.driver for link in scenario.links if link.name == spec.link)
        spoken = profiles[spec.profile].wire.spoken()
        if WAYS[driver].wire not in spoken:
            instead = f"a link of {' or '.join(way for way in Driver if WAYS[way].wire in spoken)}"
            mistakes.append(_mistake(scenario, f"devices[{number}].link", f"{spec.profile} does not speak {driver}", instead))
    for number, event in enumerate(scenario.events):
        profile = profiles.get(scenario.device(event.device).profile)
        metric = event.args.get("metric")
        if profile is not None and metric is not None and metric not in profile.metrics:
            what = f"{profile.name} does not measure {metric!r}"
            mistakes.append(_mistake(scenario, f"events[{number}].metric", what, did_you_mean(str(metric), profile.metrics)))
    if mistakes:
        raise ScenarioError(mistakes)


def _mistake(scenario: Scenario, where: str, what: str, instead: str) -> Mistake:
    return Mistake(scenario.name, 1, where, what, instead)
