"""A cover's way out through a simulated NB-IoT modem: CoAP messages as hex in AT commands on a serial line."""

import asyncio
import random
from collections.abc import Callable

from firmware_bridge.coap import CoapMessage, parse_coap
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.messages import CONTENT_FORMAT, URI_PATH, acknowledge, encode_coap, number_option, text_option
from firmware_bridge.nbiot.machine import ModemConfig
from simulators.devices.cover.modem import SimulatedModem
from simulators.devices.cover.modem_port import ModemPort
from simulators.listener import Address
from simulators.ways import Form
from telemetry.clock import Clock

__all__ = ["ModemRoad"]

_READY_S, _REPEATS = 10.0, 3


class ModemRoad:
    """One modem and the port that drives it. Posts one message at a time."""

    def __init__(self, form: Form, clock: Clock, target: Callable[[], Address], seed: str) -> None:
        self.modem = SimulatedModem(form.value, seed=seed)
        self._target = target
        self._clock = clock
        self._chance = random.Random(seed)  # noqa: S311 (message ids want to be repeatable, not secret)
        self._answered: asyncio.Future[str] | None = None
        self._token = b""
        self.port: ModemPort | None = None

    async def run(self) -> None:
        """Keep modem and port alive until cancelled."""
        host, port = self._target()
        self.port = ModemPort(
            self.modem.path, ModemConfig(family=self.modem.family, host=host, port=port), self._clock, self._heard
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self.modem.run())
            group.create_task(self.port.run())

    async def post(self, path: str, payload: bytes, content_format: int, ack_timeout_s: float) -> str | None:
        """The answer's code, None where none came (RFC 7252, clause 4.2, with two repeats)."""
        self._token = self._chance.randbytes(4)
        options = [text_option(URI_PATH, step) for step in path.strip("/").split("/")]
        message = CoapMessage(
            type="CON",
            code="0.02",
            message_id=self._chance.randrange(0x10000),
            token=self._token,
            options=(*options, number_option(CONTENT_FORMAT, content_format)),
            payload=payload,
        )
        self._answered = asyncio.get_running_loop().create_future()
        for turn in range(_REPEATS):
            if not await self._send(message):
                return None
            await asyncio.wait([self._answered], timeout=ack_timeout_s * 2**turn)
            if self._answered.done():
                return self._answered.result()
        return None

    async def _send(self, message: CoapMessage) -> bool:
        """Whether the modem is on the network."""
        if self.port is None:
            return False
        try:
            async with asyncio.timeout(_READY_S):
                await self.port.ready.wait()
        except TimeoutError:
            return False
        self.port.send(encode_coap(message))
        return True

    def _heard(self, data: bytes) -> None:
        try:
            message = parse_coap(data)
        except ParseError:
            return
        if message.token != self._token or message.code.startswith("0."):
            return
        if message.type == "CON" and self.port is not None:
            self.port.send(encode_coap(acknowledge(message)))
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(message.code)
