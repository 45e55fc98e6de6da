"""The narrowband city before the agent's own drivers: ordinary at first, then each device in trouble."""

import asyncio
from pathlib import Path

import edge_drivers_peers as peers
import pytest
from edge_drivers_lwm2m import CATALOG, CLOCK

from edge_agent.config import load_config
from edge_agent.drivers import make_driver
from simulators.city import City
from simulators.links import Endpoints, links_toml
from simulators.scenario import load_scenario

pytestmark = [pytest.mark.integration, pytest.mark.allow_hosts(["127.0.0.1", "::1", "::ffff:127.0.0.1"])]

TROUBLES = {
    "lamp-0001": ("fail", "lamp_failure", True),
    "lamp-0002": ("lose_gear", "gear_failure", True),
    "pole-power-0001": ("sag", "voltage_v", 176.0),
    "cover-lw-0001": ("open", "cover_open", True),
    "cover-on-0001": ("flood", "water_level_cm", 210.0),
    "cover-on-0002": ("open", "cover_open", True),
    "cover-nb-0001": ("tilt", "tilt_deg", 24.0),
    "cover-nb-0002": ("open", "cover_open", True),
}


async def test_every_device_is_heard_by_its_own_road_and_what_happens_to_it_at_once(tmp_path: Path) -> None:
    city, inlet = City(load_scenario("narrowband"), catalog=CATALOG), peers.Notebook()
    await city.start_servers()
    path = tmp_path / "edge.toml"
    head = 'gateway = "gw-narrow"\ndata_dir = "data"\nbroker = "mqtt://127.0.0.1:1883"\n'
    path.write_text(head + links_toml(city.agent_links()), "utf-8")
    for name, token in city.tokens().items():
        (tmp_path / name).write_text(token, "utf-8")
    drivers = [make_driver(link, CATALOG, CLOCK) for link in load_config(path).links]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(driver.run(inlet)) for driver in drivers]
        await peers.eventually(lambda: all(driver.started.is_set() for driver in drivers))
        endpoints = Endpoints(listeners={driver.name: driver.ports[0] for driver in drivers})
        tasks.append(group.create_task(city.run(endpoints)))

        def said(device: str, metric: str) -> object:
            told = [heard.decoded.values[metric] for heard in inlet.of(device) if metric in heard.decoded.values]
            return told[-1] if told else None

        await peers.eventually(lambda: all(said(device, metric) is not None for device, (_, metric, _) in TROUBLES.items()))
        for device, metrics in ((name, city.devices[name].profile.metrics) for name in TROUBLES):
            await peers.eventually(lambda device=device, metrics=metrics: all(said(device, each) is not None for each in metrics))
        assert inlet.refused == []
        for device, (deed, _, _) in TROUBLES.items():
            city.devices[device].act(deed, {}, CLOCK.wall_ns())
        await peers.eventually(lambda: all(said(device, metric) == value for device, (_, metric, value) in TROUBLES.items()))
        for task in tasks:
            task.cancel()
    assert TROUBLES.keys() == city.devices.keys()
