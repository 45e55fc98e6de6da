"""A broker and the lines to it, which lose, double, delay, reorder and go silent as they are told.

    gateway -- line -- broker -- line -- cloud

Messages on one line keep their order unless it `reorders`; a PUBACK says that the broker had the message, and nothing
about what the broker does with it.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiomqtt

from edge_agent.uplink.link import Connect, Link, LinkDownError
from telemetry.topics import Channel, channel, parse

__all__ = ["Broker", "DownError", "GatewayLink", "Line", "MqttClient", "Session"]

_KEEPALIVE_S = 45.0
"""When a client learns that its peer is silent: one and a half times the interval it announced."""


class DownError(Exception):
    """The line is down."""


class Line:
    """What one client's connection is like. All shares are of messages, from 0 to 1; times are seconds.

    `silent` is a half-open line: nothing arrives in either direction, and nobody is told.
    """

    def __init__(self) -> None:
        self.up = True
        self.silent = False
        self.delay_s = 0.01
        self.jitter_s = 0.01
        self.reorders = 0.0
        self.drops = 0.0
        self.doubles = 0.0
        self.breaks = 0.0
        """Share of publishes at which the connection breaks, half of them before and half after the broker has it."""


class Session:
    """One client's connection to the broker, from its connect on until it is `down`."""

    def __init__(self, broker: "Broker", name: str, line: Line, will: tuple[str, bytes] | None) -> None:
        self.name = name
        self.line = line
        self.will = will
        self.down = False
        self._broker = broker
        self._topics: list[str] = []
        self._heard: deque[tuple[str, bytes]] = deque()
        self._news = asyncio.Event()
        self._waiting: set[int] = set()
        self._pubacks: dict[int, asyncio.Future[None]] = {}
        self._last = {"up": 0.0, "down": 0.0}
        self._number = 0

    def subscribe(self, topic: str) -> None:
        """Hear what is published there from now on; a retained message comes at once."""
        if self.down:
            raise DownError(self.name)
        self._topics.append(topic)
        for retained, payload in self._broker.retained.items():
            if aiomqtt.Topic(retained).matches(topic):
                self.arrive(retained, payload)

    def hears(self, topic: str) -> bool:
        return not self.down and any(aiomqtt.Topic(topic).matches(each) for each in self._topics)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Returns at the PUBACK; DownError where the line breaks first."""
        if self.down:
            raise DownError(self.name)
        self._number += 1
        number, chance = self._number, self._broker.chance
        puback = self._pubacks[number] = asyncio.get_running_loop().create_future()
        self._broker.note("publish", self.name, topic, payload)
        breaks = chance.random() < self.line.breaks
        if not breaks or chance.random() < 0.5:
            self._later("up", self._broker.take, self, topic, payload, retain)
        if breaks:
            self._later("up", self.close)
        else:
            self._later("up", self._acknowledge, number)
        try:
            await puback
        finally:
            self._pubacks.pop(number, None)

    async def next(self) -> tuple[str, bytes]:
        """The next message, as (topic, payload); DownError at the end."""
        while not self._heard:
            if self.down:
                raise DownError(self.name)
            self._news.clear()
            await self._news.wait()
        return self._heard.popleft()

    def deliver(self, topic: str, payload: bytes) -> None:
        """Put a message for this client on its line."""
        line, chance = self.line, self._broker.chance
        if chance.random() < line.drops:
            self._broker.seen("dropped")
            return
        copies = 1
        if chance.random() < line.doubles:
            self._broker.seen("doubled")
            copies = 2
        for _ in range(copies):
            self._later("down", self.arrive, topic, payload)

    def arrive(self, topic: str, payload: bytes) -> None:
        if not self.down:
            self._heard.append((topic, payload))
            self._news.set()

    def close(self, *, told: bool = True) -> None:
        """The connection is over; the broker speaks the will unless the client took its leave."""
        if self.down:
            return
        self.down = True
        self._news.set()
        for puback in self._pubacks.values():
            if not puback.done():
                puback.set_exception(DownError(self.name))
        self._broker.gone(self, told=told)

    def _acknowledge(self, number: int) -> None:
        puback = self._pubacks.get(number)
        if puback is not None and not puback.done():
            puback.set_result(None)

    def _later(self, way: str, work: Callable[..., None], *args: Any) -> None:
        """Do what a message does when it has come over the line; never, where the line is silent by then."""
        loop, line, chance = asyncio.get_running_loop(), self.line, self._broker.chance
        at = loop.time() + line.delay_s + chance.random() * line.jitter_s
        if chance.random() < line.reorders:
            self._broker.seen("reordered")
            at += chance.expovariate(1.0)
        else:
            at = self._last[way] = max(at, self._last[way])
        loop.call_at(at, self._over_the_line, work, args)

    def _over_the_line(self, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.line.silent:
            self._broker.seen("unheard")
            asyncio.get_running_loop().call_later(_KEEPALIVE_S, self.close)
        elif not self.down:
            work(*args)


class Broker:
    """Routes what it has to whoever listens now. `forgets` is the share that it acknowledges and loses; `note` and
    `seen` go to the run's trace."""

    def __init__(self, chance: random.Random, note: Callable[..., None], seen: Callable[[str], None]) -> None:
        self.chance = chance
        self.note = note
        self.seen = seen
        self.retained: dict[str, bytes] = {}
        self.forgets = 0.0
        self.wire_filter: Callable[[str, bytes], bytes] = lambda topic, payload: payload
        self._sessions: dict[str, Session] = {}

    def connect(self, name: str, line: Line, will: tuple[str, bytes] | None = None) -> Session:
        """A new session; another one of the same name is put out. DownError where the line is down."""
        if not line.up or line.silent:
            raise DownError(name)
        older = self._sessions.get(name)
        if older is not None:
            self.seen("taken over")
            older.close()
        session = self._sessions[name] = Session(self, name, line, will)
        self.note("connect", name, "", b"")
        return session

    def take(self, sender: Session, topic: str, payload: bytes, retain: bool) -> None:
        if self.chance.random() < self.forgets:
            self.seen("forgotten")
            return
        self._route(topic, payload, retain)

    def gone(self, session: Session, *, told: bool) -> None:
        if self._sessions.get(session.name) is session:
            del self._sessions[session.name]
        if told and session.will is not None:
            self._route(*session.will, retain=True)

    def wipe(self) -> None:
        """Killed and started again with nothing: every connection breaks, every message in it is gone."""
        self.seen("wiped")
        self.retained.clear()
        for session in list(self._sessions.values()):
            session.will = None
            session.close()

    def cut(self, line: Line) -> None:
        """Break the connections over a line, which stays down until it is `up` again."""
        line.up = False
        self.drop(line)

    def drop(self, line: Line) -> None:
        """Break the connections over a line, once."""
        for session in list(self._sessions.values()):
            if session.line is line:
                session.close()

    def _route(self, topic: str, payload: bytes, retain: bool) -> None:
        if retain:
            self.retained[topic] = payload
        for session in list(self._sessions.values()):
            if session.hears(topic):
                session.deliver(topic, payload)


class MqttClient:
    """A session behind the part of `aiomqtt.Client` that the product uses."""

    def __init__(self, broker: Broker, name: str, line: Line, will: tuple[str, bytes] | None = None) -> None:
        self._dial: Callable[[], Session] = lambda: broker.connect(name, line, will)
        self._session: Session

    async def __aenter__(self) -> "MqttClient":
        await asyncio.sleep(0.01)
        self._session = _mqtt(self._dial)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._session.close(told=False)

    async def subscribe(self, topic: str, qos: int = 0) -> None:
        await asyncio.sleep(0.01)
        _mqtt(lambda: self._session.subscribe(topic))

    async def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        try:
            await self._session.publish(topic, payload, retain=retain)
        except DownError as error:
            raise aiomqtt.MqttError(f"{error}: down") from error

    @property
    def messages(self) -> "MqttClient":
        return self

    def __aiter__(self) -> "MqttClient":
        return self

    async def __anext__(self) -> aiomqtt.Message:
        try:
            topic, payload = await self._session.next()
        except DownError as error:
            raise aiomqtt.MqttError(f"{error}: down") from error
        return aiomqtt.Message(topic, payload, 1, False, 0, None)


class GatewayLink:
    """A session as the uplink's `edge_agent.uplink.link.Link`; `door` makes one at each connect."""

    def __init__(self, session: Session, gateway: str) -> None:
        self._session = session
        self._gateway = gateway

    @classmethod
    def door(cls, broker: Broker, name: str, line: Line, gateway: str) -> Connect:
        @asynccontextmanager
        async def connect(will: bytes) -> AsyncIterator[Link]:
            await asyncio.sleep(0.02)
            session = _linked(lambda: broker.connect(name, line, (channel(gateway, Channel.STATUS), will)))
            try:
                for what in (Channel.ACK, Channel.COMMAND):
                    await asyncio.sleep(0.01)
                    _linked(partial(session.subscribe, channel(gateway, what)))
                yield cls(session, gateway)
            finally:
                session.close(told=False)

        return connect

    async def publish(self, what: Channel, payload: bytes, *, retain: bool = False) -> None:
        try:
            await self._session.publish(channel(self._gateway, what), payload, retain=retain)
        except DownError as error:
            raise LinkDownError(str(error)) from error

    def heard(self) -> "GatewayLink":
        return self

    def __aiter__(self) -> "GatewayLink":
        return self

    async def __anext__(self) -> tuple[Channel, bytes]:
        try:
            topic, payload = await self._session.next()
        except DownError as error:
            raise LinkDownError(str(error)) from error
        place = parse(topic)
        assert place is not None
        return place[1], payload


def _linked(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except DownError as error:
        raise LinkDownError(str(error)) from error


def _mqtt(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except DownError as error:
        raise aiomqtt.MqttError(f"{error}: down") from error
