"""An LwM2M client by hand, datagram by datagram, and the links that the tests register at."""

import asyncio
import socket
from types import TracebackType
from typing import Self

from device_profiles.shelf import load_catalog
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.lwm2m.driver import Lwm2mDriver
from edge_agent.drivers.lwm2m.sending import Patience
from edge_agent.link_kinds import CoapOptions, DriverName
from firmware_bridge.coap import CoapMessage, CoapOption, parse_coap
from firmware_bridge.lwm2m.messages import (
    CONTENT_FORMAT,
    LOCATION_PATH,
    OBSERVE,
    URI_PATH,
    URI_QUERY,
    encode_coap,
    number_option,
    option_texts,
    text_option,
)
from telemetry.clock import SystemClock
from telemetry.records import Command

CLOCK = SystemClock()
CATALOG = load_catalog()
COVER = DeviceConfig(id="cover-1", profile="cover_lwm2m", address="urn:imei:861")
LAMP = DeviceConfig(id="lamp-1", profile="lamp_single_lwm2m", address="lamp-17")
COVER_LINKS = b'</>;rt="oma.lwm2m";ct=110,</3/0>,</4/0>,</3408/0>'
LAMP_LINKS = b"</3/0>,</3416/0>"


def link(*devices: DeviceConfig, patience: Patience | None = None) -> Lwm2mDriver:
    listening = LinkConfig(name="nb", driver=DriverName.LWM2M, devices=devices, options=CoapOptions(port=0))
    return Lwm2mDriver(listening, CATALOG, CLOCK, patience)


def order(action: str, device: DeviceConfig = LAMP, ttl_s: int = 60, **args: float) -> Command:
    now_ns, name = CLOCK.wall_ns(), f"c-{action}"
    return Command(
        id=name, gateway="gw1", device=device.id, action=action, args=args, issued_ns=now_ns, ttl_s=ttl_s, counter=1, actor="test"
    )


class Node:
    """One device's socket."""

    def __init__(self, driver: Lwm2mDriver) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(driver.ports[0])
        self.message_id = 100

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    async def say(self, message: CoapMessage | bytes) -> None:
        data = message if isinstance(message, bytes) else encode_coap(message)
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def hear(self, within_s: float = 3) -> CoapMessage:
        async with asyncio.timeout(within_s):
            return parse_coap(await asyncio.get_running_loop().sock_recv(self._socket, 2048))

    async def silence(self, for_s: float = 0.15) -> bool:
        """Whether nothing comes."""
        try:
            await self.hear(for_s)
        except TimeoutError:
            return True
        return False

    def post(self, path: str, *query: str, payload: bytes = b"", form: int | None = None, kind: str = "CON") -> CoapMessage:
        self.message_id += 1
        options = [text_option(URI_PATH, step) for step in path.split("/")] + [text_option(URI_QUERY, each) for each in query]
        return self._message(kind, "0.02", b"\x07", options, payload, form)

    def told(self, observed: CoapMessage, sequence: int, payload: bytes, form: int = 110, kind: str = "CON") -> CoapMessage:
        """A notification of an observation that `observed` asked for."""
        self.message_id += 1
        return self._message(kind, "2.05", observed.token, [number_option(OBSERVE, sequence)], payload, form)

    def _message(
        self, kind: str, code: str, token: bytes, options: list[CoapOption], payload: bytes, form: int | None
    ) -> CoapMessage:
        told = [] if form is None else [number_option(CONTENT_FORMAT, form)]
        return CoapMessage(
            type=kind, code=code, message_id=self.message_id, token=token, options=(*options, *told), payload=payload
        )

    async def ask(self, message: CoapMessage | bytes) -> CoapMessage:
        await self.say(message)
        return await self.hear()

    async def register(self, endpoint: str, links: bytes, *query: str) -> str:
        """Register; where it has to update."""
        said = (f"ep={endpoint}", *(query or ("lwm2m=1.1", "lt=3600")))
        answer = await self.ask(self.post("rd", *said, payload=links, form=40))
        assert answer.code == "2.01"
        return "/".join(option_texts(answer, LOCATION_PATH))

    async def answer(
        self, asked: CoapMessage, code: str, payload: bytes = b"", form: int | None = None, observe: int = -1
    ) -> None:
        """Answer within the acknowledgement."""
        options = [] if observe < 0 else [number_option(OBSERVE, observe)]
        if form is not None:
            options.append(number_option(CONTENT_FORMAT, form))
        await self.say(
            CoapMessage(
                type="ACK", code=code, message_id=asked.message_id, token=asked.token, options=tuple(options), payload=payload
            )
        )

    async def be_watched(self, *answers: bytes, form: int = 110) -> list[CoapMessage]:
        """Agree to everything that is asked after a registration; gives what asked to observe, in order."""
        observed = []
        waiting = list(answers)
        while waiting:
            asked = await self.hear()
            if asked.code == "0.03":
                await self.answer(asked, "2.04")
                continue
            observed.append(asked)
            await self.answer(asked, "2.05", waiting.pop(0), form, observe=1)
        return observed


def path_of(message: CoapMessage) -> str:
    return "/" + "/".join(option_texts(message, URI_PATH))
