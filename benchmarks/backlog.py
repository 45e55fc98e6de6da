"""An agent that comes up with days of backlog: how soon its first new reading is out, and what memory it takes.

The agent is the whole program in a process of its own, with one real broker for its devices and its cloud. The cloud is
the page below: it answers hellos and acknowledges batches as the ingest does, and stores nothing.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import aiomqtt
import msgspec

from benchmarks.load import GATEWAY, Street
from benchmarks.servers import mosquitto
from edge_agent.config import OutboxLimits
from edge_agent.outbox.salvage import open_store
from edge_agent.outbox.spans import Spans, union
from edge_agent.uplink.compression import decompress
from telemetry.clock import SystemClock
from telemetry.records import Lane
from telemetry.topics import Channel, all_gateways, channel, parse
from telemetry.wire import Ack, Hello, ReadingsBatch, decode_events, decode_hello, decode_readings, encode

__all__ = ["StartFigures", "build_backlog", "measure_start"]

_COMMIT = 10_000
_LIVE_DEVICES = 1000
_LIVE_EACH_S = 0.05
_CREDIT = 100_000
_PATIENCE_S = 60.0
_SAMPLE_S = 0.05
_ROOM = 16 * 1024**3
"""The outbox's quota, in bytes: above any backlog measured here."""


class StartFigures(msgspec.Struct, frozen=True, kw_only=True):
    """From the start of the process to its first new reading at the cloud, and the most memory it took while draining."""

    first_live_s: float
    rss_peak_mb: float
    drained_readings_per_s: float


def build_backlog(folder: Path, size: int, progress: Callable[[float], None]) -> tuple[int, int]:
    """An agent's folder with `size` bytes of readings that nobody has acknowledged; bytes and readings."""
    readings, clock = Street().readings(_COMMIT), SystemClock()
    store = open_store(folder / "data", GATEWAY, OutboxLimits(max_bytes=_ROOM), clock.wall_ns())
    try:
        while store.lanes[Lane.READINGS].bytes < size:
            store.commit(readings, [], {}, clock.wall_ns())
            progress(store.lanes[Lane.READINGS].bytes / size)
        account = store.lanes[Lane.READINGS]
    finally:
        store.close()
    return account.bytes, account.depth


def measure_start(folder: Path, seconds: float) -> StartFigures:
    """Starts the agent on a folder, waits for its first new reading, and watches it for `seconds` more.

    Raises TimeoutError where no new reading comes within a minute.
    """
    folder.mkdir(exist_ok=True)
    config = folder / "edge.toml"
    with mosquitto(folder) as port, (folder / "edge.log").open("w+b") as log:
        config.write_text(_configuration(port), "utf-8")
        try:
            return asyncio.run(_start(config, log, port, seconds))
        except TimeoutError as error:
            log.seek(0)
            raise TimeoutError(f"no new reading came: {log.read()[-2000:]!r}") from error


async def _start(config: Path, log: IO[bytes], port: int, seconds: float) -> StartFigures:
    async with aiomqtt.Client("127.0.0.1", port) as client, asyncio.TaskGroup() as tasks:
        cloud = PageCloud(client)
        helpers = [tasks.create_task(cloud.run(), name="cloud"), tasks.create_task(_speak(client), name="devices")]
        await cloud.listening.wait()
        began = time.perf_counter()
        try:
            async with _agent(config, log) as process, asyncio.timeout(_PATIENCE_S + seconds):
                await cloud.live.wait()
                first_live_s, before = time.perf_counter() - began, cloud.readings
                peak_mb = await _watch_memory(process.pid, seconds)
                drained = cloud.readings - before
        finally:
            await _end(helpers)
    return StartFigures(
        first_live_s=round(first_live_s, 2),
        rss_peak_mb=round(peak_mb, 1),
        drained_readings_per_s=round(drained / seconds),
    )


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel until they have ended: in Python 3.11 a wait with a time limit may swallow a cancellation."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.1)


@asynccontextmanager
async def _agent(config: Path, log: IO[bytes]) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "citynerve", "edge", "run", str(config)]
    process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _configuration(port: int) -> str:
    broker = f"mqtt://127.0.0.1:{port}"
    devices = "".join(
        f'[[links.devices]]\nid = "live-{n}"\nprofile = "toilet_counter_mqtt"\naddress = "live-{n}"\n'
        for n in range(_LIVE_DEVICES)
    )
    return (
        f'gateway = "{GATEWAY}"\ndata_dir = "data"\nbroker = "{broker}"\n'
        f"[outbox]\nmax_bytes = {_ROOM}\n[uplink]\nhistory_jitter_s = 0.0\n"
        f'[[links]]\nname = "devices"\ndriver = "mqtt"\nbroker = "{broker}"\n{devices}'
    )


async def _speak(client: aiomqtt.Client) -> None:
    """The devices, one after the other, so that each has something new to say."""
    for tick in itertools.count():
        said = {"ts": time.time_ns() // 1_000_000, "inside": tick % 7, "total": {"in": tick, "out": tick}}
        topic = f"toilet/live-{tick % _LIVE_DEVICES}/count"
        await client.publish(topic, json.dumps(said), qos=1)
        await asyncio.sleep(_LIVE_EACH_S)


async def _watch_memory(pid: int, seconds: float) -> float:
    """The most resident memory that a process has within so many seconds, in MB."""
    until, most_kb = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        most_kb = max(most_kb, _resident_kb(pid))
        await asyncio.sleep(_SAMPLE_S)
    return most_kb * 1024 / 1e6


def _resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


class PageCloud:
    """Takes everything, remembers which numbers it has, and says so."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._done: dict[Lane, Spans] = dict.fromkeys(Lane, ())
        self.listening = asyncio.Event()
        self.live = asyncio.Event()
        """Set when a reading of a device that speaks now has come."""
        self.readings = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        for what in (Channel.HELLO, Channel.EVENTS, Channel.READINGS):
            await self._client.subscribe(all_gateways(what), qos=1)
        self.listening.set()
        async for message in self._client.messages:
            place = parse(str(message.topic))
            if place is None or not isinstance(message.payload, bytes):
                continue
            if place[1] is Channel.HELLO:
                await self._welcome(decode_hello(message.payload, decompress))
            elif place[1] is Channel.READINGS:
                await self._take(decode_readings(message.payload, decompress))
            elif place[1] is Channel.EVENTS:
                events = decode_events(message.payload, decompress)
                last = events.first_seq + len(events.events) - 1
                await self._acknowledge(events.epoch, Lane.EVENTS, (events.first_seq, last))

    async def _welcome(self, hello: Hello) -> None:
        for lane, span in hello.lanes.items():
            await self._acknowledge(hello.epoch, lane, (1, span.first_unacked - 1), hello.sent_ns)

    async def _take(self, batch: ReadingsBatch) -> None:
        self.readings += batch.count
        if any(device.startswith("live-") for group in batch.groups for device in group.devices):
            self.live.set()
        await self._acknowledge(batch.epoch, Lane.READINGS, (batch.first_seq, batch.first_seq + batch.count - 1))

    async def _acknowledge(self, epoch: str, lane: Lane, done: tuple[int, int], answers: int = 0) -> None:
        ranges = self._done[lane] = union(self._done[lane], (done,))
        cumulative = ranges[0][1] if ranges and ranges[0][0] == 1 else 0
        ack = Ack(
            gateway=GATEWAY,
            epoch=epoch,
            lane=lane,
            cumulative=cumulative,
            ranges=[span for span in ranges if span[0] > cumulative],
            credit=_CREDIT,
            server_ns=time.time_ns(),
            answers=answers,
        )
        await self._client.publish(channel(GATEWAY, Channel.ACK), encode(ack), qos=1)
