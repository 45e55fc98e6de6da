"""The agent's drivers before simulated meters, scales and level sensors, over real ptys: bytes to readings, well and badly."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import edge_drivers_peers as peers
import pytest
from msgspec.structs import replace

from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from edge_agent.config import DeviceConfig, LinkConfig, load_config
from edge_agent.drivers import make_driver
from edge_agent.drivers.serial.meters import MeterDriver
from simulators.city import City
from simulators.devices.base import Device
from simulators.devices.serial.meters import Dlt645Meter
from simulators.links import links_toml
from simulators.scenario import load_scenario
from telemetry.clock import SystemClock
from telemetry.reason import Reason
from telemetry.records import Command, Outcome

CATALOG = load_catalog()
PLACE = "position: {longitude: 120.62, latitude: 31.31}"
SCENARIO = f"""
name: metered
seed: 7
links:
  cabinet: {{driver: dlt645}}
  mains: {{driver: cjt188}}
  scale: {{driver: serial}}
  bins: {{driver: serial}}
devices:
  - {{id: power, kind: electricity_meter, profile: electricity_meter_dlt645, address: "000000012345", link: cabinet, {PLACE}}}
  - {{id: pile, kind: charging_pile, profile: charging_pile_dlt645, address: "000000012346", link: cabinet, {PLACE}}}
  - {{id: water, kind: meter, profile: water_meter_cjt188, address: "00201510270588", link: mains, {PLACE}}}
  - {{id: heat, kind: meter, profile: heat_meter_cjt188, address: "22220000777001", link: mains, {PLACE}}}
  - {{id: gas, kind: meter, profile: gas_meter_cjt188, address: "11110000123456", link: mains, {PLACE}}}
  - {{id: scale, kind: weighbridge, profile: truck_scale_serial, address: "1", link: scale, interval_s: 0.1, {PLACE}}}
  - {{id: bin, kind: level_sensor, profile: bin_level_serial, address: "291", link: bins, {PLACE}}}
  - {{id: drain, kind: level_sensor, profile: drain_level_serial, address: "7", link: bins, {PLACE}}}
"""


def impatient(profile: Profile, items: int) -> Profile:
    """A profile that is polled ten times a second and waits a tenth of one, of a meter's items the first few."""
    quick = {
        name: replace(getattr(profile.wire, name), poll_s=0.1, timeout_s=0.15)
        for name in ("dlt645", "cjt188", "serial")
        if getattr(profile.wire, name) is not None
    }
    if "dlt645" in quick:
        quick["dlt645"] = replace(quick["dlt645"], items=quick["dlt645"].items[:items])
    return replace(profile, wire=replace(profile.wire, **quick))


WHOLE = {name: impatient(profile, 100) for name, profile in CATALOG.items()}
SMALL = {name: impatient(profile, 3) for name, profile in CATALOG.items()}


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pty makes no pauses within a frame."""
    monkeypatch.setattr(MeterDriver, "quiet_s", 0.1)


class Street:
    """A running city, its agent's drivers, and what these heard."""

    def __init__(self, city: City, links: tuple[LinkConfig, ...], catalog: Mapping[str, Profile]) -> None:
        self.city = city
        self.inlet = peers.Notebook()
        self.drivers = [make_driver(link, catalog, SystemClock()) for link in links]

    def device(self, name: str) -> Device:
        return self.city.devices[name]

    def act(self, name: str, do: str, **args: str | float) -> None:
        self.device(name).act(do, args, SystemClock().wall_ns())

    def latest(self, name: str) -> dict[str, object]:
        return dict(self.inlet.of(name)[-1].decoded.values)

    async def hears(self, name: str, **values: object) -> None:
        """Wait for a reading of `name` with these values."""
        await peers.eventually(lambda: self.inlet.of(name) and self.latest(name).items() >= values.items())


@contextlib.asynccontextmanager
async def street(tmp_path: Path, catalog: Mapping[str, Profile]) -> AsyncIterator[Street]:
    (tmp_path / "metered.yaml").write_text(SCENARIO, encoding="utf-8")
    city = City(load_scenario(tmp_path / "metered.yaml"), catalog=catalog)
    await city.start_servers()
    head = 'gateway = "gw"\ndata_dir = "data"\nbroker = "mqtt://127.0.0.1:1"\n\n'
    (tmp_path / "edge.toml").write_text(head + links_toml(city.agent_links()), encoding="utf-8")
    running = Street(city, load_config(tmp_path / "edge.toml").links, catalog)
    task = asyncio.create_task(city.run())
    try:
        async with contextlib.AsyncExitStack() as stack:
            for driver in running.drivers:
                await stack.enter_async_context(peers.running(driver, running.inlet))
            yield running
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_every_meter_scale_and_sensor_is_read_as_it_stands(tmp_path: Path) -> None:
    async with street(tmp_path, WHOLE) as here:
        await peers.eventually(lambda: {heard.device for heard in here.inlet.heard} == set(here.city.devices))
        for name in here.city.devices:
            reading = here.inlet.of(name)[0]
            assert not reading.decoded.flaws, name
            assert reading.decoded.values.keys() <= here.device(name).profile.metrics.keys()
        await peers.eventually(lambda: any("uptime_s" in heard.decoded.values for heard in here.inlet.of("bin")))
        here.act("power", "lose_phase_a")
        here.act("pile", "charge")
        here.act("water", "valve_sticks")
        here.act("heat", "cool")
        here.act("scale", "drive_on")
        here.act("bin", "fill")
        here.act("drain", "probe_fails")
        await here.hears("power", voltage_a_v=0.4, phase_a_lost=True)
        await here.hears("pile", current_a=31.2, power_kw=7.0)
        await here.hears("water", valve_state="fault", battery_low=False)
        await here.hears("heat", supply_temperature_c=28.0)
        await here.hears("scale", weight_kg=32140.0)
        await peers.eventually(lambda: any(heard.decoded.values.get("fill_level_pct") == 97.0 for heard in here.inlet.of("bin")))
        await here.hears("drain", water_level_cm=None, sensor_fault=True)
        assert here.inlet.reasons() == set()
        meters = ("power", "pile", "water", "heat", "gas")
        assert all(here.device(name).account.spoken >= len(here.inlet.of(name)) - 1 for name in meters)


BAD = {"pile": "energy_kwh", "gas": "volume_m3", "drain": "supply_v"}
"""Devices that go bad, each on a line with a neighbour, and a metric by which they are known when they are well again."""


@pytest.mark.parametrize("how", ["noise", "late", "wrong_unit", "silent", "cut", "flood"])
async def test_a_bad_neighbour_costs_itself_and_is_heard_again_when_it_behaves(tmp_path: Path, how: str) -> None:
    async with street(tmp_path, SMALL | {"charging_pile_dlt645": impatient(CATALOG["charging_pile_dlt645"], 5)}) as here:
        await peers.eventually(lambda: {*BAD, "power", "water", "bin"} <= {heard.device for heard in here.inlet.heard})
        for name in BAD:
            here.act(name, "misbehave", how=how)
        before = {name: len(here.inlet.of(name)) for name in ("power", "water", "bin")}
        await peers.eventually(lambda: all(len(here.inlet.of(name)) > count + 1 for name, count in before.items()))
        for name, metric in BAD.items():
            here.act(name, "behave")
            here.act(name, "set", metric=metric, value=12.5)
        for name, metric in BAD.items():
            await here.hears(name, **{metric: 12.5})
        owners = {device.spec.id: device.profile.name for device in here.city.devices.values()}
        assert all(heard.profile.name == owners[heard.device] for heard in here.inlet.heard)
        if how in {"wrong_unit", "cut", "flood"}:
            assert here.inlet.reasons()


async def test_a_long_block_comes_in_parts_and_a_meter_that_takes_no_blocks_is_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dlt645Meter, "most_bytes", 8)
    async with street(tmp_path, WHOLE) as here:
        await peers.eventually(lambda: here.inlet.of("power"))
        assert not here.inlet.of("power")[0].decoded.flaws
        monkeypatch.setattr(Dlt645Meter, "takes_blocks", False)
        await peers.eventually(lambda: Reason.DEVICE_EXCEPTION in here.inlet.reasons("power"))
        count = len(here.inlet.of("power"))
        await peers.eventually(lambda: len(here.inlet.of("power")) > count + 1)
        assert not here.inlet.of("power")[-1].decoded.flaws


def order(device: str, action: str) -> Command:
    return Command(id="c1", gateway="gw", device=device, action=action, args={}, actor="crew", counter=1, issued_ns=1, ttl_s=60)


def hasty(profile: Profile) -> Profile:
    """A profile whose valve must have moved within half a second."""
    orders = {name: spec.valve for name, spec in profile.commands.items() if spec.valve is not None}
    quick = {name: replace(profile.commands[name], valve=replace(order, within_s=0.5)) for name, order in orders.items()}
    return replace(profile, commands=quick)


async def test_a_valve_is_shut_and_opened_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.drivers.serial.meters._VALVE_LOOK_S", 0.05)
    meters = ("water_meter_cjt188", "gas_meter_cjt188")
    async with street(tmp_path, SMALL | {name: hasty(SMALL[name]) for name in meters}) as here:
        driver = next(driver for driver in here.drivers if driver.name == "mains")

        async def told(device: str, action: str) -> tuple[Outcome, Reason | None]:
            result = await driver.command(order(device, action), DeviceConfig(id=device, profile="", address=""))
            return result.outcome, result.reason

        await peers.eventually(lambda: here.inlet.of("gas") and here.inlet.of("water"))
        assert await told("water", "shut_valve") == (Outcome.DONE, None)
        await here.hears("water", valve_state="closed")
        assert await told("water", "open_valve") == (Outcome.DONE, None)
        assert await told("gas", "open_valve") == (Outcome.REFUSED, Reason.UNKNOWN_COMMAND)
        assert await told("nobody", "shut_valve") == (Outcome.REFUSED, Reason.UNKNOWN_DEVICE)
        here.act("gas", "valve_sticks")
        assert await told("gas", "shut_valve") == (Outcome.FAILED, Reason.CONFLICT)
        here.act("gas", "misbehave", how="silent")
        assert await told("gas", "shut_valve") == (Outcome.UNKNOWN, Reason.TIMEOUT)
        here.act("water", "misbehave", how="late")
        assert (await told("water", "shut_valve"))[0] is not Outcome.DONE, "a late word is not taken for another's"
    assert await told("water", "shut_valve") == (Outcome.FAILED, Reason.UNREACHABLE)
