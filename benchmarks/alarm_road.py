"""From a gateway's alarm to its case and to a webhook, while values stream beside it; and what a storm of alarms does.

The gateway (outbox and uplink) runs in this process, broker, cloud and store each in one of their own, all on this machine.
Three measurements on one cloud, whose notifications go to a webhook and to a group robot that takes 20 messages a minute:

    latency   single alarms, evenly, over a stream of values: event to case, event to webhook
    burst     many alarms at once: how fast they become cases
    storm     many alarms over a minute, over the stream: nothing lost, nobody flooded, how long until all is told
"""

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiohttp import web

from benchmarks.ingest import StoreKind, cloud_process
from benchmarks.load import GATEWAY, VALUES_EACH, Street, raised
from benchmarks.servers import influxd, mosquitto
from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from telemetry.clock import SystemClock
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import DeviceDeclaration, GatewayStatus

__all__ = ["AlarmRoadFigures", "measure_alarm_road"]

_TICK_S: Final = 0.1
_WARM_UP_S: Final = 3.0
_BETWEEN_S: Final = 0.25
_ROBOT_PER_MINUTE: Final = 20
_PATIENCE_S: Final = 900.0
_OUTBOX_BYTES: Final = 512 * 1024 * 1024


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds over all samples."""

    samples: int
    p50: float
    p99: float
    worst: float


class AlarmRoadFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. Values per second are those that the cloud acknowledged during the latency measurement.

    `storm_cases` of `storm_alarms` became cases; `robot_most_a_minute` is the most that the robot got in any 60 s, `budget`
    what it may get; `quiet_s` how long after the last alarm the last message was out.
    """

    store: StoreKind
    background_values_per_s: float
    to_case_ms: Spread
    to_webhook_ms: Spread
    burst_alarms: int
    burst_transitions_per_s: float
    storm_alarms: int
    storm_seconds: float
    storm_cases: int
    storm_webhooks: int
    robot_messages: int
    robot_most_a_minute: int
    budget: int
    quiet_s: float


class _Heard:
    """When each device's case was told, and what the two webhooks got; monotonic seconds."""

    def __init__(self) -> None:
        self.case: dict[str, float] = {}
        self.hook: dict[str, float] = {}
        self.robot: list[float] = []

    async def on_hook(self, request: web.Request) -> web.Response:
        facts = (await request.json())["case"]
        for device in [facts["device"]] if "device" in facts else []:  # a digest tells of none
            self.hook.setdefault(device, time.perf_counter())
        return web.Response()

    async def on_robot(self, request: web.Request) -> web.Response:
        await request.read()
        self.robot.append(time.perf_counter())
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def follow(self, api: str) -> None:
        """The cloud's own stream of cases, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{api}/api/stream?kind=case") as stream:
            async for line in stream.content:
                if line.startswith(b"data: "):
                    told = msgspec.json.decode(line[6:])
                    if isinstance(told, dict) and "device" in told:
                        self.case.setdefault(told["device"], time.perf_counter())


class _Gateway:
    """An outbox with its uplink, which a stream of values and alarms go through."""

    def __init__(self, outbox: Outbox, values_per_s: int) -> None:
        self._outbox = outbox
        self._street = Street()
        self._each_tick = round(values_per_s * _TICK_S / VALUES_EACH)
        self.raised: dict[str, float] = {}

    @property
    def acked(self) -> int:
        return self._outbox.accounts[Lane.READINGS].acked

    async def stream(self) -> None:
        """Values at their rate, until cancelled."""
        due = time.perf_counter()
        while True:
            await self._outbox.commit(self._street.readings(self._each_tick))
            due += _TICK_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def alarm(self, devices: Sequence[str]) -> None:
        """One alarm of each device, now."""
        now_ns, now = time.time_ns(), time.perf_counter()
        self.raised |= dict.fromkeys(devices, now)
        await self._outbox.commit([], [raised(device, now_ns) for device in devices])


async def measure_alarm_road(
    store: StoreKind,
    seconds: float,
    storm: int,
    values_per_s: int,
    tell: Callable[[str], None] = lambda _: None,
    *,
    storm_s: float = 60.0,
) -> AlarmRoadFigures:
    """All three measurements: `seconds` of single alarms, a burst of a quarter of `storm`, and `storm` alarms in `storm_s`.

    RuntimeError where the cloud dies; TimeoutError where alarms do not become cases.
    """
    singles = [f"single-{n}" for n in range(round(seconds / _BETWEEN_S))]
    burst, gale = [f"burst-{n}" for n in range(max(1, storm // 4))], [f"storm-{n}" for n in range(storm)]
    heard = _Heard()
    with tempfile.TemporaryDirectory(prefix="citynerve-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        series = f"influx:{stack.enter_context(influxd(folder))}/road" if store is StoreKind.INFLUX else ""
        broker = f"mqtt://127.0.0.1:{stack.enter_context(mosquitto(folder))}"
        async with _listening(heard) as port:
            series = series or f"duckdb:{folder / 'road.duckdb'}"
            api = stack.enter_context(cloud_process(folder, broker, series, _channels(port)))
            async with _running(folder, broker, [*singles, *burst, *gale], values_per_s) as gateway:
                following = asyncio.create_task(heard.follow(api))
                try:
                    tell("latency")
                    rate = await _singly(gateway, heard, singles, seconds)
                    tell("burst")
                    took = await _at_once(gateway, folder, burst)
                    tell("storm")
                    quiet_s, spent = await _storm(gateway, folder, gale, storm_s)
                finally:
                    following.cancel()
            cases = _count(folder, "SELECT count(*) FROM cases WHERE device LIKE 'storm-%'")
    return AlarmRoadFigures(
        store=store,
        background_values_per_s=round(rate),
        to_case_ms=_spread(gateway.raised, heard.case, singles),
        to_webhook_ms=_spread(gateway.raised, heard.hook, singles),
        burst_alarms=len(burst),
        burst_transitions_per_s=round(len(burst) / took),
        storm_alarms=len(gale),
        storm_seconds=round(spent, 1),
        storm_cases=cases,
        storm_webhooks=sum(device in heard.hook for device in gale),
        robot_messages=len(heard.robot),
        robot_most_a_minute=_most_a_minute(heard.robot),
        budget=_ROBOT_PER_MINUTE,
        quiet_s=round(quiet_s, 1),
    )


async def _singly(gateway: _Gateway, heard: _Heard, devices: Sequence[str], seconds: float) -> float:
    """Single alarms over the stream; the values a second that were acknowledged meanwhile."""
    streaming = asyncio.create_task(gateway.stream())
    try:
        await asyncio.sleep(_WARM_UP_S)
        acked, began = gateway.acked, time.perf_counter()
        for device in devices:
            await gateway.alarm([device])
            await asyncio.sleep(_BETWEEN_S)
        rate = (gateway.acked - acked) * VALUES_EACH / (time.perf_counter() - began)
        await _until(lambda: all(device in heard.hook and device in heard.case for device in devices), seconds + 60)
    finally:
        streaming.cancel()
    return rate


async def _at_once(gateway: _Gateway, folder: Path, devices: Sequence[str]) -> float:
    """Seconds from a burst of alarms to the last one's case."""
    began = time.perf_counter()
    await gateway.alarm(devices)
    asked = "SELECT count(*) FROM cases WHERE device LIKE 'burst-%'"
    await _until(lambda: _count(folder, asked) == len(devices), 300)
    return time.perf_counter() - began


async def _storm(gateway: _Gateway, folder: Path, devices: Sequence[str], storm_s: float) -> tuple[float, float]:
    """Alarms evenly over `storm_s` over the stream; seconds until the last message was out, and how long the storm took."""
    streaming = asyncio.create_task(gateway.stream())
    ticks = round(storm_s / _TICK_S)
    began = time.perf_counter()
    try:
        for tick in range(ticks):
            some = devices[len(devices) * tick // ticks : len(devices) * (tick + 1) // ticks]
            if some:
                await gateway.alarm(some)
            await asyncio.sleep(max(0.0, began + (tick + 1) * _TICK_S - time.perf_counter()))
        over = time.perf_counter()
        asked = "SELECT count(*) FROM cases WHERE device LIKE 'storm-%'"
        await _until(lambda: _count(folder, asked) == len(devices), 300)
        waiting = "SELECT count(*) FROM notifications WHERE state = 'pending'"
        await _until(lambda: _count(folder, waiting) == 0, _PATIENCE_S)
        return time.perf_counter() - over, over - began
    finally:
        streaming.cancel()


async def _until(holds: Callable[[], bool], most_s: float) -> None:
    async with asyncio.timeout(most_s):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - a measurement looks from outside
            await asyncio.sleep(0.05)


def _count(folder: Path, asked: str) -> int:
    database = sqlite3.connect(f"file:{folder / 'cloud' / 'cloud.db'}?mode=ro", uri=True, timeout=10)
    try:
        found: int = database.execute(asked).fetchone()[0]
        return found
    finally:
        database.close()


@asynccontextmanager
async def _listening(heard: _Heard) -> AsyncIterator[int]:
    """The port of the webhook and of the robot."""
    app = web.Application()
    app.router.add_post("/hook", heard.on_hook)
    app.router.add_post("/robot", heard.on_robot)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _channels(port: int) -> str:
    """What the cloud's configuration says of the two."""
    hook = f'[[channels]]\nname = "hook"\nkind = "webhook"\nurl = "http://127.0.0.1:{port}/hook"\nper_minute = 6000\n'
    robot = f'[[channels]]\nname = "robot"\nkind = "wecom"\nurl = "http://127.0.0.1:{port}/robot"\n'
    return f"{hook}\n{robot}per_minute = {_ROBOT_PER_MINUTE}\n"


@asynccontextmanager
async def _running(folder: Path, broker: str, devices: Sequence[str], values_per_s: int) -> AsyncIterator[_Gateway]:
    """A gateway with these devices beside those of the stream, connected and heard."""
    clock, home = SystemClock(), folder / "edge"
    home.mkdir()
    covers = [DeviceDeclaration(device=name, profile="cover_nbiot", profile_version=1, kind="manhole_cover") for name in devices]
    outbox = await Outbox.open(home, GATEWAY, OutboxLimits(max_bytes=_OUTBOX_BYTES), clock)
    uplink = Uplink(
        UplinkSettings(gateway=GATEWAY, broker=broker, boot_id="bench", agent_version="bench"),
        outbox,
        clock,
        devices=lambda: [*Street.declarations(), *covers],
        status=lambda online: GatewayStatus(gateway=GATEWAY, online=online, at_ns=clock.wall_ns()),
        on_command=lambda _: None,
        refuse=_complain,
    )
    gateway = _Gateway(outbox, values_per_s)
    sending = asyncio.create_task(uplink.run(), name="uplink")
    try:
        await outbox.commit(Street().readings(1))
        await _until(lambda: gateway.acked > 0, 60)
        yield gateway
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await outbox.close()


def _complain(source: str, reason: Reason, detail: str, _raw: bytes) -> None:
    sys.stderr.write(f"{source}: {reason}: {detail}\n")


def _spread(sent: dict[str, float], heard: dict[str, float], devices: Sequence[str]) -> Spread:
    taken = sorted((heard[device] - sent[device]) * 1000 for device in devices)
    cuts = statistics.quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else taken * 99
    return Spread(len(taken), round(cuts[49], 1), round(cuts[98], 1), round(taken[-1], 1))


def _most_a_minute(times: Sequence[float]) -> int:
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - 60:
            first += 1
        most = max(most, last - first + 1)
    return most
