"""What goes out next: alarms, new readings and history share one connection, and none of them waits for another's disk."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

import apsw
import msgspec

from edge_agent.outbox.outbox import Block, Outbox
from edge_agent.uplink.courier import Courier
from edge_agent.uplink.cut import Piece, cut
from edge_agent.uplink.link import LinkDownError
from edge_agent.uplink.settings import UplinkCounts, UplinkSettings
from edge_agent.uplink.share import Shares, Source
from edge_agent.uplink.window import LaneWindow
from telemetry.clock import SECOND_NS, Clock
from telemetry.records import Lane
from telemetry.topics import Channel

__all__ = ["Pump"]

logger = logging.getLogger(__name__)

_LANE = {Source.EVENTS: Lane.EVENTS, Source.LIVE: Lane.READINGS, Source.HISTORY: Lane.READINGS}
_READ_AHEAD_BYTES = 192 * 1024
"""Read at once for each source: each reading waits for the outbox's thread, which may be busy with a sync. With what
`Pace` lets be under way this is all of the backlog that is ever in memory."""
_DISK_PAUSE_NS = 5 * SECOND_NS
"""How long a source is left alone after the disk refused to read it."""
_REST_S = 1.0


class Pump:
    """Chooses and sends batches over one connection.

    `windows` outlive the connection, a pump does not. `ready` is set while the cloud has been told of every device;
    before that, and before a lane's window is welcome, nothing goes.
    """

    def __init__(
        self,
        settings: UplinkSettings,
        outbox: Outbox,
        clock: Clock,
        counts: UplinkCounts,
        *,
        windows: Mapping[Lane, LaneWindow],
        courier: Courier,
        ready: asyncio.Event,
        say_hello: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._epoch = outbox.epoch
        self._clock = clock
        self._counts = counts
        self._windows = windows
        self._courier = courier
        self._ready = ready
        self._say_hello = say_hello
        self._silence_ns = round(2 * settings.retransmit_s * SECOND_NS)
        self._rest_s = min(_REST_S, settings.retransmit_s / 2)
        self._shares = Shares()
        self._readers = {source: _Reader(outbox, _LANE[source]) for source in Source}
        self._paused_ns = dict.fromkeys(Source, 0)
        self._stirred = asyncio.Event()
        self._under_way: asyncio.TaskGroup

    def stir(self) -> None:
        """There may be something to do: look now."""
        self._stirred.set()

    def pause_history(self, until_ns: int) -> None:
        """Send nothing of the past before `until_ns` of the monotonic clock."""
        self._paused_ns[Source.HISTORY] = max(until_ns, self._paused_ns[Source.HISTORY])

    async def run(self) -> None:
        """Send until cancelled. Raises LinkDownError where the link is, or seems to be, dead."""
        async with asyncio.TaskGroup() as self._under_way:
            while True:
                self._stirred.clear()
                now_ns = self._clock.monotonic_ns()
                self._look_for_losses(now_ns)
                wait_ns = self._courier.pace.wait_ns(now_ns) if self._ready.is_set() else None
                piece = await self._choose(now_ns) if wait_ns == 0 else None
                if piece is None:
                    await self._rest(min(self._rest_s, (wait_ns or SECOND_NS) / SECOND_NS))
                else:
                    await asyncio.sleep(0)  # it begins to count as under way

    async def _rest(self, seconds: float) -> None:
        """Wait for news, at most until time itself may have changed something."""
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return

    def _look_for_losses(self, now_ns: int) -> None:
        if self._courier.pace.silent_ns(now_ns) >= self._silence_ns:
            raise LinkDownError(f"the broker acknowledged nothing for {self._silence_ns / SECOND_NS:g} s")
        for lane, window in self._windows.items():
            lost = window.retransmit(now_ns)
            if lost:
                extra = {"event": "uplink.retransmit", "lane": lane, "batches": lost, "cumulative": window.cumulative}
                logger.warning("no word from the cloud: sending again", extra=extra)
                self._counts.retransmissions += lost
            if window.should_ask(now_ns):
                self._say_hello()

    async def _choose(self, now_ns: int) -> Piece | None:
        """Send the next batch of whoever has had least of its share; what was sent, None where there is nothing."""
        for source in self._shares.order():
            if now_ns < self._paused_ns[source]:
                continue
            try:
                piece = await self._next(source)
            except apsw.Error as error:
                self._counts.disk_errors += 1
                self._paused_ns[source] = now_ns + _DISK_PAUSE_NS
                extra = {"event": "uplink.read_failed", "source": source, "error": str(error)}
                logger.exception("the outbox cannot be read; trying again", extra=extra)
                continue
            if piece is not None:
                self._send(source, piece)
                return piece
        return None

    async def _next(self, source: Source) -> Piece | None:
        """The next batch of a source, cut to the link, where its lane's credit has room for it."""
        window, lane = self._windows[_LANE[source]], _LANE[source]
        while window.may_send(1):
            last = self._outbox.accounts[lane].next_seq - 1
            low, high = _stretch(source, window.live_from, last)
            run = window.run(low, high)
            if run is None:
                return None
            generation = window.generation
            block = await self._readers[source].block_at(run[0])
            if self._outbox.epoch != self._epoch:
                return None
            if window.generation != generation or window.run(low, high) != run:
                continue  # the cloud said something meanwhile
            if block is None or block.first_seq > run[0]:
                window.on_absent(run[0], run[1] if block is None else min(run[1], block.first_seq - 1))
                continue
            try:
                piece = cut(block, run[0], min(run[1], block.last_seq), self._courier.pace.chunk)
            except (ValueError, msgspec.MsgspecError) as error:
                # It stays in the outbox, and the others go on.
                self._counts.disk_errors += 1
                extra = {"event": "uplink.uncut", "lane": lane, "first_seq": block.first_seq, "error": str(error)}
                logger.exception("a stored batch cannot be cut", extra=extra)
                window.on_absent(run[0], min(run[1], block.last_seq))
                continue
            return piece if window.may_send(piece.count) else None
        return None

    def _send(self, source: Source, piece: Piece) -> None:
        size = len(piece.payload)
        self._windows[piece.lane].on_sent(piece.first_seq, piece.last_seq)
        self._shares.served(source, size)
        self._counts.bytes_of[source] += size
        self._counts.parts += not piece.whole
        self._under_way.create_task(self._publish(piece), name=f"publish {piece.lane} {piece.first_seq}")

    async def _publish(self, piece: Piece) -> None:
        await self._courier.publish(Channel.of_lane(piece.lane), piece.payload, memory=piece.memory)
        self._windows[piece.lane].on_landed(piece.first_seq, piece.last_seq, self._clock.monotonic_ns())
        self._counts.batches_sent += 1
        self._counts.bytes_sent += len(piece.payload)
        self.stir()


def _stretch(source: Source, live_from: int, last: int) -> tuple[int, int]:
    """Which numbers of its lane a source sends; alarms are never history."""
    match source:
        case Source.EVENTS:
            return 1, last
        case Source.LIVE:
            return live_from, last
        case Source.HISTORY:
            return 1, min(last, live_from - 1)


class _Reader:
    """The blocks that one source will want next, read ahead."""

    def __init__(self, outbox: Outbox, lane: Lane) -> None:
        self._outbox = outbox
        self._lane = lane
        self._ready: deque[Block] = deque()

    async def block_at(self, seq: int) -> Block | None:
        """The first held block with a record numbered `seq` or above."""
        while self._ready and self._ready[0].last_seq < seq:
            self._ready.popleft()
        if not self._ready or self._ready[0].first_seq > seq:
            self._ready.clear()
            self._ready.extend(await self._outbox.next_blocks(self._lane, seq - 1, _READ_AHEAD_BYTES))
        return self._ready[0] if self._ready else None
