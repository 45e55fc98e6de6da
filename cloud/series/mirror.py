"""A second place for what is stored: another server of line protocol, sent to behind everything else and held up by nothing.

    ingest, after its acknowledgement -> offer -> [ queue in memory, bounded in readings and in age ] -> POST /write

What is mirrored counts for nothing: the series store has it. So a mirror that is slow or gone costs the oldest of what
waits, counted and told, never a reading of the store. What waits is forgotten when the cloud ends.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import aiohttp
import msgspec

from cloud.series.honest import sound, without
from cloud.series.influx_address import InfluxAddress, authorization, parse_address, rest_s, unavailable
from cloud.series.mirror_lines import number_lines
from cloud.series.store import RowRefused, StoreUnavailable
from telemetry.clock import SECOND_NS, Clock
from telemetry.wire import ReadingsBatch

__all__ = ["Mirror", "MirrorReport", "MirrorState", "parse_mirror"]

_log = logging.getLogger(__name__)
_MOST_WAITING: Final = 100_000  # readings: some 50 MB
_OLDEST_S: Final = 3600.0
_AT_ONCE: Final = 5_000
_TIMEOUT_S: Final = 30.0
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 60.0
_BEHIND_S: Final = 30.0
_PERMANENT: Final = frozenset({400, 413, 422})


class MirrorState(StrEnum):
    """How the mirror is doing."""

    OK = "ok"
    BEHIND = "behind"
    DOWN = "down"


class MirrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts are readings since the start, but for `texts`: values that no mirror of numbers can hold.

    `dropped` never came to be sent, `refused` the server would not take; `lag_s` is how long the oldest one waits.
    """

    state: MirrorState
    waiting: int
    lag_s: float
    sent: int
    dropped: int
    refused: int
    texts: int
    fault: str


def parse_mirror(text: str) -> InfluxAddress:
    """`http://host:port[/database]?username=..&password_file=..&token_file=..`; ValueError says what is wrong with it."""
    try:
        return parse_address(text, default="")
    except ValueError as error:
        told = str(error).replace("influx:http://host:port/database", "http://host:port or http://host:port/database")
        raise ValueError(told.replace("series", "mirror", 1)) from None


class _Waiting(msgspec.Struct, frozen=True):
    batch: ReadingsBatch
    readings: int
    at_ns: int


class Mirror:
    """`offer` what is stored, `run` it beside everything else."""

    def __init__(self, address: InfluxAddress, clock: Clock, *, most: int = _MOST_WAITING, rest_s: float = _FIRST_REST_S) -> None:
        self._address = address
        self._clock = clock
        self._most = most
        self._first_rest_s = rest_s
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._news = asyncio.Event()
        self._fault = ""
        self._sent = self._dropped = self._refused = self._texts = 0
        self._dropped_before = 0

    def offer(self, batches: Sequence[ReadingsBatch], refused: Sequence[RowRefused] = ()) -> None:
        """Take what the store has; never waits and never fails. `refused` it has not."""
        now_ns = self._clock.wall_ns()
        for batch in batches:
            gone = {row.seq for row in refused if row.gateway == batch.gateway}
            kept = without(batch, gone)
            readings = sum(len(group.rows) for group in kept.groups)
            if readings:
                self._queue.append(_Waiting(kept, readings, now_ns))
                self._waiting += readings
        self._shed(now_ns)
        self._news.set()

    def report(self) -> MirrorReport:
        """How it is doing just now."""
        now_ns = self._clock.wall_ns()
        lag_s = max(0.0, (now_ns - self._queue[0].at_ns) / SECOND_NS) if self._queue else 0.0
        state = MirrorState.DOWN if self._fault else MirrorState.BEHIND if lag_s > _BEHIND_S else MirrorState.OK
        return MirrorReport(
            state=state,
            waiting=self._waiting,
            lag_s=round(lag_s, 1),
            sent=self._sent,
            dropped=self._dropped,
            refused=self._refused,
            texts=self._texts,
            fault=self._fault,
        )

    async def run(self) -> None:
        """Send until cancelled; after a fault with rests that double, or as long as the server asks for."""
        rest_s = self._first_rest_s
        async with aiohttp.ClientSession(self._address.url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session:
            while True:
                await self._news.wait()
                if not self._queue:
                    self._news.clear()
                    continue
                try:
                    await self._send_some(session)
                except StoreUnavailable as error:
                    self._down(str(error))
                    await asyncio.sleep(max(rest_s, error.rest_s))
                    rest_s = min(rest_s * 2, _LONGEST_REST_S)
                else:
                    rest_s = self._first_rest_s
                    self._up()

    async def _send_some(self, session: aiohttp.ClientSession) -> None:
        """Send the oldest that wait; they leave the queue once the server has them, or will never take them."""
        self._shed(self._clock.wall_ns())
        part: list[_Waiting] = []
        lines: list[str] = []
        texts = 0
        for waiting in list(self._queue):
            if part and len(lines) + waiting.readings > _AT_ONCE:
                break
            made, left_out = number_lines(sound(waiting.batch)[0])
            part.append(waiting)
            lines += made
            texts += left_out
            await asyncio.sleep(0)
        fault = await self._post(session, lines) if lines else ""
        # What was shed meanwhile is sent all the same, and counts as sent.
        readings = sum(waiting.readings for waiting in part)
        for waiting in part:
            if self._queue and self._queue[0] is waiting:
                self._queue.popleft()
                self._waiting -= waiting.readings
            else:
                self._dropped -= waiting.readings
        self._texts += texts
        if fault:
            self._refused += readings
            _log.warning("mirror: %d readings are refused: %s", readings, fault, extra={"event": "mirror.refused"})
        else:
            self._sent += readings

    async def _post(self, session: aiohttp.ClientSession, lines: Sequence[str]) -> str:
        """Empty once the server has the lines; its words where it will never take them. StoreUnavailable where it may later."""
        params = {"precision": "ns", **({"db": self._address.database} if self._address.database else {})}
        body = "\n".join(lines).encode()
        try:
            async with session.post("/write", params=params, data=body, headers=authorization(self._address)) as answer:
                if answer.status < 300:
                    return ""
                told = f"{answer.status}: {(await answer.text(errors='replace'))[:300].strip()}"
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unavailable(error) from error
        if answer.status in _PERMANENT:
            return told
        raise StoreUnavailable(f"answered {told}", rest_s(answer.headers))

    def _shed(self, now_ns: int) -> None:
        """Drop the oldest beyond what may wait, or what waited for too long."""
        until_ns = now_ns - round(_OLDEST_S * SECOND_NS)
        while self._queue and (self._waiting > self._most or self._queue[0].at_ns < until_ns):
            gone = self._queue.popleft()
            self._waiting -= gone.readings
            self._dropped += gone.readings

    def _down(self, fault: str) -> None:
        if not self._fault:
            self._dropped_before = self._dropped
            _log.warning("mirror: does not take anything, waiting: %s", fault, extra={"event": "mirror.down"})
        self._fault = fault

    def _up(self) -> None:
        if self._fault:
            self._fault = ""
            left_out = self._dropped - self._dropped_before
            words = "mirror: is back; %d readings were left out, %d wait"
            _log.warning(words, left_out, self._waiting, extra={"event": "mirror.up", "left_out": left_out})
