"""An uplink, a narrow road and a cloud in virtual time: hours pass in moments, and always in the same way."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from selectors import DefaultSelector, SelectorKey
from typing import Any

from edge_agent_parts import T0, CloudBooks

from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.link import Link, LinkDownError
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from telemetry.clock import SECOND_NS
from telemetry.records import Command
from telemetry.topics import Channel
from telemetry.wire import Ack, GatewayStatus, encode

HEADERS = 80
"""Bytes of MQTT, TCP and IP around a payload, on the road's side of the account."""


class _Jump(DefaultSelector):
    """Where a loop would wait, its clock is set forward."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits, and for nothing"
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waits for nothing: the clock jumps to the next timer, and an executor's work is done on the spot."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            done.set_exception(error)
        return done


def virtually(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


class LoopClock:
    """The loop's time as a `telemetry.clock.Clock`."""

    def wall_ns(self) -> int:
        return T0 + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * SECOND_NS)


class Road:
    """Both directions between one gateway and one cloud: `bits_s` wide upwards, `way_s` long each way.

    `lose_up` and `lose_acks` are the chances that the broker forgets a batch it has acknowledged, and that an answer is
    lost; `shuffle_s` is the most an answer may be late; a `silent` road takes everything and gives nothing back.
    """

    def __init__(self, cloud: CloudBooks, *, bits_s: float = 1e9, way_s: float = 0.02, seed: int = 1) -> None:
        self.cloud = cloud
        self.bits_s = bits_s
        self.way_s = way_s
        self.lose_up = self.lose_acks = self.shuffle_s = 0.0
        self.silent = False
        self.is_up = True
        self.sent_bytes = 0
        self.arrivals: list[tuple[float, Channel, int]] = []
        """When, on which channel, how many bytes."""
        self.seen: Callable[[Channel, bytes], None] = lambda what, payload: None
        self._free_s = 0.0
        self._links: list[_RoadLink] = []
        self.chance = random.Random(seed)  # noqa: S311 - chance that can be repeated

    @asynccontextmanager
    async def connect(self, will: bytes) -> AsyncIterator[Link]:
        await asyncio.sleep(self.way_s)
        if not self.is_up:
            raise LinkDownError("no road")
        link = _RoadLink(self)
        self._links.append(link)
        try:
            yield link
        finally:
            self._links.remove(link)

    def cut(self) -> None:
        """End every connection."""
        for link in self._links:
            link.break_off()

    def answer(self, ack: Ack) -> None:
        """Let the cloud's word come down."""
        if self.silent or self.chance.random() < self.lose_acks:
            return
        late_s = self.way_s + self.chance.random() * self.shuffle_s
        for link in self._links:
            asyncio.get_running_loop().call_later(late_s, link.inbox.put_nowait, (Channel.ACK, encode(ack)))

    def room_s(self, size: int) -> float:
        """How long until something of `size` bytes is over, behind all that is on the road already."""
        now_s = asyncio.get_running_loop().time()
        self._free_s = max(self._free_s, now_s) + 8 * (size + HEADERS) / self.bits_s
        return self._free_s + self.way_s - now_s


class _RoadLink:
    def __init__(self, road: Road) -> None:
        self._road = road
        self.inbox: asyncio.Queue[tuple[Channel, bytes] | None] = asyncio.Queue()
        self._broken = asyncio.Event()

    def break_off(self) -> None:
        self._broken.set()
        self.inbox.put_nowait(None)

    async def publish(self, what: Channel, payload: bytes, *, retain: bool = False) -> None:
        road = self._road
        road.sent_bytes += len(payload)
        if road.silent:
            await asyncio.sleep(1e9)
        await self._pass(road.room_s(len(payload)))
        road.arrivals.append((asyncio.get_running_loop().time(), what, len(payload)))
        if road.chance.random() >= road.lose_up:
            road.seen(what, payload)
            for ack in road.cloud.take("gw1", what, payload):
                road.answer(ack)
        await self._pass(road.way_s)

    async def _pass(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._broken.wait()
        except TimeoutError:
            return
        raise LinkDownError("cut")

    async def heard(self) -> AsyncIterator[tuple[Channel, bytes]]:
        while (item := await self.inbox.get()) is not None:
            yield item
        raise LinkDownError("cut")


class Station:
    """An outbox and an uplink at one end of a road."""

    def __init__(self, outbox: Outbox, road: Road, *, seed: int = 7, **settings: Any) -> None:
        self.outbox = outbox
        self.road = road
        self.snapshots: list[float] = []
        self.cloud_times: list[tuple[float, int, int]] = []
        self.uplink = Uplink(
            UplinkSettings(gateway="gw1", broker="mqtt://nowhere", boot_id="boot", agent_version="1", **settings),
            outbox,
            LoopClock(),
            devices=list,
            status=lambda online: GatewayStatus(gateway="gw1", online=online, at_ns=T0),
            on_command=_no_command,
            refuse=_no_refusal,
            connect=road.connect,
            snapshot=self.snapshot,
            on_cloud_time=self.note_time,
            chance=random.Random(seed),  # noqa: S311 - chance that can be repeated
        )

    async def snapshot(self) -> int:
        self.snapshots.append(asyncio.get_running_loop().time())
        return 0

    async def note_time(self, server_ns: int, rtt_ns: int) -> None:
        self.cloud_times.append((asyncio.get_running_loop().time(), server_ns, rtt_ns))

    def empty(self) -> bool:
        return not any(account.depth for account in self.outbox.accounts.values())

    async def drained(self, seconds: float = 3600) -> None:
        """Until nothing is held; TimeoutError when that takes longer."""
        await when(self.empty, seconds)


def _no_command(command: Command) -> None:
    raise AssertionError(f"nobody sent {command.id}")


def _no_refusal(source: str, reason: str, detail: str, raw: bytes) -> None:
    raise AssertionError(f"{source}: {reason}: {detail}")


async def when(condition: Callable[[], bool], seconds: float = 600, step_s: float = 0.05) -> None:
    """Until `condition` holds, in virtual time; TimeoutError when it does not."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a test looks from outside
            await asyncio.sleep(step_s)


@asynccontextmanager
async def station(folder: Path, road: Road, **settings: Any) -> AsyncIterator[Station]:
    """A station whose uplink does not run yet."""
    outbox = await Outbox.open(folder, "gw1", OutboxLimits(max_bytes=1 << 30), LoopClock())
    try:
        yield Station(outbox, road, **settings)
    finally:
        await outbox.close()


@asynccontextmanager
async def running(there: Station) -> AsyncIterator[Station]:
    """The station's uplink at work."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(there.uplink.run())
        try:
            yield there
        finally:
            task.cancel()
