"""The rainstorm's stations dial the agent's own listeners over TCP: ordinary at first, then in trouble, then badly."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from edge_drivers_peers import Notebook, eventually

from device_profiles.shelf import load_catalog
from edge_agent.alarms.conditions import Facts, Memory, evaluate
from edge_agent.config import load_config
from edge_agent.drivers import make_driver
from simulators.city import City
from simulators.links import Endpoints, links_toml
from simulators.scenario import load_scenario
from telemetry.clock import SystemClock
from telemetry.reason import Reason

pytestmark = [pytest.mark.integration]

CATALOG = load_catalog()
TROUBLES = {
    "rain-0001": ("cloudburst", {"heavy_rain"}),
    "underpass-0001": ("flood", {"underpass_flooded", "underpass_ponding", "water_appears"}),
    "underpass-0002": ("probe_fails", {"level_meter_failed"}),
    "drain-0001": ("block", {"drain_blocked"}),
    "noise-0001": ("din", {"noise_high"}),
    "fume-0001": ("bypass", {"purifier_bypassed"}),
    "outfall-0001": ("discharge", {"cod_excess", "ph_out_of_range", "ammonia_excess", "oxygen_low"}),
}
HEAD = 'gateway = "gw-rain"\ndata_dir = "data"\nbroker = "mqtt://127.0.0.1:1883"\n'


@contextlib.asynccontextmanager
async def dialled(city: City, inlet: Notebook, folder: Path) -> AsyncIterator[None]:
    """The city alive, and one listener a link, as an agent's config says them."""
    path = folder / f"{id(city)}.toml"
    path.write_text(HEAD + links_toml(city.agent_links()), "utf-8")
    links = load_config(path).links
    drivers = {link.name: make_driver(link, CATALOG, SystemClock()) for link in links}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(driver.run(inlet)) for driver in drivers.values()]
        await eventually(lambda: all(driver.started.is_set() for driver in drivers.values()))
        at = Endpoints(listeners={name: driver.ports[0] for name, driver in drivers.items()})
        tasks.append(group.create_task(city.run(at)))
        yield
        for task in tasks:
            task.cancel()


def said_of(inlet: Notebook, device: str) -> dict[str, object]:
    """Everything that was heard of a device, the newest value of each metric."""
    return {metric: value for heard in inlet.of(device) for metric, value in heard.decoded.values.items()}


def true_rules(city: City, device: str, values: dict[str, object]) -> set[str]:
    facts = Facts(values=values, silent_s=0.0)  # type: ignore[arg-type]
    alarms = city.devices[device].profile.alarms
    return {name for name, rule in alarms.items() if evaluate(rule.when, facts, Memory())[0] is True}


async def city_in(trouble: bool, folder: Path) -> tuple[City, dict[str, dict[str, object]]]:
    city, inlet = City(load_scenario("rainstorm"), catalog=CATALOG), Notebook()
    for device, (deed, _) in TROUBLES.items() if trouble else ():
        city.devices[device].act(deed, {}, SystemClock().wall_ns())
    async with dialled(city, inlet, folder):
        await eventually(lambda: all(account.confirmed for account in city.accounts().values()))
        # Values and states of equipment are two messages.
        await eventually(lambda: "fan_on" in said_of(inlet, "fume-0001"))
    assert not inlet.refused
    return city, {device: said_of(inlet, device) for device in city.devices}


async def test_every_station_is_heard_and_answered_and_its_troubles_make_its_rules_true(tmp_path: Path) -> None:
    (city, ordinary), (_, troubled) = await asyncio.gather(
        city_in(trouble=False, folder=tmp_path), city_in(trouble=True, folder=tmp_path)
    )
    assert city.devices.keys() == TROUBLES.keys()
    for device, said in ordinary.items():
        assert None not in said.values(), device
        assert true_rules(city, device, said) == set(), device
    assert {device: true_rules(city, device, said) for device, said in troubled.items()} == {
        device: rules for device, (_, rules) in TROUBLES.items()
    }


async def test_bad_stations_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    city, inlet = City(load_scenario("rainstorm"), catalog=CATALOG), Notebook()
    for device, how in {"noise-0001": "noise", "underpass-0002": "cut", "rain-0001": "wrong_unit", "fume-0001": "flood"}.items():
        city.devices[device].act("misbehave", {"how": how}, SystemClock().wall_ns())
    accounts = city.accounts()
    wanted = {Reason.UNKNOWN_DEVICE, Reason.TRUNCATED}
    async with dialled(city, inlet, tmp_path):
        for device in ("underpass-0001", "outfall-0001"):
            city.devices[device].act("set", {"metric": "supply_v" if "under" in device else "ph", "value": 7.0}, 0)
            await eventually(lambda device=device: accounts[device].confirmed >= 1)  # type: ignore[misc]
        await eventually(lambda: accounts["fume-0001"].confirmed >= 50)
        await eventually(lambda: wanted <= inlet.reasons())
    assert not inlet.of("rain-0001")
    assert not inlet.of("underpass-0002")
    assert accounts["noise-0001"].spoiled >= 1
