"""The connection to the broker: what gateways say comes in, acknowledgements go out."""

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiomqtt
import msgspec

from telemetry.records import Lane
from telemetry.topics import Channel, all_gateways, channel
from telemetry.wire import Ack, encode

__all__ = ["BrokerLink", "broker_address"]

_log = logging.getLogger(__name__)

_HEARD: Final = (Channel.READINGS, Channel.EVENTS, Channel.HELLO, Channel.STATUS)
_MOST_QUEUED: Final = 2_000  # of messages inside the client, while one loop step lasts; more is dropped and comes again
_FIRST_REST_S: Final = 0.2
_LONGEST_REST_S: Final = 10.0


class BrokerLink:
    """Keeps one connection, with a session that the broker forgets: only the cloud's own word counts as stored.

    `heard` takes (topic, payload) and must not wait. `up` is set from the first subscription on.
    """

    def __init__(self, broker: str, username: str, password_file: Path | None, heard: Callable[[str, bytes], None]) -> None:
        self._broker = broker
        self._username = username
        self._password_file = password_file
        self._heard = heard
        self._acks: dict[tuple[str, str, Lane], Ack] = {}
        self._acked = asyncio.Event()
        self.up = asyncio.Event()

    def answer(self, ack: Ack) -> None:
        """Send an acknowledgement soon. A later one of the same lane takes its place: it says the same and more."""
        key = (ack.gateway, ack.epoch, ack.lane)
        waiting = self._acks.pop(key, None)
        self._acks[key] = ack if waiting is None else _merged(waiting, ack)
        self._acked.set()

    async def run(self) -> None:
        """Connect, serve, reconnect, until cancelled."""
        rest_s = _FIRST_REST_S
        while True:
            try:
                async with self._client() as client:
                    rest_s = _FIRST_REST_S
                    await self._serve(client)
            except* (aiomqtt.MqttError, OSError) as errors:
                _log.warning("broker lost: %s", errors.exceptions[0], extra={"event": "cloud.broker_lost"})
            await asyncio.sleep(rest_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
            rest_s = min(2 * rest_s, _LONGEST_REST_S)

    async def _serve(self, client: aiomqtt.Client) -> None:
        for what in _HEARD:
            await client.subscribe(all_gateways(what), qos=1)
        _log.info("broker connected", extra={"event": "cloud.broker_up", "broker": self._broker})
        self.up.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive(client), name="broker receive")
            tasks.create_task(self._send_acks(client), name="broker acks")

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if isinstance(message.payload, bytes | bytearray):
                self._heard(message.topic.value, bytes(message.payload))

    async def _send_acks(self, client: aiomqtt.Client) -> None:
        while True:
            while self._acks:
                key = next(iter(self._acks))
                ack = self._acks.pop(key)
                try:
                    await client.publish(channel(ack.gateway, Channel.ACK), encode(ack), qos=1)
                except aiomqtt.MqttError:
                    self._acks.setdefault(key, ack)
                    raise
            self._acked.clear()
            await self._acked.wait()

    def _client(self) -> aiomqtt.Client:
        host, port, tls = broker_address(self._broker)
        password = self._password_file.read_text(encoding="utf-8").strip() if self._password_file else None
        return aiomqtt.Client(
            host,
            port,
            username=self._username or None,
            password=password,
            max_queued_incoming_messages=_MOST_QUEUED,
            tls_params=aiomqtt.TLSParameters() if tls else None,
            logger=logging.getLogger(f"{__name__}.mqtt"),
        )


def broker_address(broker: str) -> tuple[str, int, bool]:
    """Host, port and whether to use TLS, of `mqtt://host[:port]` or `mqtts://host[:port]`; ValueError otherwise."""
    parts = urlsplit(broker)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError(f"broker {broker!r}: want mqtt://host:port or mqtts://host:port")
    tls = parts.scheme == "mqtts"
    return parts.hostname, parts.port or (8883 if tls else 1883), tls


def _merged(older: Ack, newer: Ack) -> Ack:
    """The newer one, with what only the older one tells of quarantine."""
    told = dict(older.quarantined) | dict(newer.quarantined)
    return msgspec.structs.replace(newer, quarantined=sorted(told.items()))
