"""Say again what a wire log heard: the inbound direction, one connection per recorded peer, at N times the speed.

Each chunk has its absolute instant, `start + (t_ns - first t_ns) / speed`, so that delays never add up. One sender
walks the log in its order, so chunks leave in the recorded order, between peers too.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from simulators.listener import Address, close_quietly
from simulators.pace import Pace, SystemPace
from simulators.relay import Direction
from simulators.wire_log import WireEntry, WireEvent
from telemetry.clock import SECOND_NS, Clock, SystemClock

__all__ = ["ReplaySummary", "replay"]

_CHUNK = 65536


class ReplaySummary(msgspec.Struct, kw_only=True):
    """What a replay did so far. `lag_ms_max` is the worst lateness of a chunk; `heard_bytes` what came back."""

    chunks: int = 0
    bytes: int = 0
    total: int = 0
    peers: int = 0
    heard_bytes: int = 0
    broken: int = 0
    lag_ms_max: float = 0.0
    seconds: float = 0.0
    recorded_seconds: float = 0.0
    left_seconds: float = 0.0


class _Peers:
    """One connection per recorded peer, opened when it first speaks and opened again if the agent hung up."""

    def __init__(self, target: Address, group: asyncio.TaskGroup, summary: ReplaySummary, *, udp: bool) -> None:
        self._target = target
        self._group = group
        self._summary = summary
        self._udp = udp
        self._streams: dict[str, asyncio.StreamWriter] = {}
        self._datagrams: dict[str, asyncio.DatagramTransport] = {}
        self._ears: list[asyncio.Task[None]] = []

    async def send(self, peer: str, data: bytes) -> None:
        if self._udp:
            (await self._socket(peer)).sendto(data)
            return
        try:
            writer = await self._stream(peer)
            writer.write(data)
            await writer.drain()
        except ConnectionError:
            if not self._ears:  # nobody has ever answered there: that is no fault of the line
                raise
            self._summary.broken += 1
            self._streams.pop(peer, None)

    async def close(self, linger_s: float) -> None:
        """Say that nothing more comes, and give the agent `linger_s` to finish what it answers."""
        for writer in self._streams.values():
            if not writer.is_closing():
                writer.write_eof()
        if self._ears:
            await asyncio.wait(self._ears, timeout=linger_s)
        elif self._datagrams:
            await asyncio.sleep(linger_s)
        for ear in self._ears:
            ear.cancel()
        for writer in self._streams.values():
            await close_quietly(writer)
        for transport in self._datagrams.values():
            transport.close()

    async def _stream(self, peer: str) -> asyncio.StreamWriter:
        writer = self._streams.get(peer)
        if writer is None or writer.is_closing():
            reader, writer = await asyncio.open_connection(*self._target)
            self._streams[peer] = writer
            self._summary.peers = len(self._streams)
            self._ears.append(self._group.create_task(self._listen(reader)))
        return writer

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_CHUNK):
                self._summary.heard_bytes += len(data)
        except ConnectionError:
            self._summary.broken += 1

    async def _socket(self, peer: str) -> asyncio.DatagramTransport:
        if peer not in self._datagrams:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(self._summary), remote_addr=self._target)
            self._datagrams[peer] = transport
            self._summary.peers = len(self._datagrams)
        return self._datagrams[peer]


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, summary: ReplaySummary) -> None:
        self._summary = summary

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self._summary.heard_bytes += len(data)

    def error_received(self, _error: Exception) -> None:
        self._summary.broken += 1


async def replay(
    entries: Iterable[WireEntry],
    target: Address,
    *,
    speed: float = 1.0,
    udp: bool | None = None,
    linger_s: float = 1.0,
    clock: Clock | None = None,
    pace: Pace | None = None,
    progress: Callable[[ReplaySummary], None] | None = None,
) -> ReplaySummary:
    """Send every inbound chunk of `entries` to `target`, over UDP or TCP, or as it was recorded where `udp` is None.

    `progress` sees the running summary after each chunk. After the last one the agent has `linger_s` to answer.
    ValueError for a speed outside 0.001..1000 or a log without inbound entries; OSError where nobody listens.
    """
    if not 0.001 <= speed <= 1000:
        raise ValueError(f"speed {speed}: want 0.001 to 1000")
    spoken = [entry for entry in entries if entry.direction is Direction.IN and entry.event is WireEvent.DATA]
    if not spoken:
        raise ValueError('the log holds nothing that a device said (direction "in")')
    clock = clock or SystemClock()
    summary = ReplaySummary(total=len(spoken), recorded_seconds=(spoken[-1].t_ns - spoken[0].t_ns) / SECOND_NS)
    try:
        async with asyncio.TaskGroup() as group:
            peers = _Peers(target, group, summary, udp=spoken[0].link == "udp" if udp is None else udp)
            start = clock.monotonic_ns()
            for entry, due in _schedule(spoken, start, speed):
                await (pace or SystemPace(clock)).until(due)
                await peers.send(entry.peer, entry.data)
                _account(summary, entry, clock.monotonic_ns(), start, due, speed)
                if progress is not None:
                    progress(summary)
            await peers.close(linger_s)
    except* OSError as errors:
        raise OSError(f"{target[0]}:{target[1]}: {errors.exceptions[0]}") from errors
    return summary


def _schedule(spoken: Sequence[WireEntry], start: int, speed: float) -> Iterator[tuple[WireEntry, int]]:
    """Each entry with its instant of the monotonic clock."""
    for entry in spoken:
        yield entry, start + round((entry.t_ns - spoken[0].t_ns) / speed)


def _account(summary: ReplaySummary, entry: WireEntry, now: int, start: int, due: int, speed: float) -> None:  # noqa: PLR0917 (one call, named alike)
    summary.chunks += 1
    summary.bytes += len(entry.data)
    summary.lag_ms_max = max(summary.lag_ms_max, (now - due) / 1e6)
    summary.seconds = (now - start) / SECOND_NS
    summary.left_seconds = max(0.0, summary.recorded_seconds / speed - summary.seconds)
