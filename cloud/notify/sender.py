"""The worker that empties the outbox of messages to people: one task a channel, at least once, never in ingest's way."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.attempt import attempt
from cloud.notify.backoff import delay_s, most_copies, pause_s
from cloud.notify.budget import LONGEST_WINDOW_S, Allowance
from cloud.notify.channels import AsksReceipt, Channel, open_channel
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.notify.digest import DIGEST
from cloud.notify.messages import render
from cloud.notify.outbox import NotificationState
from cloud.notify.queue import Claimed, Outcome, Queue
from cloud.notify.results import Failure, Receipt, SendResult
from telemetry.clock import SECOND_NS, Clock

__all__ = ["Sender", "SenderCounts"]

_log = logging.getLogger(__name__)

# How long an attempt is ours, beyond its channel's own timeout, before another sender may repeat it.
_LEASE_MARGIN_S = 20.0
_STORE_REST_S = 1.0


class FeedLike(Protocol):
    """Where news of messages goes."""

    def publish(self, kind: str, data: dict[str, Any]) -> object: ...


class SenderCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Since this sender was made."""

    sent: int
    failed: int
    attempts: int


class Sender:
    """Sends what waits in `notifications`.

    `base_url` is where people reach the console; without one, messages carry no link. Between a vendor's answer and
    its row lies one commit: a crash there sends a message twice, never loses one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        channels: Sequence[ChannelConfig],
        clock: Clock,
        feed: FeedLike,
        *,
        base_url: str = "",
        poll_s: float = 1.0,
    ) -> None:
        self._queue = Queue(engine)
        self._channels = tuple(channels)
        self._clock = clock
        self._feed = feed
        self._base_url = base_url
        self._poll_s = poll_s
        self._news = {channel.name: asyncio.Event() for channel in channels}
        self._spread = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._totals = dict.fromkeys(("sent", "failed", "attempts"), 0)

    def wake(self) -> None:
        """There may be something new: look now, not at the next poll. Call it after the commit."""
        for news in self._news.values():
            news.set()

    def counts(self) -> SenderCounts:
        """What came of it so far."""
        return SenderCounts(**self._totals)

    async def run(self) -> None:
        """Until cancelled. OSError at once where a channel's secret file cannot be read."""
        async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
            opened = [await asyncio.to_thread(open_channel, config, session) for config in self._channels]
            await self._retire_others()
            async with asyncio.TaskGroup() as tasks:
                for config, channel in zip(self._channels, opened, strict=True):
                    tasks.create_task(self._work(config, channel), name=f"notify {config.name}")

    async def _retire_others(self) -> None:
        gone = await self._queue.retire_others(self._channels)
        if gone:
            _log.error(
                "%d messages wait for channels or people that are not configured; given up",
                gone,
                extra={"event": "notify.channel_gone", "count": gone},
            )

    async def _work(self, config: ChannelConfig, channel: Channel) -> None:
        allowance = await self._allowance(config)
        while True:
            try:
                rest = await self._once(config, channel, allowance)
            except DBAPIError as error:
                # A busy or absent store keeps its rows; the class says enough, the text may hold a payload.
                _log.warning(
                    "%s: the relational store did not answer (%s)",
                    config.name,
                    type(error.orig).__name__,
                    extra={"event": "notify.store_unavailable", "channel": config.name},
                )
                rest = _STORE_REST_S
            await asyncio.sleep(rest)

    async def _allowance(self, config: ChannelConfig) -> Allowance:
        earlier = await self._queue.sent_since(config.name, self._clock.wall_ns() - LONGEST_WINDOW_S * SECOND_NS)
        # Rows know wall time, budgets count on the clock that does not jump.
        shift = self._clock.monotonic_ns() - self._clock.wall_ns()
        return Allowance(config, [(target, moment + shift) for target, moment in earlier])

    async def _once(self, config: ChannelConfig, channel: Channel, allowance: Allowance) -> float:
        """One message, if one is due; how long the channel rests afterwards, in seconds."""
        wait = allowance.wait_ns(self._clock.monotonic_ns())
        if wait:
            return min(wait / SECOND_NS, 60.0)
        news = self._news[config.name]
        news.clear()
        row = await self._next(config, allowance)
        if row is None:
            await self._idle(news)
            return 0.0
        now_ns = self._clock.wall_ns()
        if (until_ns := config.quiet_until_ns(row["target"], row["priority"], now_ns)) is not None:
            await self._queue.hold(row, until_ns, now_ns)
            return 0.0
        claimed = await self._queue.claim(row, now_ns, channel.longest_s + _LEASE_MARGIN_S)
        if claimed is None:
            return 0.0
        allowance.take(row["target"], self._clock.monotonic_ns())
        self._totals["attempts"] += 1
        outcome = await self._attempt(config, channel, claimed)
        delay = await self._finish(config, claimed, outcome)
        return self._pause(row["target"], outcome.result, delay, allowance)

    async def _next(self, config: ChannelConfig, allowance: Allowance) -> Mapping[str, Any] | None:
        """The next row, or the digest of all that wait where one message is all that is left to its target."""
        resting = allowance.resting(self._clock.monotonic_ns())
        now_ns = self._clock.wall_ns()
        row = await self._queue.next(config.name, now_ns, resting)
        if row is None or row["step"] == DIGEST or not allowance.last(row["target"], self._clock.monotonic_ns()):
            return row
        if config.quiet_until_ns(row["target"], row["priority"], now_ns) is not None:
            return row
        folded = await self._queue.fold(config.name, row["target"], now_ns)
        return await self._queue.next(config.name, now_ns, resting) if folded else row

    def _pause(self, target: str, result: SendResult, delay: float | None, allowance: Allowance) -> float:
        if result.failure is None or delay is None:
            return 0.0
        if result.failure is Failure.RATE and target:
            # The vendor counts by person: the others need not wait.
            allowance.rest(target, self._clock.monotonic_ns() + round(delay * SECOND_NS))
            return 0.0
        return pause_s(result.failure, delay)

    async def _idle(self, news: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await news.wait()
        except TimeoutError:
            return

    async def _attempt(self, config: ChannelConfig, channel: Channel, claimed: Claimed) -> Outcome:
        now_ns = self._clock.wall_ns()
        # WeCom knows a repeat by its text being the same, so its age is that of the first attempt.
        said_ns = claimed.created_ns if config.kind is ChannelKind.WECOM_APP else now_ns
        try:
            message = render(claimed.row, config, said_ns, self._base_url)
        except (KeyError, TypeError, ValueError) as error:
            # A payload that another version wrote: it will not get better, and the queue behind it must move.
            result = SendResult(failure=Failure.FORMAT, detail=f"the outbox row cannot be put into words: {error!r}")
            return Outcome(result=result, copies=claimed.copies)
        copies = claimed.copies
        if copies and isinstance(channel, AsksReceipt):
            match await attempt(channel.ask(message, claimed.created_ns, now_ns)):
                case Receipt.ARRIVED:
                    return Outcome(result=SendResult(vendor_code="receipt", detail="the vendor has it"), copies=copies)
                case Receipt.ABSENT:
                    copies = 0
                case Receipt.UNKNOWN:
                    pass  # nobody can say: it is sent as over a channel without receipts, and counted as such
        result = await attempt(channel.send(message, now_ns))
        arrived = result.failure in {None, Failure.UNKNOWN_AFTER_TIMEOUT}
        return Outcome(result=result, copies=copies + arrived)

    async def _finish(self, config: ChannelConfig, claimed: Claimed, outcome: Outcome) -> float | None:
        """Write it down; seconds until the next attempt, None for no other."""
        now_ns, result = self._clock.wall_ns(), outcome.result
        if result.failure is None:
            await self._kept(lambda: self._queue.sent(claimed, outcome, now_ns))
            self._tell(config, claimed, result, NotificationState.SENT)
            return None
        waited_s = (now_ns - claimed.created_ns) / SECOND_NS
        delay = delay_s(result, claimed.attempts, waited_s, self._spread.random())
        most = most_copies(config.kind)
        if most is not None and outcome.copies >= most:
            delay = None
        next_ns = None if delay is None else now_ns + round(delay * SECOND_NS)
        await self._kept(lambda: self._queue.failed(claimed, outcome, next_ns))
        self._tell(config, claimed, result, NotificationState.FAILED if delay is None else NotificationState.PENDING)
        return delay

    async def _kept(self, write: Callable[[], Awaitable[None]]) -> None:
        # A store that is busy just now must not turn one message into two: insist, within the lease.
        for rest in (0.1, 0.5, 1.0, 2.0):
            try:
                return await write()
            except DBAPIError:
                await asyncio.sleep(rest)
        return await write()

    def _tell(self, config: ChannelConfig, claimed: Claimed, result: SendResult, state: NotificationState) -> None:
        news: Mapping[str, Any] = {
            "id": claimed.id,
            "case_id": claimed.case_id,
            "step": claimed.row["step"],
            "channel": config.name,
            "target": claimed.row["target"],
            "state": state.value,
            "attempts": claimed.attempts,
            "failure": result.failure.value if result.failure else None,
            "vendor_code": result.vendor_code,
        }
        self._feed.publish("notification", dict(news))
        if state is not NotificationState.PENDING:
            self._totals[state.value] += 1
        if result.failure is not None:
            _log.log(
                logging.ERROR if state is NotificationState.FAILED else logging.WARNING,
                "%s: message %d failed (%s, %s)",
                config.name,
                claimed.id,
                result.failure.value,
                "given up" if state is NotificationState.FAILED else "will be tried again",
                extra={"event": "notify.failed", **news, "detail": result.detail},
            )
