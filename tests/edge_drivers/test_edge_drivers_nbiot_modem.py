"""A cover behind an NB-IoT modem: the AT machine on one end of a pty, a simulated modem on the other, the agent behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import edge_drivers_peers as peers
import pytest
from edge_drivers_lwm2m import CATALOG, CLOCK

from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, make_driver
from edge_agent.link_kinds import CoapOptions, DriverName
from firmware_bridge.nbiot.machine import ModemConfig
from simulators.deeds import Kind
from simulators.devices.base import Surroundings
from simulators.devices.cover.cover import Cover
from simulators.devices.cover.modem import SimulatedModem
from simulators.devices.cover.modem_port import ModemPort
from simulators.scenario import DeviceSpec
from simulators.ways import Form

NB = DeviceConfig(id="cover-1", profile="cover_nbiot", address="867726031076062")
FAMILIES = [pytest.param(Form.BC95, id="BC95"), pytest.param(Form.BC26, id="BC26")]


def coap_link() -> Driver:
    listening = LinkConfig(name="nb", driver=DriverName.COAP, devices=(NB,), options=CoapOptions(port=0))
    return make_driver(listening, CATALOG, CLOCK)


@asynccontextmanager
async def alive(form: Form, driver: Driver, untimely: float = 0.0) -> AsyncIterator[Cover]:
    spec = DeviceSpec(
        id=NB.id, kind=Kind.COVER, profile=NB.profile, address=NB.address, link="nb", longitude=120.6, latitude=31.3,
        interval_s=3600, form=form,
    )  # fmt: skip
    around = Surroundings(clock=CLOCK, seed=7, born_ns=CLOCK.wall_ns())
    cover = Cover(spec, CATALOG[NB.profile], around, lambda: driver.ports[0], ack_timeout_s=0.5)
    assert cover.modem is not None
    cover.modem.modem.untimely = untimely
    task = asyncio.ensure_future(cover.run())
    try:
        yield cover
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


def opened(inlet: peers.Notebook) -> list[object]:
    return [heard.decoded.values["cover_open"] for heard in inlet.heard]


@pytest.mark.parametrize("form", FAMILIES)
async def test_a_report_goes_through_a_modem_and_is_answered(form: Form) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet), alive(form, driver) as cover:
        await peers.eventually(lambda: cover.account.confirmed == 1)
        cover.act("open", {}, CLOCK.wall_ns())
        await peers.eventually(lambda: cover.account.confirmed == 2)
        assert cover.modem is not None
        assert cover.modem.port is not None
        assert cover.modem.port.facts["imei"] == "867726031076062"
        assert (cover.modem.port.facts["rssi_index"], cover.modem.port.refused) == (18, 0)
    assert opened(inlet) == [False, True]
    assert not inlet.refused


@pytest.mark.parametrize("form", FAMILIES)
async def test_notices_at_the_wrong_moment_lose_nothing(form: Form) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet), alive(form, driver, untimely=0.5) as cover:
        for done in range(1, 5):
            await peers.eventually(lambda done=done: cover.account.confirmed == done)
            cover.act("open" if done % 2 else "close", {}, CLOCK.wall_ns())
        await peers.eventually(lambda: cover.account.confirmed == 5)
    assert opened(inlet) == [False, True, False, True, False]


@pytest.mark.parametrize("form", FAMILIES)
async def test_a_modem_that_begins_again_is_brought_back_and_the_report_comes_through(form: Form) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet), alive(form, driver) as cover:
        await peers.eventually(lambda: cover.account.confirmed == 1)
        assert cover.modem is not None
        cover.modem.modem.reboot()
        cover.act("open", {}, CLOCK.wall_ns())
        await peers.eventually(lambda: cover.account.confirmed == 2)
        assert cover.modem.modem.commands["AT+CGATT"] == 2
    assert opened(inlet)[-1] is True


async def test_a_port_that_is_unplugged_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.devices.cover.modem_port._REOPEN_S", 0.02)
    heard: list[bytes] = []
    modem = SimulatedModem("bc95")
    port = ModemPort(modem.path, ModemConfig(family="bc95", host="127.0.0.1", port=9), CLOCK, heard.append)
    tasks = [asyncio.ensure_future(each.run()) for each in (modem, port)]
    await peers.eventually(port.ready.is_set)
    modem.line.close()
    await peers.eventually(lambda: port.refused > 2 and not port.ready.is_set())
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert port.starts == 1
