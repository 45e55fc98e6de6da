"""The mirror: what a real VictoriaMetrics holds afterwards, and that a mirror that is gone costs nothing but the mirror."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from cloud_bench import Bench
from cloud_records import T0, S, batch, reading

from cloud.config import ApiConfig, CloudConfig
from cloud.run import Cloud
from cloud.series.mirror import Mirror, MirrorState, parse_mirror
from cloud.series.mirror_lines import number_lines
from cloud.series.store import RowRefused
from telemetry.clock import ManualClock
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

BAD = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)
DOUBT = Flaw(Quality.UNCERTAIN, Reason.FUTURE_TIME)


class Server:
    """Answers `/write` as it is told."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.asked: list[float] = []
        self.lines: list[str] = []
        self.url = ""
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, request: web.Request) -> web.Response:
        self.asked.append(asyncio.get_running_loop().time())
        await self.open.wait()
        status, headers = self.answers.pop(0) if self.answers else (204, {})
        if status < 300:
            self.lines += (await request.text()).splitlines()
        return web.Response(status=status, headers=headers, text="because" if status != 204 else None)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_post("/write", made.write)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    yield made
    made.open.set()
    await runner.cleanup()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - watches from outside
            await asyncio.sleep(0.005)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0)


@pytest.fixture
async def run() -> AsyncIterator[Callable[[Mirror], None]]:
    async with asyncio.TaskGroup() as tasks:
        started: list[asyncio.Task[None]] = []
        yield lambda mirror: started.append(tasks.create_task(mirror.run()))
        for task in started:
            task.cancel()


def minutes(count: int, first: int = 0) -> Any:
    return batch(
        *(reading(at_ns=T0 + (first + i) * S, values={"m": float(first + i)}) for i in range(count)), first_seq=first + 1
    )


@pytest.mark.integration
async def test_what_was_stored_can_be_read_at_a_real_victoriametrics(
    victoria_url: str, clock: ManualClock, run: Callable[[Mirror], None]
) -> None:
    mirror = Mirror(parse_mirror(victoria_url), clock)
    run(mirror)
    values = {"level_cm": 12.5, "count_n": 7, "open": True, "plate": "京A12345", "tilt_deg": 999.0, "temp": 3.5, "gone": None}
    flaws = {"tilt_deg": BAD, "temp": DOUBT}
    mirror.offer([batch(reading("mirror-1", values=values, flaws=flaws))])
    mirror.offer([batch(reading("mirror-1", at_ns=T0 + S, values={"level_cm": 13.5, "open": False}), first_seq=2)])
    await until(lambda: mirror.report().sent == 2)
    found = await exported(victoria_url, "mirror-1", 11)
    t = T0 // 1_000_000
    assert found == {
        "reading_level_cm": [(t, 12.5), (t + 1000, 13.5)],
        "reading_count_n": [(t, 7)],
        "reading_open": [(t, 1), (t + 1000, 0)],
        "reading_tilt_deg_bad": [(t, 999.0)],
        "reading_tilt_deg_quality": [(t, 2)],
        "reading_temp": [(t, 3.5)],
        "reading_temp_quality": [(t, 1)],
        "reading_gone_quality": [(t, 2)],
    }
    report = mirror.report()
    assert (report.state, report.waiting, report.texts, report.dropped) == (MirrorState.OK, 0, 1, 0)


async def exported(url: str, device: str, points: int) -> dict[str, list[tuple[int, float]]]:
    """name -> (milliseconds, value), once so many are there: the server shows them a second after it took them."""
    found: dict[str, list[tuple[int, float]]] = {}
    async with aiohttp.ClientSession(url) as session, asyncio.timeout(20):
        while sum(map(len, found.values())) < points - 1:
            await asyncio.sleep(0.05)
            async with session.get("/internal/force_flush"):  # else it shows new series only seconds later
                pass
            async with session.get("/api/v1/export", params={"match[]": f'{{device="{device}"}}'}) as answer:
                series = [msgspec.json.decode(line) for line in (await answer.read()).splitlines()]
            found = {one["metric"]["__name__"]: sorted(zip(one["timestamps"], one["values"], strict=True)) for one in series}
    return found


async def test_a_mirror_that_comes_back_gets_what_waited(
    server: Server, clock: ManualClock, run: Callable[[Mirror], None], caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [(503, {}), (500, {})]
    mirror = Mirror(parse_mirror(server.url), clock, rest_s=0.01)
    run(mirror)
    mirror.offer([minutes(3)])
    await until(lambda: mirror.report().sent == 3)
    assert len(server.lines) == 3
    assert mirror.report().fault == ""
    assert "mirror: is back; 0 readings were left out" in caplog.text


async def test_it_waits_as_long_as_the_server_asks(server: Server, clock: ManualClock, run: Callable[[Mirror], None]) -> None:
    server.answers = [(429, {"Retry-After": "1"})]
    mirror = Mirror(parse_mirror(server.url), clock, rest_s=0.01)
    run(mirror)
    mirror.offer([minutes(1)])
    await until(lambda: mirror.report().sent == 1)
    first, second = server.asked
    assert second - first >= 0.99


async def test_a_full_queue_drops_the_oldest_counts_them_and_says_so_when_it_is_back(
    server: Server, clock: ManualClock, run: Callable[[Mirror], None], caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [(503, {})] * 3
    mirror = Mirror(parse_mirror(server.url), clock, most=10, rest_s=0.05)
    run(mirror)
    mirror.offer([minutes(1)])
    await until(lambda: mirror.report().state is MirrorState.DOWN)
    for first in range(1, 30):
        mirror.offer([minutes(1, first)])
    clock.advance(7)
    report = mirror.report()
    assert (report.waiting, report.dropped, report.lag_s) == (10, 20, 7.0)
    with caplog.at_level(logging.WARNING, "cloud"):
        await until(lambda: mirror.report().sent == 10)
    assert [line.split()[1] for line in server.lines] == [f"m={float(i)}" for i in range(20, 30)]
    assert "mirror: is back; 20 readings were left out" in caplog.text


async def test_what_waited_for_an_hour_is_left_out(server: Server, clock: ManualClock) -> None:
    mirror = Mirror(parse_mirror(server.url), clock)
    mirror.offer([minutes(5)])
    clock.advance(3601)
    mirror.offer([minutes(2, 5)])
    assert (mirror.report().waiting, mirror.report().dropped) == (2, 5)


async def test_what_is_dropped_while_it_is_being_sent_counts_once(
    server: Server, clock: ManualClock, run: Callable[[Mirror], None]
) -> None:
    server.open.clear()
    mirror = Mirror(parse_mirror(server.url), clock, most=4)
    run(mirror)
    mirror.offer([minutes(3)])
    await until(lambda: len(server.asked) == 1)
    mirror.offer([minutes(3, 3)])
    server.open.set()
    await until(lambda: mirror.report().waiting == 0)
    report = mirror.report()
    assert (report.sent, report.dropped, len(server.lines)) == (6, 0, 6)


async def test_what_a_server_will_never_take_is_counted_and_the_next_goes_on(
    server: Server, clock: ManualClock, run: Callable[[Mirror], None]
) -> None:
    server.answers = [(400, {})]
    mirror = Mirror(parse_mirror(server.url), clock)
    run(mirror)
    mirror.offer([minutes(2)])
    await until(lambda: mirror.report().refused == 2)
    mirror.offer([minutes(3, 2)])
    await until(lambda: mirror.report().sent == 3)
    assert mirror.report().state is MirrorState.OK


async def test_what_the_store_refused_is_not_mirrored(server: Server, clock: ManualClock, run: Callable[[Mirror], None]) -> None:
    mirror = Mirror(parse_mirror(server.url), clock)
    run(mirror)
    mirror.offer([minutes(3)], [RowRefused("gw-1", 2, Reason.WRONG_TYPE, "no")])
    await until(lambda: mirror.report().sent == 2)
    assert [line.split()[1] for line in server.lines] == ["m=0.0", "m=2.0"]


async def test_ingest_mirrors_what_it_acknowledged_and_the_store_has(bench: Bench, clock: ManualClock) -> None:
    mirror = Mirror(parse_mirror("http://127.0.0.1:9"), clock)
    bench.ingest._mirror = mirror.offer
    bench.say(batch(reading(), reading(at_ns=T0 + S), reading("stranger", at_ns=T0)))
    await bench.acked(3)
    await until(lambda: mirror.report().waiting > 0)
    assert mirror.report().waiting == 2


@pytest.mark.integration
async def test_a_cloud_with_a_mirror_runs_it_and_says_how_it_does(tmp_path: Path, mosquitto_port: int, server: Server) -> None:
    broker = f"mqtt://127.0.0.1:{mosquitto_port}"
    cloud = Cloud(CloudConfig(data_dir=tmp_path / "data", broker=broker, mirror=server.url, api=ApiConfig(port=0)))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(cloud.run())
        async with asyncio.timeout(30):
            await cloud.ready.wait()
        async with aiohttp.ClientSession("http://{}:{}".format(*cloud.http)) as session, session.get("/api/health") as answer:
            assert (await answer.json())["mirror"]["state"] == "ok"
        running.cancel()


def test_the_quick_and_the_slow_way_write_the_same_lines() -> None:
    even = [reading(at_ns=T0 + i, values={"f%": i / 3, "i": 2**60 + i, "b": bool(i % 2)}) for i in range(4)]
    odd = reading(at_ns=T0 + 9, values={"f%": None, "i": 1, "b": True})
    quick, slow = number_lines(batch(*even))[0], number_lines(batch(*even, odd))[0]
    assert quick == slow[:4]
    assert slow[4] == f"reading,device=cover-1 f%_quality=2,i=1,b=1 {T0 + 9}"


@pytest.mark.parametrize("text", ["ftp://host", "http://", "http://me:secret@host:1/", "http://host/?pass=secret", "http://[::"])
def test_an_address_that_is_none_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(ValueError, match="want") as told:
        parse_mirror(text)
    assert "secret" not in str(told.value)
    assert str(told.value).startswith("mirror")
