"""One link that misbehaves, and the connections that share it: what `faults.FaultyProxy` is made of."""

import asyncio
import random
from enum import StrEnum

import msgspec

from simulators.listener import close_quietly, reset
from simulators.relay import Direction

__all__ = ["BadLink", "Connection", "FaultCounts", "Impairment", "Mode", "Stream"]

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_CHUNK = 65536
_UNDER_WAY = 256
"""Chunks that may be on a slow link at once; what comes on top waits with its sender."""
_SLICE_S = 0.05
"""A throttled link passes what fits into so much time at once: an even flow, no row of bursts."""


class Mode(StrEnum):
    """What the link does with what it is given."""

    PASS = "pass"  # noqa: S105 (not a password: bytes pass)
    HOLD = "hold"  # a silent stall: nothing moves, nobody is told, and all of it moves on when the stall ends
    SWALLOW = "swallow"  # half open: bytes vanish, the connection stays
    CUT = "cut"  # ends every connection and refuses new ones
    RESET = "reset"  # the same, with a TCP reset


class Impairment(msgspec.Struct, frozen=True, kw_only=True):
    """How bad one direction of a link is.

    `rate_bits_s` is shared by all connections; 0 means unlimited. Each chunk comes `delay_s` late, and by chance up to
    `jitter_s` more; TCP keeps their order. `reset_after` breaks each connection with a TCP reset after a number of bytes
    drawn from (fewest, most). `most_bytes` is an MTU black hole: the first chunk larger than that, and all that is behind
    it on its connection, never arrives, while the connection stays; 0 means none.
    """

    mode: Mode = Mode.PASS
    rate_bits_s: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    reset_after: tuple[int, int] | None = None
    most_bytes: int = 0

    @property
    def down(self) -> bool:
        """Whether connections end and new ones are refused."""
        return self.mode in (Mode.CUT, Mode.RESET)


class FaultCounts(msgspec.Struct, kw_only=True):
    """What a link did. Bytes are of both directions; `cut` and `reset` count connections that the link itself ended."""

    connections: int = 0
    unreachable: int = 0
    passed_bytes: int = 0
    swallowed_bytes: int = 0
    black_holes: int = 0
    cut: int = 0
    reset: int = 0


class BadLink:
    """What the connections of a link share: its impairments, its rate, its chance and its account."""

    def __init__(self, impairment: Impairment, seed: int | str) -> None:
        self.counts = FaultCounts()
        self._bad = dict.fromkeys(Direction, impairment)
        self._chance = random.Random(seed)  # noqa: S311 (faults want to be repeatable, not secret)
        self._free_at_s = dict.fromkeys(Direction, 0.0)
        self._news = asyncio.Event()

    def bad(self, way: Direction) -> Impairment:
        """How bad a direction is now."""
        return self._bad[way]

    def change(self, way: Direction, impairment: Impairment) -> None:
        """Be so bad from now on."""
        self._bad[way] = impairment
        self._news.set()
        self._news = asyncio.Event()

    async def moving(self, way: Direction) -> None:
        """Returns when nothing holds this direction."""
        while self._bad[way].mode is Mode.HOLD:
            await self._news.wait()

    def slice(self, way: Direction) -> int:
        """The most to take from a sender at once, in bytes."""
        rate = self._bad[way].rate_bits_s / 8
        return max(256, int(rate * _SLICE_S)) if rate else _CHUNK

    async def transmit(self, way: Direction, size: int) -> float:
        """Wait until the link has carried `size` bytes; the loop's time at which they arrive."""
        loop, bad = asyncio.get_running_loop(), self._bad[way]
        if bad.rate_bits_s:
            now_s = loop.time()
            # What an idle link could have carried is not saved up beyond one slice.
            self._free_at_s[way] = max(self._free_at_s[way], now_s - _SLICE_S) + size * 8 / bad.rate_bits_s
            await asyncio.sleep(max(0.0, self._free_at_s[way] - now_s))
        return loop.time() + bad.delay_s + self._chance.uniform(0, bad.jitter_s)

    def draw(self, fewest: int, most: int) -> int:
        """A number of bytes between these two."""
        return self._chance.randint(fewest, most)


class _EndedError(Exception):
    """The link ends a connection."""

    def __init__(self, how: Mode) -> None:
        super().__init__(how)
        self.how = how


_OnTheWay = asyncio.Queue[tuple[float, bytes]]


class Connection:
    """One caller, one connection to the target, and the way between them in both directions."""

    def __init__(self, link: BadLink, near: Stream, far: Stream) -> None:
        self._link = link
        self._near = near
        self._far = far
        self._ending: asyncio.Future[Mode] = asyncio.get_running_loop().create_future()
        self._deaf: set[Direction] = set()
        self._left: dict[Direction, int] = {}

    def end(self, how: Mode) -> None:
        """End now, by CUT or RESET."""
        if not self._ending.done():
            self._ending.set_result(how)

    async def run(self) -> None:
        """Pass bytes on until both sides are done or somebody hangs up; then both are closed or reset."""
        how = Mode.RESET  # also where the proxy itself is stopped
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch())
                async with asyncio.TaskGroup() as ways:
                    self._carry(ways, Direction.IN, self._near[0], self._far[1])
                    self._carry(ways, Direction.OUT, self._far[0], self._near[1])
                watch.cancel()
            how = Mode.CUT
        except* _EndedError as ended:
            how = self._count(ended)
        except* OSError:
            how = Mode.RESET
        finally:
            writers = self._near[1], self._far[1]
            for writer in writers:  # both before any wait, which may be cancelled
                (reset if how is Mode.RESET else asyncio.StreamWriter.close)(writer)
            for writer in writers:
                await close_quietly(writer)

    async def _watch(self) -> None:
        raise _EndedError(await self._ending)

    def _count(self, ended: "BaseExceptionGroup[_EndedError]") -> Mode:
        error: BaseException = ended
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, _EndedError) and error.how is Mode.CUT:
            self._link.counts.cut += 1
            return Mode.CUT
        self._link.counts.reset += 1
        return Mode.RESET

    def _carry(self, tasks: asyncio.TaskGroup, way: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        under_way: _OnTheWay = asyncio.Queue(_UNDER_WAY)
        tasks.create_task(self._take_in(way, source, under_way))
        tasks.create_task(self._hand_out(way, under_way, sink))

    async def _take_in(self, way: Direction, source: asyncio.StreamReader, under_way: _OnTheWay) -> None:
        """From the sender onto the link; nothing at all is taken while the link holds."""
        data, due_s = b"start", 0.0
        while data:
            await self._link.moving(way)
            data = await source.read(self._link.slice(way))
            due_s = max(due_s, await self._link.transmit(way, len(data)))
            await under_way.put((due_s, data))

    async def _hand_out(self, way: Direction, under_way: _OnTheWay, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await under_way.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await self._link.moving(way)
            if not data:
                break
            passed = self._let_through(way, data)
            if passed:
                sink.write(passed)
                await sink.drain()
                self._link.counts.passed_bytes += len(passed)
            if self._left.get(way) == 0:
                raise _EndedError(Mode.RESET)
        if sink.can_write_eof() and not self._lost(way):
            sink.write_eof()

    def _lost(self, way: Direction) -> bool:
        return way in self._deaf or self._link.bad(way).mode is Mode.SWALLOW

    def _let_through(self, way: Direction, data: bytes) -> bytes:
        """What of a chunk arrives."""
        bad, counts = self._link.bad(way), self._link.counts
        if bad.most_bytes and len(data) > bad.most_bytes and way not in self._deaf:
            self._deaf.add(way)
            counts.black_holes += 1
        if self._lost(way):
            counts.swallowed_bytes += len(data)
            return b""
        if bad.reset_after is None:
            self._left.pop(way, None)
            return data
        left = self._left.setdefault(way, self._link.draw(*bad.reset_after))
        self._left[way] = max(0, left - len(data))
        return data[:left]
