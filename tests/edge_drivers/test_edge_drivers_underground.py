"""The underground city, read by the agent's own drivers over TCP ports and ptys: ordinary at first, then in trouble."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from edge_drivers_peers import Notebook, eventually

from device_profiles.shelf import load_catalog
from edge_agent.alarms.conditions import Facts, Memory, evaluate
from edge_agent.config import LinkConfig, load_config
from edge_agent.drivers import make_driver, rounds
from simulators.city import City
from simulators.links import links_toml
from simulators.scenario import load_scenario
from telemetry.clock import SystemClock

pytestmark = [pytest.mark.integration]

CATALOG = load_catalog()
TROUBLES = {
    "gallery-gas-0001": ("gas_leak", {"methane_high"}),
    "gallery-gas-0002": ("probe_fails", {"sensors_failed"}),
    "gallery-water-0001": ("lose_mains", {"mains_lost"}),
    "gallery-water-0002": ("flood", {"sump_flooded", "pump_without_effect"}),
    "gas-station-0001": ("overpressure", {"outlet_high", "shutoff_acted"}),
    "heat-station-0001": ("stop_pump", {"circulation_stopped", "pump_failed"}),
    "water-main-0001": ("burst", {"main_burst", "pressure_low"}),
    "flow-0001": ("lose_signal", {"signal_poor"}),
    "bridge-0001": ("tilt", {"pier_tilted"}),
    "leakage-0001": ("leak", {"leakage_high", "leakage_rising"}),
    "bridge-shake-0001": ("shake", {"vibration_high", "amplitude_high"}),
    "soil-0001": ("salt", {"soil_salty"}),
    "irrigation-0001": ("valve_sticks", {"water_runs_away"}),
    "supplies-0001": ("use_up", {"soap_low", "paper_low"}),
}


def links_of(city: City, folder: Path) -> tuple[LinkConfig, ...]:
    """The links as an agent's config says them."""
    path = folder / f"{id(city)}.toml"
    head = 'gateway = "gw-underground"\ndata_dir = "data"\nbroker = "mqtt://127.0.0.1:1883"\n'
    path.write_text(head + links_toml(city.agent_links()), "utf-8")
    return load_config(path).links


@contextlib.asynccontextmanager
async def polled(city: City, folder: Path) -> AsyncIterator[Notebook]:
    """What one driver a link hears of a living city."""
    inlet = Notebook()
    await city.start_servers()
    drivers = [make_driver(link, CATALOG, SystemClock()) for link in links_of(city, folder)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(city.run()), *(group.create_task(driver.run(inlet)) for driver in drivers)]
        yield inlet
        for task in tasks:
            task.cancel()


async def heard_from_all(city: City, inlet: Notebook) -> dict[str, dict[str, object]]:
    await eventually(lambda: all(inlet.of(device) for device in city.devices), within_s=30)
    assert inlet.refused == []
    return {device: dict(inlet.of(device)[-1].decoded.values) for device in city.devices}


def true_rules(city: City, device: str, values: dict[str, object]) -> set[str]:
    facts = Facts(values=values, silent_s=0.0)  # type: ignore[arg-type]
    alarms = city.devices[device].profile.alarms
    return {name for name, rule in alarms.items() if evaluate(rule.when, facts, Memory())[0] is True}


async def city_in(trouble: bool, folder: Path) -> tuple[City, dict[str, dict[str, object]]]:
    """One city read once over all its links, with nothing wrong or with each device in trouble."""
    city = City(load_scenario("underground"), catalog=CATALOG)
    for device, (deed, _) in TROUBLES.items() if trouble else ():
        city.devices[device].act(deed, {}, SystemClock().wall_ns())
    async with polled(city, folder) as inlet:
        return city, await heard_from_all(city, inlet)


async def test_every_device_below_the_street_is_read_whole_and_its_troubles_make_its_rules_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_FIRST_S", 0.05)  # the first round asks one unit a second: long for a test
    (city, ordinary), (_, troubled) = await asyncio.gather(
        city_in(trouble=False, folder=tmp_path), city_in(trouble=True, folder=tmp_path)
    )
    assert {link.driver for link in city.scenario.links} == {"modbus_tcp", "modbus_rtu"}
    assert city.devices.keys() == TROUBLES.keys()
    for device, said in ordinary.items():
        assert said.keys() == city.devices[device].profile.metrics.keys()
        assert None not in said.values(), device
        assert true_rules(city, device, said) == set(), device
    assert {device: true_rules(city, device, said) for device, said in troubled.items()} == {
        device: rules for device, (_, rules) in TROUBLES.items()
    }
