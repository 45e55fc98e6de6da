"""One connection to the cloud's broker, as the uplink sees it; and the one that is made of MQTT.

The uplink's protocol knows no more of its transport than `Link` says, so that it also runs over any other.
"""

import logging
import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import aiomqtt

from edge_agent.attempt import attempt
from telemetry.broker import VersionChoice, broker_address
from telemetry.topics import Channel, channel, parse

__all__ = ["Connect", "Link", "LinkDownError", "MqttDoor", "MqttLink"]

logger = logging.getLogger(__name__)

_USUAL_CALLS = 32
_KEEPALIVE_S = 30
_LEAVE_S = 0.4
"""How long a disconnect may take: a dead link never answers. With the goodbye before it, an end takes a second at most."""
_MOST_HEARD = 1000
"""Messages that may wait inside the client; one too many is dropped: the cloud's next word says it again."""
_DOWN = (Channel.ACK, Channel.COMMAND)


class LinkDownError(Exception):
    """There is no connection, or no longer. `expected`: the next attempt goes another way, nothing is wrong yet."""

    def __init__(self, detail: str, *, expected: bool = False) -> None:
        super().__init__(detail)
        self.expected = expected


class Link(Protocol):
    """A connection that is up, with the gateway's ACK and COMMAND channels subscribed."""

    async def publish(self, what: Channel, payload: bytes, *, retain: bool = False) -> None:
        """Send at least once; returns when the broker has it (PUBACK). Raises LinkDownError."""
        ...

    def heard(self) -> AsyncIterator[tuple[Channel, bytes]]:
        """What comes down, in the order in which it comes. Raises LinkDownError when the connection ends."""
        ...


Connect = Callable[[bytes], AbstractAsyncContextManager[Link]]
"""Makes a connection. Its argument is the will: what the broker publishes on STATUS, retained, should this end badly.

Entering raises LinkDownError where there is nothing to connect to.
"""


class MqttLink:
    """A `Link` over one connected MQTT client."""

    def __init__(self, client: aiomqtt.Client, gateway: str) -> None:
        self._client = client
        self._gateway = gateway

    async def subscribe(self) -> None:
        """Ask for everything that comes down."""
        for what in _DOWN:
            try:
                await attempt(self._client.subscribe(channel(self._gateway, what), qos=1))
            except aiomqtt.MqttError as error:
                raise LinkDownError(str(error)) from error

    async def publish(self, what: Channel, payload: bytes, *, retain: bool = False) -> None:
        try:
            # How long is too long for a PUBACK is the uplink's to say: on a slow link it may be many seconds.
            await attempt(self._client.publish(channel(self._gateway, what), payload, qos=1, retain=retain, timeout=math.inf))
        except aiomqtt.MqttError as error:
            raise LinkDownError(str(error)) from error

    async def heard(self) -> AsyncIterator[tuple[Channel, bytes]]:
        try:
            async for message in self._client.messages:
                found = parse(str(message.topic))
                if found is not None and found[1] in _DOWN and isinstance(message.payload, bytes | bytearray):
                    yield found[1], bytes(message.payload)
        except aiomqtt.MqttError as error:
            raise LinkDownError(str(error)) from error
        raise LinkDownError("the broker ended the connection")


class MqttDoor:
    """Connects to one broker (a `Connect`), and remembers which version of MQTT it took."""

    def __init__(self, gateway: str, broker: str, username: str = "", password_file: Path | None = None) -> None:
        self._gateway = gateway
        self._address = broker_address(broker)
        self._username = username
        self._password_file = password_file
        self._version = VersionChoice(self._address.version)

    @asynccontextmanager
    async def __call__(self, will: bytes) -> AsyncIterator[Link]:
        client = await self._connected(will)
        try:
            link = MqttLink(client, self._gateway)
            await link.subscribe()
            yield link
        finally:
            await self._leave(client)

    async def _connected(self, will: bytes) -> aiomqtt.Client:
        try:
            client = self._client(will)
            await attempt(client.__aenter__())
        except (aiomqtt.MqttError, OSError) as error:
            refused = isinstance(error, aiomqtt.exceptions.MqttConnectError)
            other = self._version.failed(refused=refused) and refused
            if other:
                extra = {"event": "uplink.refused", "next": self._version.current.name}
                logger.info("the broker refused: %s", error, extra=extra)
            raise LinkDownError(str(error), expected=other) from error
        self._version.connected()
        return client

    async def _leave(self, client: aiomqtt.Client) -> None:
        client.timeout = _LEAVE_S
        try:
            await attempt(client.__aexit__(None, None, None))
        except aiomqtt.MqttError as error:
            logger.info("left a broken connection: %s", error, extra={"event": "uplink.left", "error": str(error)})

    def _client(self, will: bytes) -> aiomqtt.Client:
        password = self._password_file.read_text("utf-8").strip() if self._password_file else None
        client = aiomqtt.Client(
            self._address.host,
            self._address.port,
            identifier=f"gw-{self._gateway}",
            username=self._username or None,
            password=password,
            keepalive=_KEEPALIVE_S,
            protocol=aiomqtt.ProtocolVersion(self._version.current),
            max_queued_incoming_messages=_MOST_HEARD,
            # A PUBACK or a small event must not wait for the peer's delayed acknowledgement.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            tls_params=aiomqtt.TLSParameters() if self._address.tls else None,
            will=aiomqtt.Will(channel(self._gateway, Channel.STATUS), will, qos=1, retain=True),
            logger=logging.getLogger(f"{__name__}.mqtt"),
        )
        # As many wait for their PUBACK as `Pace` lets go at once, and the hellos and statuses beside them: nothing to warn of.
        client.pending_calls_threshold = _USUAL_CALLS
        return client
