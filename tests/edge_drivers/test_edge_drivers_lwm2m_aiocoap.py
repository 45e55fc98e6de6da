"""An LwM2M client whose CoAP is aiocoap's: messages, observation and blocks as another implementation sees them."""

import asyncio
import json
from collections.abc import AsyncIterator

import edge_drivers_peers as peers
import pytest
from aiocoap import Context, Message, resource
from aiocoap.numbers import codes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edge_drivers_lwm2m import LAMP, link, order

from edge_agent.backoff import Backoff
from edge_agent.updates.lwm2m import ResourcesUpdate
from edge_agent.updates.runner import run_update
from firmware_bridge.update.manifest import Manifest, digest_of
from firmware_bridge.update.package import Package, sign_package
from firmware_bridge.update.standing import Phase
from simulators.devices.firmware.bootloader import Bootloader
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


class Firmware(resource.Resource):  # type: ignore[misc]  # as above
    """One resource of the firmware object, before a simulated bootloader."""

    def __init__(self, path: str, object5: Object5) -> None:
        super().__init__()
        self._path = path
        self._object5 = object5

    async def render_get(self, _request: Message) -> Message:
        return Message(payload=str(self._object5.read(self._path)).encode(), content_format=0)

    async def render_put(self, request: Message) -> Message:
        self._object5.block(request.payload, first=True, last=True)
        return Message(code=codes.CHANGED)

    async def render_post(self, _request: Message) -> Message:
        self._object5.execute(self._path)
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
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    bootloader = Bootloader(key.public_key(), signed(key, 3), 8192)
    object5, site = Object5(bootloader), resource.Site()
    for path in ("/5/0/0", "/5/0/2", "/5/0/3", "/5/0/5", "/5/0/7", "/3/0/3"):
        site.add_resource(path.strip("/").split("/"), Firmware(path, object5))
    context = await Context.create_server_context(site, bind=("::ffff:127.0.0.1", peers.free_port()), transports=["udp6"])
    inlet, driver = peers.Notebook(), link(LAMP)
    try:
        async with peers.running(driver, inlet):
            uri = "coap://{}:{}/rd?ep={}&lwm2m=1.1".format(*driver.ports[0], LAMP.address)

            async def register() -> None:
                asked = Message(code=codes.POST, uri=uri, payload=b"</5/0>,</3/0>", content_format=40)
                assert (await context.request(asked).response).code == codes.CREATED
                object5.registered()

            await register()
            package = signed(key, 4)
            update = asyncio.ensure_future(
                run_update(ResourcesUpdate(driver.resources(LAMP, 5), package), pauses=Backoff(0.05, 0.1))
            )
            await peers.eventually(lambda: bootloader.standing().phase is Phase.TRIAL)
            bootloader.boot()
            await register()
            ending = await asyncio.wait_for(update, 8)
            assert (ending.reason, bootloader.running.version) == (None, 4)
    finally:
        await context.shutdown()


def signed(key: Ed25519PrivateKey, version: int) -> Package:
    image = bytes((version * 37 + at * at) % 256 for at in range(5000))
    manifest = Manifest(
        model="lamp_single",
        hardware="B",
        release=f"{version}.0",
        version=version,
        size=len(image),
        sha256=digest_of(image),
        chunk_bytes=256,
    )
    return sign_package(manifest, image, key)
