"""Thirty days of a device's past through the API, as many points as fit a screen, while the cloud is busy storing.

The cloud, its broker, the store's server and the gateway that feeds it run in processes of their own on this machine: nothing
is left out. The values of before were written and rolled up by the store itself. In the same run the same past is read the
plain way, every raw value of it, and the extremes of both answers are compared.
"""

import asyncio
import contextlib
import math
import random
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import aiohttp
import msgspec

from benchmarks.ingest import StoreKind, cloud_process
from benchmarks.load import DEVICES, METRICS
from benchmarks.servers import influxd, mosquitto
from cloud.series.open import make_store
from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.reason import Reason
from telemetry.records import Lane, Reading, Value
from telemetry.wire import DeviceDeclaration, GatewayStatus, ReadingGroup, ReadingsBatch

__all__ = ["HistoryFigures", "Road", "ask_chart", "fill_past", "known", "measure_history", "writing_road"]

_GATEWAY: Final = "gw-history"
_PROFILE: Final = ("lamp_loop", 1)
_ASKED: Final = METRICS[:4]
_DAYS: Final = 30
_MINUTES: Final = _DAYS * 1440
_PIXELS: Final = 1000  # two points each: 2,000
_EVERY_S: Final = 0.1
_WARM_UP_S: Final = 5.0
_OUTBOX_BYTES: Final = 512 * 1024 * 1024
_NUMBERS: Final = tuple(
    {metric: round(base / 10 + 13.7 * place, 3) for place, metric in enumerate(METRICS)} for base in range(997)
)


class HistoryFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds at the client, from the request to the last byte. `points` are those of one metric, the most of any answer;
    `written_per_s` what the cloud acknowledged meanwhile; `extremes_kept` whether the chart has the raw values' extremes."""

    store: StoreKind
    devices: int
    metrics: int
    days: int
    pixels: int
    tier: str
    column_s: float
    points: int
    bytes: int
    asked: int
    p50_ms: float
    p95_ms: float
    naive_tier: str
    naive_points: int
    naive_bytes: int
    naive_asked: int
    naive_p50_ms: float
    naive_p95_ms: float
    written_per_s: int
    extremes_kept: bool


async def measure_history(
    store: StoreKind, *, devices: int = 8, asked: int = 200, rate: int = 50_000, naive_asked: int = 10
) -> HistoryFigures:
    """Fills `devices` with 30 days of 1-minute data, then asks for charts of 4 metrics, `asked` times one after the other,
    while `rate` values a second are being written, and `naive_asked` times for all raw values."""
    names = [f"past-{n:02}" for n in range(devices)]
    with tempfile.TemporaryDirectory(prefix="citynerve-bench-") as folder_name, ExitStack() as stack:
        folder = Path(folder_name)
        series = f"duckdb:{folder / 'past.duckdb'}"
        if store is StoreKind.INFLUX:
            series = f"influx:{stack.enter_context(influxd(folder))}/past"
        end_ns = time.time_ns() // (60 * SECOND_NS) * 60 * SECOND_NS
        await fill_past(series, names, end_ns)
        broker = f"mqtt://127.0.0.1:{stack.enter_context(mosquitto(folder))}"
        base = stack.enter_context(cloud_process(folder, broker, series))
        edge = folder / "edge"
        edge.mkdir()
        async with writing_road(edge, broker, names, rate) as road, aiohttp.ClientSession(base) as session:
            await known(session, names)
            await asyncio.sleep(_WARM_UP_S)
            before, began = road.acked, time.perf_counter()
            charts = [await ask_chart(session, names[n % devices], end_ns, pixels=_PIXELS) for n in range(asked)]
            # So that the tiers' own work of a minute falls into what is measured.
            while time.perf_counter() - began < 65:
                charts.append(await ask_chart(session, names[len(charts) % devices], end_ns, pixels=_PIXELS))
                await asyncio.sleep(0.1)
            written = (road.acked - before) * len(METRICS) / (time.perf_counter() - began)
            naive = [await ask_chart(session, names[n % devices], end_ns, limit=50_000) for n in range(naive_asked)]
    return HistoryFigures(
        store=store, devices=devices, metrics=len(_ASKED), days=_DAYS, pixels=_PIXELS, tier=charts[0].document["tier"],
        column_s=charts[0].document["column_s"], points=_points(charts), bytes=charts[0].size, asked=len(charts),
        p50_ms=_percentile(charts, 0.5), p95_ms=_percentile(charts, 0.95), naive_tier=naive[0].document["tier"],
        naive_points=_points(naive), naive_bytes=naive[0].size, naive_asked=len(naive), naive_p50_ms=_percentile(naive, 0.5),
        naive_p95_ms=_percentile(naive, 0.95), written_per_s=round(written),
        extremes_kept=all(map(_same_extremes, charts[:devices], naive[:devices])),
    )  # fmt: skip


class ChartAnswer(msgspec.Struct, frozen=True):
    ms: float
    size: int
    document: dict[str, Any]


async def ask_chart(session: aiohttp.ClientSession, device: str, end_ns: int, **how: int) -> ChartAnswer:
    start, end = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // SECOND_NS)) for at in (end_ns - _DAYS * 86_400 * SECOND_NS, end_ns)
    )
    params = [("start", start), ("end", end), *(("metric", metric) for metric in _ASKED), *((k, str(v)) for k, v in how.items())]
    began = time.perf_counter()
    async with session.get(f"/api/devices/{device}/history", params=params) as answer:
        body = await answer.read()
    spent = time.perf_counter() - began
    if answer.status != 200:
        raise RuntimeError(f"history answered {answer.status}: {body[:300]!r}")
    return ChartAnswer(round(spent * 1000, 2), len(body), msgspec.json.decode(body))


def _same_extremes(chart: ChartAnswer, naive: ChartAnswer) -> bool:
    return all(_extremes(chart.document["metrics"][metric]) == _extremes(naive.document["metrics"][metric]) for metric in _ASKED)


def _extremes(points: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    values = [point["value"] for point in points]
    return min(values), max(values)


def _points(answers: Sequence[ChartAnswer]) -> int:
    return max(len(points) for answer in answers for points in answer.document["metrics"].values())


def _percentile(answers: Sequence[ChartAnswer], part: float) -> float:
    ordered = sorted(answer.ms for answer in answers)
    return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)]


async def fill_past(series: str, names: Sequence[str], end_ns: int) -> None:
    """A value a minute of each metric, day by day, as a city sends them; rolled up as the cloud does."""
    chance = random.Random(7)  # noqa: S311 - the same every time
    store = make_store(series)
    await store.open()
    step, seq = 60 * SECOND_NS, 1
    for day in range(_DAYS):
        since_ns = end_ns - (_DAYS - day) * 86_400 * SECOND_NS
        rows: list[tuple[int, int, int, int, list[Value]]] = [
            (place, place % len(names), since_ns + place // len(names) * step, since_ns, [chance.gauss(20, 5) for _ in _ASKED])
            for place in range(1440 * len(names))
        ]
        group = ReadingGroup(*_PROFILE, _ASKED, tuple(names), rows, [])
        await store.write([ReadingsBatch(gateway=_GATEWAY, epoch="past", first_seq=seq, count=len(rows), groups=[group])])
        seq += len(rows)
    while (await store.roll(time.time_ns())).more:
        pass
    await store.close()


async def known(session: aiohttp.ClientSession, names: Sequence[str]) -> None:
    """Returns when the cloud has heard of the devices."""
    async with asyncio.timeout(60):
        for name in names:
            while True:
                async with session.get(f"/api/devices/{name}") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.1)


class Road:
    """What a gateway that is being measured may be asked, and told to say."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    @property
    def acked(self) -> int:
        """Readings that the cloud has acknowledged."""
        return self.outbox.accounts[Lane.READINGS].acked


@contextlib.asynccontextmanager
async def writing_road(
    folder: Path, broker: str, names: Sequence[str], rate: int, places: Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> AsyncIterator[Road]:
    """A gateway that sends `rate` values a second and speaks for `names`, and for the devices of `places` at these positions."""
    clock = SystemClock()
    outbox = await Outbox.open(folder, _GATEWAY, OutboxLimits(max_bytes=_OUTBOX_BYTES), clock)
    declared = [
        DeviceDeclaration(device=name, profile=_PROFILE[0], profile_version=_PROFILE[1], kind="lamp_loop")
        for name in (*names, *DEVICES)
    ]
    declared += [
        DeviceDeclaration(device=name, profile="cover_nbiot", profile_version=1, kind="manhole_cover", position=place)
        for name, place in places.items()
    ]
    uplink = Uplink(
        UplinkSettings(gateway=_GATEWAY, broker=broker, boot_id="bench", agent_version="bench"),
        outbox,
        clock,
        devices=lambda: declared,
        status=lambda online: GatewayStatus(gateway=_GATEWAY, online=online, at_ns=clock.wall_ns()),
        on_command=lambda _: None,
        refuse=_complain,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            jobs = [tasks.create_task(uplink.run()), tasks.create_task(_feed(outbox, rate))]
            yield Road(outbox)
            for job in jobs:
                job.cancel()
    finally:
        await outbox.close()


async def _feed(outbox: Outbox, rate: int) -> None:
    each = round(rate * _EVERY_S / len(METRICS))
    due, tick = time.perf_counter(), 0
    while True:
        now_ns = time.time_ns()
        await outbox.commit([_reading(tick + n, now_ns + n) for n in range(each)])
        tick += each
        due += _EVERY_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


def _reading(tick: int, time_ns: int) -> Reading:
    return Reading(
        device=DEVICES[tick % len(DEVICES)],
        profile=_PROFILE[0],
        profile_version=_PROFILE[1],
        time_ns=time_ns,
        received_ns=time_ns,
        values=_NUMBERS[tick % len(_NUMBERS)],
    )


def _complain(source: str, reason: Reason, detail: str, _raw: bytes) -> None:
    raise RuntimeError(f"{source}: {reason}: {detail}")
