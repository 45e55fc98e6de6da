"""Devices with a bootloader at the end of real connections: a Modbus unit, a vehicle terminal, an LwM2M client."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import edge_drivers_peers as peers
from aiocoap import Context, Message, resource
from aiocoap.numbers import codes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edge_drivers_terminal import Terminal, dial

from edge_agent.drivers import Driver
from firmware_bridge.jt808.frames import Frame
from firmware_bridge.modbus.frames import tcp_frame
from firmware_bridge.update.manifest import Manifest, digest_of
from firmware_bridge.update.package import Package, sign_package
from simulators.devices.firmware.bootloader import Bootloader
from simulators.devices.firmware.faces import Object5, RecordFiles
from simulators.devices.firmware.faces import Terminal as Firmware

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def package(version: int, size: int = 9000, key: Ed25519PrivateKey = KEY) -> Package:
    image = bytes((version + at * at) % 251 for at in range(size))
    manifest = Manifest(
        model="loop", hardware="A", release=f"{version}.0", version=version, size=size, sha256=digest_of(image), chunk_bytes=480
    )
    return sign_package(manifest, image, key)


def device() -> Bootloader:
    return Bootloader(KEY.public_key(), package(1), room_bytes=10_000)


class Unit:
    """A Modbus TCP unit with files; it hangs up at the requests whose numbers are in `hangs_up`, and takes `takes_s` for each."""

    def __init__(self, one: Bootloader, hangs_up: frozenset[int] = frozenset(), takes_s: float = 0.0) -> None:
        self.files = RecordFiles(one)
        self.requests = self.polls = 0
        self._hangs_up = hangs_up
        self._takes_s = takes_s

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            transaction, _, size, unit = struct.unpack(">HHHB", await reader.readexactly(7))
            pdu = await reader.readexactly(size - 1)
            if pdu[0] in {20, 21}:
                self.requests += 1
                if self.requests in self._hangs_up:
                    return
                await asyncio.sleep(self._takes_s)
                reply = self.files.answer(pdu)
            else:
                self.polls += 1
                reply = bytes((pdu[0] | 0x80, 2))
            writer.write(tcp_frame(transaction, unit, reply))


class Vehicle:
    """A terminal with a bootloader: it answers what an upgrade asks, restarts when it has the whole, and comes back."""

    def __init__(self, one: Bootloader) -> None:
        self.device = one
        self.firmware = Firmware(one)

    async def live(self, driver: Driver, breaks_at: int = 0) -> None:
        packets = 0
        while True:
            async with dial(driver) as terminal:
                await terminal.ask(0x0002)
                result = self.firmware.logged_in()
                if result is not None:
                    await terminal.send(0x0108, bytes((0, result)))
                restarts = False
                while not restarts:
                    frame = await asyncio.wait_for(terminal.hear(), 20)
                    if frame.message_id == 0x8107:
                        await self._attributes(terminal)
                    elif frame.message_id == 0x8108:
                        packets += 1
                        restarts = packets == breaks_at or await self._packet(terminal, frame.packet or (1, 1), frame)

    async def _packet(self, terminal: Terminal, place: tuple[int, int], frame: Frame) -> bool:
        total, number = place
        assert number > 1 or frame.body[1:6] == b"CITYN", "its own maker"
        data = frame.body[11 + frame.body[6] :] if number == 1 else frame.body
        taken = self.firmware.packet(number, total, data)
        await terminal.send(0x0001, struct.pack(">HHB", frame.serial, 0x8108, 0 if taken else 1))
        return taken and number == total

    async def _attributes(self, terminal: Terminal) -> None:
        # JT/T 808-2013, 8.9: type, maker 5, model 20, id 7, ICCID 10, hardware, firmware, GNSS, communication.
        release = self.device.running.release.encode()
        body = (
            bytes(2) + b"CITYN" + bytes(20) + b"0000001" + bytes(10) + b"\x01A" + bytes((len(release),)) + release + b"\x03\x20"
        )
        await terminal.send(0x0107, body)


class Resource(resource.Resource):  # type: ignore[misc]  # aiocoap is not typed
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


@asynccontextmanager
async def client(object5: Object5) -> AsyncIterator[Context]:
    """An LwM2M client of another implementation, with nothing but its firmware."""
    site = resource.Site()
    for path in ("/5/0/0", "/5/0/2", "/5/0/3", "/5/0/5", "/5/0/7", "/3/0/3"):
        site.add_resource(path.strip("/").split("/"), Resource(path, object5))
    context = await Context.create_server_context(site, bind=("::ffff:127.0.0.1", peers.free_port()), transports=["udp6"])
    try:
        yield context
    finally:
        await context.shutdown()


async def register(context: Context, driver: Driver, endpoint: str, object5: Object5) -> None:
    """Register, as a client does when it comes up: an image on trial has shown that it works."""
    uri = "coap://{}:{}/rd?ep={}&lwm2m=1.1".format(*driver.ports[0], endpoint)
    asked = Message(code=codes.POST, uri=uri, payload=b"</5/0>,</3/0>", content_format=40)
    assert (await context.request(asked).response).code == codes.CREATED
    object5.registered()
