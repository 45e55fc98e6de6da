"""Ingest over an InfluxDB server with moods: what passes is waited for, what never will is found line by line."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cloud_bench import Bench, hello
from cloud_records import T0, S, batch, reading
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.tables import lanes, quarantine
from cloud.series import influx_http
from cloud.series.influx_http import parse_address
from cloud.series.influx_store import InfluxStore
from telemetry.reason import Reason

_TIME = re.compile(r" (\d+)$")


class Server:
    """Keeps the lines it takes. `moods` are answers to the next writes; a line with `level_cm=666.0` is never taken.

    Where a line is bad, the rest of a write is kept (`partial`), as 1.x does, or nothing of it, as a parse error does.
    """

    def __init__(self) -> None:
        self.moods: list[tuple[int, dict[str, str]] | str] = []
        self.partial = True
        self.status = 400
        self.kept: set[str] = set()
        self.writes: list[float] = []

    async def write(self, request: web.Request) -> web.Response:
        lines = (await request.text()).splitlines()
        if not lines:
            return web.Response(status=400, text="no points")  # the probe
        self.writes.append(asyncio.get_running_loop().time())
        match self.moods.pop(0) if self.moods else None:
            case "hang up":
                assert request.transport is not None
                request.transport.close()
            case "sleep":
                self.kept.update(lines)  # a server may have done it all the same
                await asyncio.sleep(0.5)
            case (int(status), dict(headers)):
                return web.Response(status=status, text="not now", headers=headers)
        good = [line for line in lines if "666.0" not in line]
        if len(good) < len(lines):
            self.kept.update(good if self.partial else ())
            return web.Response(status=self.status, text='{"error":"partial write: field type conflict: level_cm dropped=1"}')
        self.kept.update(lines)
        return web.Response(status=204)

    def times(self, device: str) -> list[int]:
        found = [_TIME.search(line) for line in self.kept if f"device={device} " in line]
        return sorted(int(match[1]) for match in found if match)


async def query(_: web.Request) -> web.Response:
    return web.json_response({"results": [{"statement_id": 0}]})


async def ping(_: web.Request) -> web.Response:
    return web.Response(status=204, headers={"X-Influxdb-Version": "v3.0.0"})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def road(cloud_engine: AsyncEngine, server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """gw-1 with cover-1 and gw-2 with lamp-1, over that server."""
    monkeypatch.setattr(influx_http, "_TIMEOUT_S", 0.2)
    app = web.Application()
    app.router.add_post("/write", server.write)
    app.router.add_post("/query", query)
    app.router.add_get("/ping", ping)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    series: Any = InfluxStore(parse_address(f"http://{host}:{port}/db"))
    await series.open()
    made = Bench(cloud_engine, series)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(made.ingest.run())
        made.say(hello("cover-1"))
        made.say(msgspec.structs.replace(hello("lamp-1"), gateway="gw-2"), gateway="gw-2")
        await made.until(lambda: len(made.acks) == 4)
        yield made
        work.cancel()
    await series.close()
    await runner.cleanup()


def say_both(road: Bench, bad: frozenset[int] = frozenset()) -> None:
    """Twenty readings of each gateway; those of gw-1 numbered in `bad` hold what the server never takes."""
    values = {seq: {"level_cm": 666.0 if seq in bad else 1.0} for seq in range(1, 21)}
    road.say(batch(*(reading("cover-1", at_ns=T0 + seq * S, values=values[seq]) for seq in values)))
    road.say(batch(*(reading("lamp-1", at_ns=T0 + seq * S) for seq in values), gateway="gw-2"), gateway="gw-2")


async def all_done(road: Bench) -> None:
    def done() -> set[str]:
        return {ack.gateway for ack in road.acks if ack.cumulative == 20}

    await road.until(lambda: done() == {"gw-1", "gw-2"})


async def stored(road: Bench) -> dict[str, tuple[int, int]]:
    return {row["gateway"]: (row["stored"], row["quarantined"]) for row in await road.rows(lanes) if row["lane"] == "readings"}


@pytest.mark.parametrize(
    "moods",
    [
        pytest.param([(429, {})] * 3, id="too many requests"),
        pytest.param([(503, {"Retry-After": "1"})], id="unavailable, come back later"),
        pytest.param([(500, {}), (502, {}), (504, {})], id="gateways and servers with errors"),
        pytest.param([(408, {}), (401, {}), (404, {})], id="a timeout, a password, a database that is not there yet"),
        pytest.param(["sleep"], id="no answer in time"),
        pytest.param(["hang up", "hang up"], id="a connection that breaks"),
    ],
)
async def test_what_passes_is_waited_for_and_nothing_is_lost_or_refused(road: Bench, server: Server, moods: list[Any]) -> None:
    server.moods = list(moods)
    say_both(road)
    await all_done(road)
    assert await stored(road) == {"gw-1": (20, 0), "gw-2": (20, 0)}
    for device in ("cover-1", "lamp-1"):
        assert server.times(device) == [T0 + seq * S for seq in range(1, 21)]
    assert road.ingest.counts.waited >= 1
    assert [ack for ack in road.acks if ack.refused] == []


async def test_a_server_that_asks_for_a_rest_gets_it(road: Bench, server: Server) -> None:
    server.moods = [(503, {"Retry-After": "1"})]
    road.say(batch(reading("cover-1")))
    await road.acked(1)
    first, second = server.writes
    assert second - first >= 0.99


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("partial", [True, False], ids=["the rest is kept", "nothing is kept"])
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(frozenset({1}), id="the first"),
        pytest.param(frozenset({7, 8, 20}), id="some"),
        pytest.param(frozenset(range(1, 21)), id="all of one gateway"),
    ],
)
async def test_exactly_the_bad_rows_are_quarantined_and_all_others_stored(
    road: Bench, server: Server, bad: frozenset[int], *, partial: bool, status: int
) -> None:
    server.partial, server.status = partial, status
    say_both(road, bad)
    await all_done(road)
    assert await stored(road) == {"gw-1": (20 - len(bad), len(bad)), "gw-2": (20, 0)}
    assert server.times("cover-1") == [T0 + seq * S for seq in range(1, 21) if seq not in bad]
    assert server.times("lamp-1") == [T0 + seq * S for seq in range(1, 21)]
    kept = await road.rows(quarantine)
    assert {(row["gateway"], row["seq"], row["reason"]) for row in kept} == {
        ("gw-1", seq, Reason.WRONG_TYPE.value) for seq in bad
    }
    assert {msgspec.msgpack.decode(row["payload"])["values"]["level_cm"] for row in kept} == {666.0}


async def test_a_server_that_goes_away_while_a_bad_row_is_looked_for_loses_nothing(road: Bench, server: Server) -> None:
    server.moods = [(400, {}), (400, {}), (503, {}), (400, {}), (503, {})]
    say_both(road, frozenset({5}))
    await all_done(road)
    assert await stored(road) == {"gw-1": (19, 1), "gw-2": (20, 0)}
    assert server.times("lamp-1") == [T0 + seq * S for seq in range(1, 21)]
