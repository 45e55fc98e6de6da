"""Everything that publishes by itself, on one broker, read by the agent's drivers: ordinary, in trouble, and badly."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from edge_drivers_peers import Notebook, eventually

from device_profiles.shelf import load_catalog
from edge_agent.alarms.conditions import Facts, Memory, evaluate
from edge_agent.config import load_config
from edge_agent.drivers import Driver, make_driver
from simulators.city import City
from simulators.links import Endpoints, links_toml
from simulators.scenario import load_scenario
from telemetry.clock import SystemClock
from telemetry.reason import Reason

pytestmark = [pytest.mark.integration]

CATALOG = load_catalog()
TROUBLES = {
    "counter-0001": ("crowd", {"crowded"}),
    "cubicle-0001": ("battery_low", {"sensor_battery_low"}),
    "soap-0001": ("use_up", {"soap_low", "paper_low"}),
    "bin-0001": ("fill", {"bin_full"}),
    "bin-0002": ("burn", {"bin_on_fire"}),
    "pole-0017": ("open_hatch", {"hatch_open"}),
}


@contextlib.asynccontextmanager
async def read(city: City, inlet: Notebook, folder: Path) -> AsyncIterator[dict[str, Driver]]:
    """The city alive, and one subscriber a link, as an agent's config says them."""
    path = folder / "edge.toml"
    head = f'gateway = "gw-publishers"\ndata_dir = "data"\nbroker = "{city.endpoints.broker}"\n'
    path.write_text(head + links_toml(city.agent_links()), "utf-8")
    drivers = {link.name: make_driver(link, CATALOG, SystemClock()) for link in load_config(path).links}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(driver.run(inlet)) for driver in drivers.values()]
        await eventually(lambda: all(driver.health().up for driver in drivers.values()))
        tasks.append(group.create_task(city.run()))
        yield drivers
        for task in tasks:
            task.cancel()


@pytest.fixture
def city(start_mosquitto: Callable[[], int]) -> City:
    """The scenario on a broker of its own: what is retained there is nobody else's."""
    return City(load_scenario("publishers"), Endpoints(broker=f"mqtt://127.0.0.1:{start_mosquitto()}"), catalog=CATALOG)


def said_of(inlet: Notebook, device: str) -> dict[str, object]:
    return {metric: value for heard in inlet.of(device) for metric, value in heard.decoded.values.items()}


def true_rules(city: City, device: str, values: dict[str, object]) -> set[str]:
    facts = Facts(values=values, silent_s=0.0)  # type: ignore[arg-type]
    rules = city.devices[device].profile.alarms
    return {name for name, rule in rules.items() if evaluate(rule.when, facts, Memory())[0] is True}


async def test_every_publisher_is_read_whole_and_its_troubles_make_its_rules_true(city: City, tmp_path: Path) -> None:
    inlet = Notebook()
    async with read(city, inlet, tmp_path) as drivers:
        wanted = {name: device.profile.metrics.keys() for name, device in city.devices.items()}
        await eventually(lambda: all(said_of(inlet, name).keys() >= metrics for name, metrics in wanted.items()))
        for name in city.devices:
            assert true_rules(city, name, said_of(inlet, name)) == set(), name
        for name, (deed, _) in TROUBLES.items():
            city.devices[name].act(deed, {}, SystemClock().wall_ns())
        await eventually(
            lambda: all(true_rules(city, name, said_of(inlet, name)) == rules for name, (_, rules) in TROUBLES.items())
        )
        assert [driver.health().absent for driver in drivers.values()] == [(), ()]
    assert not inlet.refused
    # Nothing was made up: every reading tells the device's own time, but for the words of presence.
    assert {tuple(heard.decoded.values) for heard in inlet.heard if heard.decoded.time_ns is None} == {("device_online",)}


async def test_bad_publishers_are_refused_and_the_others_go_on(city: City, tmp_path: Path) -> None:
    now_ns = SystemClock().wall_ns()
    for name, how in {"bin-0001": "noise", "bin-0002": "wrong_unit", "counter-0001": "flood", "cubicle-0001": "cut"}.items():
        city.devices[name].act("misbehave", {"how": how}, now_ns)
    city.devices["soap-0001"].act("misbehave", {"how": "silent"}, now_ns)
    inlet = Notebook()
    async with read(city, inlet, tmp_path):
        await eventually(lambda: len(inlet.of("counter-0001")) > 30)
        await eventually(lambda: "tilt_deg" in said_of(inlet, "pole-0017") and "occupied" in said_of(inlet, "cubicle-0002"))
        await eventually(lambda: {Reason.UNKNOWN_DEVICE, Reason.NOT_JSON} <= inlet.reasons() and inlet.reasons("bin-0001"))
    assert not inlet.of("bin-0001")
    assert not inlet.of("bin-0002")
    assert said_of(inlet, "soap-0001").keys() <= {"device_online"}
