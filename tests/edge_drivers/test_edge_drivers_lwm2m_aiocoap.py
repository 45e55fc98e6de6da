"""An LwM2M client whose CoAP is aiocoap's: messages, observation and blocks as another implementation sees them."""

import asyncio
import json
from collections.abc import AsyncIterator

import edge_drivers_peers as peers
import pytest
from aiocoap import Context, Message, resource
from aiocoap.numbers import codes
from edge_drivers_firmware import client as firmware_client
from edge_drivers_firmware import device, package, register
from edge_drivers_lwm2m import LAMP, link, order

from edge_agent.backoff import Backoff
from edge_agent.updates.lwm2m import ResourcesUpdate
from edge_agent.updates.runner import run_update
from firmware_bridge.update.standing import Phase
from simulators.devices.firmware.faces import Object5
from telemetry.records import Outcome

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1", "::ffff:127.0.0.1"])
SENML_JSON = 110


class Lamp(resource.ObservableResource):  # type: ignore[misc]  # aiocoap is not typed
    """The object instance /3416/0, with more in it than one datagram holds."""

    def __init__(self) -> None:
        super().__init__()
        self.level = 100

    async def render_get(self, _request: Message) -> Message:
        pack = [{"n": "/3416/0/3", "v": self.level}, *({"n": f"/3416/0/{number}", "v": 1} for number in range(4000, 4060))]
        return Message(payload=json.dumps(pack).encode(), content_format=SENML_JSON)

    async def render_put(self, _request: Message) -> Message:
        return Message(code=codes.CHANGED)  # pmin and pmax


class Command(resource.Resource):  # type: ignore[misc]  # as above
    """The resource /3416/0/1."""

    def __init__(self, lamp: Lamp) -> None:
        super().__init__()
        self._lamp = lamp

    async def render_put(self, request: Message) -> Message:
        if request.opt.content_format != SENML_JSON:
            return Message(code=codes.UNSUPPORTED_CONTENT_FORMAT)
        (said,) = json.loads(request.payload)
        self._lamp.level = said["v"]
        self._lamp.updated_state()
        return Message(code=codes.CHANGED)


@pytest.fixture
async def client() -> AsyncIterator[tuple[Context, Lamp]]:
    lamp, site = Lamp(), resource.Site()
    site.add_resource(["3416", "0"], lamp)
    site.add_resource(["3416", "0", "1"], Command(lamp))
    port = peers.free_port()
    context = await Context.create_server_context(site, bind=("::ffff:127.0.0.1", port), transports=["udp6"])
    yield context, lamp
    await context.shutdown()


async def test_a_client_of_another_implementation_registers_is_observed_dimmed_and_sends(client: tuple[Context, Lamp]) -> None:
    context, lamp = client
    inlet, driver = peers.Notebook(), link(LAMP)
    async with peers.running(driver, inlet):
        host, port = driver.ports[0]
        at = f"coap://{host}:{port}"
        links = b'</>;rt="oma.lwm2m";ct=110,</3416/0>'
        query = f"ep={LAMP.address}&lwm2m=1.1&lt=60&b=U"
        registered = await context.request(
            Message(code=codes.POST, uri=f"{at}/rd?{query}", payload=links, content_format=40)
        ).response
        assert registered.code == codes.CREATED
        await peers.eventually(lambda: [heard.decoded.values for heard in inlet.heard] == [{"dimming_pct": 100}])

        result = await asyncio.wait_for(driver.command(order("dim", level=30), LAMP), 5)
        assert (result.outcome, lamp.level) == (Outcome.DONE, 30)
        await peers.eventually(lambda: inlet.heard[-1].decoded.values == {"dimming_pct": 30})

        path = "/".join(registered.opt.location_path)
        assert (await context.request(Message(code=codes.POST, uri=f"{at}/{path}")).response).code == codes.CHANGED
        history = [{"bn": "/3416/0/3", "bt": 1795142400 + number, "v": number} for number in range(100)]  # in two blocks
        sent = Message(code=codes.POST, uri=f"{at}/dp", payload=json.dumps(history).encode(), content_format=SENML_JSON)
        assert (await context.request(sent).response).code == codes.CHANGED
        await peers.eventually(lambda: len(inlet.heard) >= 102)
        assert inlet.heard[-1].decoded.values == {"dimming_pct": 99}
    assert not inlet.refused


async def test_a_device_gets_new_firmware_by_object_5() -> None:
    bootloader = device()
    object5 = Object5(bootloader)
    inlet, driver = peers.Notebook(), link(LAMP)
    async with firmware_client(object5) as context, peers.running(driver, inlet):
        await register(context, driver, LAMP.address, object5)
        update = asyncio.ensure_future(
            run_update(ResourcesUpdate(driver.resources(LAMP, 5), package(2)), pauses=Backoff(0.05, 0.1))
        )
        await peers.eventually(lambda: bootloader.standing().phase is Phase.TRIAL)
        bootloader.boot()
        await register(context, driver, LAMP.address, object5)
        ending = await asyncio.wait_for(update, 8)
        assert (ending.reason, bootloader.running.version) == (None, 2)
