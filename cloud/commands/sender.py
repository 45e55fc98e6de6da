"""What carries orders from the book to the broker: never later than their time, again after every new connection.

Rows are changed before anything is published. So an order may be published twice, under one number, of which the gateway acts
on the first; and none is ever published that the book does not know.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.commands.book import due, expire, news_of, taken
from cloud.feed import Feed
from cloud.relational.engine import reading, writing
from cloud.relational.tables import commands
from telemetry.clock import SECOND_NS, Clock
from telemetry.records import Command
from telemetry.topics import Channel, channel
from telemetry.wire import encode

__all__ = ["CommandSender", "Publish"]

_log = logging.getLogger(__name__)

_POLL_S: Final = 1.0
_STORE_REST_S: Final = 2.0

Publish = Callable[[str, bytes], Awaitable[None]]
"""Publishes with QoS 1 and returns once the broker has it; OSError where it cannot."""


class CommandSender:
    """Sends what is due; `wake` after a commit that made something due."""

    def __init__(self, engine: AsyncEngine, clock: Clock, feed: Feed, publish: Publish) -> None:
        self._engine = engine
        self._clock = clock
        self._feed = feed
        self._publish = publish
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There may be something to send: look now."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            rest_s = _POLL_S
            try:
                await self.turn()
            except DBAPIError as error:
                rest_s = _STORE_REST_S
                extra = {"event": "commands.store_unavailable"}
                _log.warning("the relational store did not answer (%s)", type(error.orig).__name__, extra=extra)
            try:
                async with asyncio.timeout(rest_s):
                    await self._news.wait()
            except TimeoutError:
                continue
            self._news.clear()

    async def turn(self) -> int:
        """End what is over and send what is due, now; how many orders were published."""
        now_ns = self._clock.wall_ns()
        if not await self._has_work():
            return 0
        async with writing(self._engine) as conn:
            ended = await expire(conn, now_ns)
            sent = await due(conn, now_ns)
        for row in (*ended, *(row for row, _ in sent)):
            self._feed.publish("command", news_of(row))
        published = 0
        for _, command in sent:
            published += await self._send(command)
        return published

    async def _has_work(self) -> bool:
        """Most of the time nobody has ordered anything: then nobody is to wait for a turn of this."""
        open_ = ("awaiting_approval", "queued", "sent", "acked")
        async with reading(self._engine) as conn:
            return (await conn.execute(commands.select().where(commands.c.state.in_(open_)).limit(1))).first() is not None

    async def _send(self, command: Command) -> bool:
        """Publish one order; what the broker does not confirm stays `sent`, and goes again."""
        if self._clock.wall_ns() >= command.issued_ns + command.ttl_s * SECOND_NS:
            return False
        try:
            await self._publish(channel(command.gateway, Channel.COMMAND), encode(command))
        except OSError as error:
            extra = {"event": "commands.not_published", "command": command.id, "gateway": command.gateway}
            _log.warning("command %s: not published: %s", command.id, error, extra=extra)
            return False
        async with writing(self._engine) as conn:
            row = await taken(conn, command.id, self._clock.wall_ns())
        if row is not None:
            self._feed.publish("command", news_of(row))
        return True
