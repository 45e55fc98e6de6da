"""The connection to the broker: what gateways say comes in, acknowledgements go out."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import aiomqtt
import msgspec

from cloud.attempt import attempt
from telemetry.broker import VersionChoice, broker_address
from telemetry.records import Lane
from telemetry.topics import Channel, all_gateways, channel
from telemetry.wire import Ack, encode

__all__ = ["BrokerLink"]

_log = logging.getLogger(__name__)

_HEARD: Final = (Channel.READINGS, Channel.EVENTS, Channel.HELLO, Channel.STATUS)
_MOST_QUEUED: Final = 2_000  # of messages inside the client, while one loop step lasts; more is dropped and comes again
_FIRST_REST_S: Final = 0.2
_LONGEST_REST_S: Final = 10.0


class BrokerLink:
    """Keeps one connection, with a session that the broker forgets: only the cloud's own word counts as stored.

    `heard` takes (topic, payload) and must not wait; `topics` are those beside the gateways' own. `up` is set from the
    first subscription on.
    """

    def __init__(
        self,
        broker: str,
        username: str,
        password_file: Path | None,
        heard: Callable[[str, bytes], None],
        changed: Callable[[], None] = lambda: None,
        *,
        topics: Sequence[str] = (),
    ) -> None:
        self._broker = broker
        self._username = username
        self._password_file = password_file
        self._heard = heard
        self._changed = changed
        self._topics = (*(all_gateways(what) for what in _HEARD), *topics)
        self._acks: dict[tuple[str, str, Lane], Ack] = {}
        self._acked = asyncio.Event()
        self._version = VersionChoice(broker_address(broker).version)
        self._connected = False
        self._serving: aiomqtt.Client | None = None
        self.up = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the broker is there; `changed` is called when that has changed."""
        return self._connected

    def answer(self, ack: Ack) -> None:
        """Send an acknowledgement soon. A later one of the same lane takes its place: it says the same and more."""
        key = (ack.gateway, ack.epoch, ack.lane)
        waiting = self._acks.pop(key, None)
        self._acks[key] = ack if waiting is None else _merged(waiting, ack)
        self._acked.set()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; returns once the broker has it. ConnectionError where it is not there, or went meanwhile."""
        client = self._serving
        if client is None:
            raise ConnectionError("the broker is not connected")
        try:
            await attempt(client.publish(topic, payload, qos=1))
        except aiomqtt.MqttError as error:
            raise ConnectionError(str(error)) from error

    async def run(self) -> None:
        """Connect, serve, reconnect, until cancelled."""
        rest_s = _FIRST_REST_S
        while True:
            try:
                await attempt(self._session())
            except* (aiomqtt.MqttError, OSError) as errors:
                self._note_down(errors.exceptions[0])
            rest_s = _FIRST_REST_S if self._connected else rest_s
            if self._connected:
                self._connected = False
                self._changed()
            await asyncio.sleep(rest_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
            rest_s = min(2 * rest_s, _LONGEST_REST_S)

    async def _session(self) -> None:
        async with self._client() as client:
            self._connected = True
            self._version.connected()
            self._serving = client
            try:
                await self._serve(client)
            finally:
                self._serving = None

    def _note_down(self, problem: BaseException) -> None:
        refused = isinstance(problem, aiomqtt.exceptions.MqttConnectError)
        if not self._connected and self._version.failed(refused=refused) and refused:
            _log.info("the broker refused: %s", problem, extra={"event": "cloud.broker_refused"})
        else:
            _log.warning("broker lost: %s", problem, extra={"event": "cloud.broker_lost"})

    async def _serve(self, client: aiomqtt.Client) -> None:
        for topic in self._topics:
            await attempt(client.subscribe(topic, qos=1))
        _log.info("broker connected", extra={"event": "cloud.broker_up", "broker": self._broker})
        self.up.set()
        self._changed()
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
                    await attempt(client.publish(channel(ack.gateway, Channel.ACK), encode(ack), qos=1))
                except aiomqtt.MqttError:
                    self._acks.setdefault(key, ack)
                    raise
            self._acked.clear()
            await self._acked.wait()

    def _client(self) -> aiomqtt.Client:
        address = broker_address(self._broker)
        password = self._password_file.read_text(encoding="utf-8").strip() if self._password_file else None
        return aiomqtt.Client(
            address.host,
            address.port,
            username=self._username or None,
            password=password,
            protocol=aiomqtt.ProtocolVersion(self._version.current),
            max_queued_incoming_messages=_MOST_QUEUED,
            tls_params=aiomqtt.TLSParameters() if address.tls else None,
            logger=logging.getLogger(f"{__name__}.mqtt"),
        )


def _merged(older: Ack, newer: Ack) -> Ack:
    """The newer one, with what only the older one tells: of quarantine, of a hello, of refused parts and of a fence."""
    told = dict(older.quarantined) | dict(newer.quarantined)
    return msgspec.structs.replace(
        newer,
        quarantined=sorted(told.items()),
        answers=newer.answers or older.answers,
        refused=[*older.refused, *(each for each in newer.refused if each not in older.refused)],
        fenced=newer.fenced or older.fenced,
    )
