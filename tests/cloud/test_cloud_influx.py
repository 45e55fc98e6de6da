"""What only the InfluxDB store has: permanent and passing errors told apart, one bad line among good ones, passwords."""

import itertools
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from cloud_records import T0, S, batch, reading

from cloud.series.influx_http import parse_address
from cloud.series.influx_lines import lines
from cloud.series.influx_store import InfluxStore
from cloud.series.store import Point, RowRefused, StoreUnavailable
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

_databases = itertools.count(1)


@pytest.fixture
async def influx(influx_url: str) -> AsyncIterator[InfluxStore]:
    store = InfluxStore(parse_address(f"{influx_url}/influx{next(_databases)}"))
    await store.open()
    yield store
    await store.close()


class Stub:
    """A server that answers `/write` as it is told, and every question with nothing."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        self.written: list[str] = []
        self.authorizations: set[str] = set()
        self.url = ""

    async def write(self, request: web.Request) -> web.Response:
        self.authorizations.add(request.headers.get("Authorization", ""))
        if not await request.text():
            return web.Response(status=400, text="no points")  # the probe
        status, text = self.answers.pop(0) if self.answers else (204, "")
        if status < 300:
            self.written.append(await request.text())
        return web.Response(status=status, text=text)

    async def query(self, _: web.Request) -> web.Response:
        return web.json_response({"results": [{"statement_id": 0}]})

    async def ping(self, _: web.Request) -> web.Response:
        return web.Response(status=204, headers={"X-Influxdb-Version": "v3.0.0"})


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    told = Stub()
    app = web.Application()
    routes: list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
        ("POST", "/write", told.write),
        ("POST", "/query", told.query),
        ("GET", "/ping", told.ping),
    ]
    for method, path, handler in routes:
        app.router.add_route(method, path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    told.url = f"http://{host}:{port}"
    yield told
    await runner.cleanup()


@pytest.mark.integration
async def test_a_type_conflict_refuses_its_row_and_keeps_the_others(influx: InfluxStore) -> None:
    assert await influx.write([batch(reading(values={"m": 1}))]) == []
    mixed = [reading(at_ns=T0 + i * S, values={"m": "seven" if i == 7 else i}) for i in range(1, 20)]
    [refused] = await influx.write([batch(*mixed, first_seq=101)])
    assert (refused.gateway, refused.seq, refused.reason) == ("gw-1", 107, Reason.WRONG_TYPE)
    assert "m" in refused.detail
    points = (await influx.range("cover-1", ["m"], 0, 2**62, 100))["m"]
    assert [point.value for point in points] == [1, 1, 2, 3, 4, 5, 6, *range(8, 20)]


@pytest.mark.integration
async def test_a_refused_row_is_not_the_latest(influx: InfluxStore) -> None:
    await influx.write([batch(reading(values={"m": 1}))])
    await influx.write([batch(reading(at_ns=T0 + S, values={"m": "text"}))])
    assert (await influx.latest(["cover-1"]))["cover-1"] == {"m": Point(T0, 1)}


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 503])
async def test_what_may_pass_is_no_refusal(stub: Stub, status: int) -> None:
    store = InfluxStore(parse_address(f"{stub.url}/db"))
    await store.open()
    stub.answers = [(status, "not now")]
    with pytest.raises(StoreUnavailable, match=str(status)):
        await store.write([batch(reading())])
    assert await store.write([batch(reading())]) == []
    assert len(stub.written) == 1
    await store.close()


async def test_a_limit_of_the_server_is_waited_out_not_blamed_on_the_data(stub: Stub) -> None:
    store = InfluxStore(parse_address(f"{stub.url}/db"))
    await store.open()
    stub.answers = [(400, '{"error":"partial write: max-series-per-database limit exceeded: (1000000) dropped=1"}')]
    with pytest.raises(StoreUnavailable, match="max-series"):
        await store.write([batch(reading())])
    await store.close()


async def test_a_line_that_is_never_taken_is_found_by_halving(stub: Stub) -> None:
    store = InfluxStore(parse_address(f"{stub.url}/db"))
    await store.open()
    # Of four lines the third: all, the first two, the last two, the third, the fourth.
    stub.answers = [(400, "no"), (204, ""), (400, "no"), (422, "partial write: beyond retention"), (204, "")]
    refused = await store.write([batch(*(reading(at_ns=T0 + i * S) for i in range(4)))])
    assert refused == [RowRefused("gw-1", 3, Reason.STORE_REFUSED, "partial write: beyond retention")]
    await store.close()


async def test_no_server_at_all_is_unavailable(unused_tcp_port: int) -> None:
    store = InfluxStore(parse_address(f"http://127.0.0.1:{unused_tcp_port}/db"))
    with pytest.raises(StoreUnavailable):
        await store.open()


async def test_passwords_and_tokens_come_from_files(stub: Stub, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    for options in (f"username=city&password_file={secret}", f"token_file={secret}"):
        store = InfluxStore(parse_address(f"{stub.url}/db?{options}"))
        await store.open()
        await store.write([batch(reading())])
        await store.close()
    assert stub.authorizations == {"Token s3cret", f"Basic {b64encode(b'city:s3cret').decode()}"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ftp://host/db", id="no http"),
        pytest.param("http://host:8086", id="no database"),
        pytest.param("http://host/db?pasword_file=x", id="an unknown option"),
    ],
)
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="want"):
        parse_address(text)


def test_a_line_is_what_the_protocol_says() -> None:
    told = reading(
        values={"f": 1.0, "i": 2, "b": True, "s": 'q"\\', "bad": 9.5, "doubt": 3.5, "a c": None},
        flaws={"bad": Flaw(Quality.BAD, Reason.OUT_OF_RANGE), "doubt": Flaw(Quality.UNCERTAIN, Reason.FUTURE_TIME)},
    )
    fields = [
        r"f=1.0,i=2i,b=True",
        r's="q\"\\"',
        r'bad.bad=9.5,bad.flaw="bad:out_of_range"',
        r'doubt=3.5,doubt.flaw="uncertain:future_time"',
        r'a\ c.none="bad:no_value"',
    ]
    assert lines(batch(told, first_seq=5)) == [(5, f"reading,device=cover-1 {','.join(fields)} {T0}")]


def test_the_fast_and_the_slow_way_write_the_same_lines() -> None:
    even = [reading(at_ns=T0 + i, values={"f": i / 3, "i": i, "b": bool(i), "s": f"x{i}"}) for i in range(4)]
    odd = reading(at_ns=T0 + 9, values={"f": None, "i": 1, "b": True, "s": ""})
    fast, slow = lines(batch(*even)), lines(batch(*even, odd))
    assert fast == slow[:4]
