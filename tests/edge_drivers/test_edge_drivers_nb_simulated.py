"""Simulated LwM2M clients and a simulated carrier before the agent's drivers, well and badly behaved."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import edge_drivers_peers as peers
import pytest
from edge_drivers_lwm2m import CATALOG, CLOCK, COVER, LAMP, link, order

from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, make_driver
from edge_agent.drivers.lwm2m.sending import Patience
from edge_agent.link_kinds import CarrierOptions, DriverName
from simulators.deeds import How, Kind
from simulators.devices.base import Calling, Surroundings
from simulators.devices.carrier_platform import SIMULATED_TOKEN, CarrierDevice
from simulators.devices.lwm2m.client import Lwm2mClient
from simulators.listener import Address
from simulators.scenario import DeviceSpec
from telemetry.reason import Reason
from telemetry.records import Outcome

SPEED = 20.0  # of the simulated devices: an acknowledgement is waited for a tenth of a second
PUSHED = DeviceConfig(id="cover-9", profile="cover_onenet", address="2016617")
POWER = DeviceConfig(id="power-1", profile="power_monitor_lwm2m", address="pole-5")
BRISK = Patience(first_s=0.2, factor=1.0, repeats=2, answer_s=1.0)


def simulated(
    make: Callable[[DeviceSpec, object, Surroundings, Callable[[], Address]], Calling],
    kind: Kind,
    device: DeviceConfig,
    driver: Driver,
    interval_s: float = 3600,
) -> Calling:
    spec = DeviceSpec(
        id=device.id,
        kind=kind,
        profile=device.profile,
        address=device.address,
        link="nb",
        longitude=120.6,
        latitude=31.3,
        interval_s=interval_s,
    )
    around = Surroundings(clock=CLOCK, seed=1, speed=SPEED, born_ns=CLOCK.wall_ns())
    return make(spec, CATALOG[device.profile], around, lambda: driver.ports[0])


@asynccontextmanager
async def living(device: Calling) -> AsyncIterator[Calling]:
    task = asyncio.ensure_future(device.run())
    try:
        yield device
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


def act(device: Calling, do: str, **args: str | float) -> None:
    device.act(do, args, CLOCK.wall_ns())


def latest(inlet: peers.Notebook, device: DeviceConfig, metric: str) -> object:
    told = [heard.decoded.values[metric] for heard in inlet.of(device.id) if metric in heard.decoded.values]
    return told[-1] if told else None


async def test_a_cover_that_is_opened_is_heard_at_once_and_counts_its_acknowledgement() -> None:
    inlet, driver = peers.Notebook(), link(COVER, patience=BRISK)
    async with peers.running(driver, inlet), living(simulated(Lwm2mClient, Kind.COVER, COVER, driver)) as cover:
        await peers.eventually(lambda: len(inlet.of("cover-1")) == 4)
        assert latest(inlet, COVER, "cover_open") is False
        assert latest(inlet, COVER, "temperature_c") is not None
        act(cover, "open")
        await peers.eventually(lambda: latest(inlet, COVER, "cover_open") is True)
        assert latest(inlet, COVER, "tilt_deg") == 72
        await peers.eventually(lambda: cover.account.confirmed == cover.account.spoken > 0)
    assert not inlet.refused


async def test_a_lamp_is_dimmed_and_says_so_by_itself() -> None:
    inlet, driver = peers.Notebook(), link(LAMP, patience=BRISK)
    async with peers.running(driver, inlet), living(simulated(Lwm2mClient, Kind.LAMP_SINGLE, LAMP, driver)) as lamp:
        await peers.eventually(lambda: latest(inlet, LAMP, "dimming_pct") == 100)
        assert (await driver.command(order("dim", level=30), LAMP)).outcome is Outcome.DONE
        await peers.eventually(lambda: latest(inlet, LAMP, "dimming_pct") == 30)
        assert (await driver.command(order("reset_lamp_hours"), LAMP)).outcome is Outcome.DONE
        assert lamp.account.requests >= 3
        act(lamp, "fail")
        await peers.eventually(lambda: latest(inlet, LAMP, "lamp_failure") is True)


async def test_an_order_to_a_slow_lamp_is_carried_out_once_and_to_a_silent_one_nobody_knows() -> None:
    inlet, driver = peers.Notebook(), link(LAMP, patience=BRISK)
    async with peers.running(driver, inlet), living(simulated(Lwm2mClient, Kind.LAMP_SINGLE, LAMP, driver)) as lamp:
        await peers.eventually(lambda: latest(inlet, LAMP, "dimming_pct") == 100)
        act(lamp, "misbehave", how="late")
        before = lamp.account.requests
        result = await driver.command(order("dim", level=70), LAMP)
        assert (result.outcome, lamp.account.requests) == (Outcome.DONE, before + 1)
        act(lamp, "misbehave", how="silent")
        result = await driver.command(order("dim", level=20), LAMP)
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.TIMEOUT)
        assert lamp.account.requests == before + 1


async def test_a_client_registers_anew_with_an_agent_that_was_restarted() -> None:
    first, second = link(POWER, patience=BRISK), link(POWER, patience=BRISK)
    client = simulated(Lwm2mClient, Kind.POWER_MONITOR, POWER, first, interval_s=4)
    async with peers.running(first, inlet := peers.Notebook()):
        task = asyncio.ensure_future(client.run())
        await peers.eventually(lambda: latest(inlet, POWER, "voltage_v"))
    async with peers.running(second, again := peers.Notebook()):
        first.ports = second.ports  # where the client will look for it
        await peers.eventually(lambda: latest(again, POWER, "voltage_v"))
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        pytest.param(How.NOISE, lambda inlet: inlet.refused, id="noise"),
        pytest.param(How.CUT, lambda inlet: {Reason.TRUNCATED, Reason.BAD_FIELD} & inlet.reasons(), id="cut short"),
        pytest.param(How.WRONG_UNIT, lambda inlet: Reason.WRONG_TRANSACTION in inlet.reasons(), id="in another's name"),
        pytest.param(How.FLOOD, lambda inlet: len(inlet.heard) > 40, id="without end"),
    ],
)
async def test_a_badly_behaved_client_harms_nobody_and_is_heard_again_afterwards(how, seen) -> None:
    inlet, driver = peers.Notebook(), link(POWER, COVER, patience=BRISK)
    async with (
        peers.running(driver, inlet),
        living(simulated(Lwm2mClient, Kind.POWER_MONITOR, POWER, driver, interval_s=4)) as bad,
        living(simulated(Lwm2mClient, Kind.COVER, COVER, driver)) as good,
    ):
        await peers.eventually(lambda: latest(inlet, POWER, "voltage_v") and latest(inlet, COVER, "cover_open") is False)
        act(bad, "misbehave", how=how.value)
        act(bad, "sag")
        await peers.eventually(lambda: seen(inlet))
        act(good, "open")
        await peers.eventually(lambda: latest(inlet, COVER, "cover_open") is True)
        act(bad, "behave")
        act(bad, "set", metric="voltage_v", value=201.5)
        await peers.eventually(lambda: latest(inlet, POWER, "voltage_v") == 201.5)


def push_link(folder: Path) -> Driver:
    (folder / "token").write_text(SIMULATED_TOKEN)
    options = CarrierOptions(port=0, platform="onenet", secret_file=folder / "token")
    return make_driver(LinkConfig(name="push", driver=DriverName.CARRIER, devices=(PUSHED,), options=options), CATALOG, CLOCK)


async def test_a_platform_pushes_until_it_is_answered_200(tmp_path: Path) -> None:
    inlet, driver = peers.Notebook(), push_link(tmp_path)
    async with peers.running(driver, inlet), living(simulated(CarrierDevice, Kind.COVER, PUSHED, driver)) as cover:
        await peers.eventually(lambda: latest(inlet, PUSHED, "cover_open") is False)
        act(cover, "open")
        await peers.eventually(lambda: latest(inlet, PUSHED, "cover_open") is True)
        await peers.eventually(lambda: cover.account.confirmed == cover.account.spoken == 2)
        act(cover, "misbehave", how="wrong_unit")
        act(cover, "close")
        await peers.eventually(lambda: cover.account.overflow == 1)
        assert cover.account.refused == 4
        act(cover, "misbehave", how="noise")
        act(cover, "tilt")
        await peers.eventually(lambda: cover.account.spoiled == 1)
        act(cover, "behave")
        act(cover, "flood")
        await peers.eventually(lambda: latest(inlet, PUSHED, "water_level_cm") == 210)
    assert Reason.UNKNOWN_DEVICE in inlet.reasons()
