"""libcoap's client, which we did not write, before the CoAP driver and the LwM2M driver."""

import asyncio
import json
import re
from collections.abc import Callable

import edge_drivers_peers as peers
import pytest
from edge_drivers_lwm2m import CATALOG, CLOCK, COVER, link

from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, make_driver
from edge_agent.link_kinds import CoapOptions, DriverName
from telemetry.reason import Reason

NB = DeviceConfig(id="cover-2", profile="cover_nbiot", address="862177040123456")
DOCUMENT = {"imei": NB.address, "ts": 1795142400, "tilt": 47.5, "open": True}


@pytest.fixture
def client(need_server: Callable[[str, str], str]) -> str:
    return need_server("coap-client-notls", "libcoap3-bin")


async def ask(client: str, driver: Driver, method: str, path: str, payload: str = "", form: str = "50") -> str:
    """What the client says of the exchange: `2.04`, and the path that the answer names."""
    host, port = driver.ports[0]
    arguments = ["-v", "7", "-B", "5", "-m", method, *(["-t", form, "-e", payload] if payload else [])]
    process = await asyncio.create_subprocess_exec(
        client, *arguments, f"coap://{host}:{port}/{path}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said = (await asyncio.wait_for(process.communicate(), 8))[0].decode("utf-8", "replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    code = re.findall(r"t:(?:ACK|CON|NON) c:([245]\.\d\d)", said)
    return " ".join([*code[-1:], *re.findall(r"Location-Path:(\w+)", said)])


def coap_link() -> Driver:
    listening = LinkConfig(name="nb", driver=DriverName.COAP, devices=(NB,), options=CoapOptions(port=0))
    return make_driver(listening, CATALOG, CLOCK)


async def test_a_document_is_answered_2_04_once_it_is_committed(client: str) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet):
        answered = asyncio.ensure_future(ask(client, driver, "post", "t/cover", json.dumps(DOCUMENT)))
        await peers.eventually(lambda: inlet.under_way == 1)
        await asyncio.sleep(0.3)
        assert not answered.done(), "not before the commit"
        inlet.gate.set()
        assert await answered == "2.04"
    (heard,) = inlet.heard
    assert (heard.device, heard.decoded.values) == ("cover-2", {"tilt_deg": 47.5, "cover_open": True})


async def test_what_cannot_be_read_and_who_is_not_known_are_refused(client: str) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet):
        assert await ask(client, driver, "post", "t/cover", "{") == "4.00"
        assert await ask(client, driver, "post", "t/cover", json.dumps(DOCUMENT | {"imei": "1"})) == "4.03"
        assert await ask(client, driver, "get", "nowhere") == "4.04"
    assert not inlet.heard


async def test_a_registration_an_update_and_a_farewell_in_libcoaps_words(client: str) -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        registered = await ask(client, driver, "post", f"rd?ep={COVER.address}&lwm2m=1.1&lt=60&b=U", "</3408/0>", "40")
        code, *location = registered.split()
        assert (code, location[0]) == ("2.01", "rd")
        assert await ask(client, driver, "post", "/".join(location)) == "2.04"
        assert await ask(client, driver, "delete", "/".join(location)) == "2.02"
        assert await ask(client, driver, "post", "/".join(location)) == "4.04"
        assert await ask(client, driver, "post", "rd?ep=somebody&lwm2m=1.1", "</3408/0>", "40") == "4.03"
    assert Reason.UNKNOWN_DEVICE in inlet.reasons()
