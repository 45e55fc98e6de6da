"""InfluxDB 2.x and 3.x by the same store: what it finds out at the start, sets up, and says where something is missing."""

import itertools
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from cloud_influx_servers import ORG, TOKEN, Three, Two, serving
from cloud_records import T0, S, batch, reading

from cloud.series.dead_letters import DeadLetters
from cloud.series.influx_address import parse_address
from cloud.series.influx_probe import Deletes, WritePath
from cloud.series.influx_store import InfluxStore
from cloud.series.store import Point, StoreUnavailable, Tier
from telemetry.clock import ManualClock
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

pytestmark = pytest.mark.integration
_doors = itertools.count(1)
HOUR = 3600 * S
OUT_OF_RANGE = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)


@pytest.fixture
async def two(influx_url: str) -> AsyncIterator[Two]:
    async with aiohttp.ClientSession() as session:
        made = Two(influx_url, session, f"two{next(_doors)}_")
        async with serving(made):
            yield made


@pytest.fixture
async def three(influx_url: str) -> AsyncIterator[Three]:
    async with aiohttp.ClientSession() as session:
        made = Three(influx_url, session, f"three{next(_doors)}_")
        async with serving(made):
            yield made


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


async def does_all_that_a_store_does(store: InfluxStore) -> None:
    values = {"f": 20.0, "i": 2**53 + 1, "b": True, "s": 'a "b"\\ c', "n": None, "bad": 9.5}
    assert await store.write([batch(reading(values=values, flaws={"bad": OUT_OF_RANGE}))]) == []
    found = {metric: points[0] for metric, points in (await store.range("cover-1", list(values), 0, 2**62, 9)).items()}
    assert {metric: point.value for metric, point in found.items()} == values
    assert found["bad"] == Point(T0, 9.5, Quality.BAD, Reason.OUT_OF_RANGE)
    assert [bucket.mean for bucket in (await store.buckets("cover-1", ["f"], T0, T0 + S, 60, "UTC"))["f"]] == [20.0]


async def test_2_gets_its_bucket_and_mapping_and_writes_by_its_own_path(
    two: Two, token: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = InfluxStore(parse_address(f"{two.url}/telemetry?token_file={token}&org=city&bucket=raw"))
    with caplog.at_level(logging.INFO, "cloud"):
        await store.open()
    assert (store._client.has.write, store._client.has.deletes) == (WritePath.V2, Deletes.API)
    [mapping] = two.mappings
    wanted = {"database": "telemetry", "bucketID": two.buckets["raw"], "default": True, "retention_policy": "autogen"}
    assert wanted.items() <= mapping.items()
    assert "influxdb v2.7.6: writes by /api/v2/write, reads by /query, deletes by /api/v2/delete" in caplog.text
    assert TOKEN not in caplog.text
    await does_all_that_a_store_does(store)
    assert "POST /write" not in two.asked
    await store.close()
    # A second start makes nothing.
    before = len(two.asked)
    await store.open()
    assert not {"POST buckets", "POST dbrps"} & set(two.asked[before:])
    assert (await store.latest(["cover-1"]))["cover-1"]["i"] == Point(T0, 2**53 + 1)
    await store.close()


async def test_2_needs_no_mapping_of_our_own_where_the_bucket_has_the_name(two: Two, token: Path) -> None:
    store = InfluxStore(parse_address(f"{two.url}/city?token_file={token}&org=city"))
    await store.open()
    assert (list(two.buckets), two.mappings) == (["city"], [])
    await store.close()


async def test_2_deletes_by_its_own_api_up_to_the_nanosecond(two: Two, token: Path) -> None:
    store = InfluxStore(parse_address(f"{two.url}/city?token_file={token}&org=city"))
    await store.open()
    await store.write([batch(*(reading(at_ns=T0 + n, values={"m": n}) for n in range(3)))])
    await store.delete_before(T0 + 2)
    assert [point.value for point in (await store.range("cover-1", ["m"], 0, 2**62, 9))["m"]] == [2]
    await store.close()


async def test_2_with_a_name_and_password_writes_by_the_old_path_into_what_is_there(
    two: Two, tmp_path: Path, token: Path
) -> None:
    two.buckets["city"] = "00000000000000aa"
    await two.make("city")
    store = InfluxStore(parse_address(f"{two.url}/city?username=writer&password_file={token}"))
    await store.open()
    assert (store._client.has.write, store._client.has.deletes, two.schemes) == (WritePath.V1, Deletes.NONE, {"Basic"})
    await does_all_that_a_store_does(store)
    await store.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        pytest.param("/city?token_file={token}", "want &org=NAME", id="no organisation"),
        pytest.param("/city?token_file={token}&org=elsewhere", "bucket city", id="an organisation that is not there"),
        pytest.param("/city?token_file={wrong}&org=city", "401", id="a token that it does not know"),
        pytest.param("/city?username=x&password_file={token}", "want a DBRP mapping", id="nothing is mapped"),
        pytest.param("/taken?token_file={token}&org=city&bucket=raw", "mapped to another bucket", id="mapped elsewhere"),
        pytest.param("/city?token_file=/nowhere/token&org=city", "cannot read /nowhere/token", id="no token file"),
    ],
)
async def test_2_says_what_is_missing_and_never_a_secret(
    two: Two, token: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, address: str, said: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-secret")
    elsewhere = {"id": "9", "database": "taken", "bucketID": "ff", "retention_policy": "autogen", "default": True}
    two.mappings.append({**elsewhere, "virtual": False, "orgID": ORG})
    store = InfluxStore(parse_address(two.url + address.format(token=token, wrong=wrong)))
    with pytest.raises(StoreUnavailable) as failed:
        await store.open()
    assert said in str(failed.value)
    told = str(failed.value) + caplog.text
    assert TOKEN not in told
    assert "not-the-secret" not in told


async def test_where_2_forbids_deletion_nothing_fails_and_it_is_counted(
    two: Two, token: Path, caplog: pytest.LogCaptureFixture
) -> None:
    two.may_delete = False
    store = InfluxStore(parse_address(f"{two.url}/city?token_file={token}&org=city"))
    await store.open()
    for _ in range(2):
        await store.delete_before(T0)
    assert store._client.not_deleted == 2
    assert caplog.text.count("set the retention period of city on the server") == 1
    await store.close()


async def test_3_gets_its_database_and_keeps_everything_by_the_same_statements(three: Three, token: Path) -> None:
    store = InfluxStore(parse_address(f"{three.url}/city?token_file={token}"))
    await store.open()
    has = store._client.has
    assert (has.version, has.write, has.deletes, three.databases) == ("3.4.1", WritePath.V2, Deletes.NONE, {"city"})
    await does_all_that_a_store_does(store)
    await store.delete_before(T0 + S)
    assert len((await store.range("cover-1", ["f"], 0, 2**62, 9))["f"]) == 1
    await store.close()
    await store.open()
    assert three.asked.count("POST configure/database") == 1
    await store.close()


@pytest.mark.parametrize("major", [2, 3])
async def test_tiers_are_made_asked_and_pruned_by_the_same_statements(two: Two, three: Three, token: Path, major: int) -> None:
    url, clock = (two.url if major == 2 else three.url), ManualClock(T0)
    store = InfluxStore(parse_address(f"{url}/city?token_file={token}&org=city"), clock)
    await store.open()
    hour = T0 // HOUR * HOUR
    await store.write([batch(*(reading(at_ns=hour + i * 600 * S, values={"m": float(i)}) for i in range(24)))])
    clock.advance(6 * 3600)
    while (await store.roll(clock.wall_ns())).more:
        pass
    for tier, count in ((Tier.HOUR, 4), (Tier.MINUTE, 24)):
        found = (await store.rollup(tier, "cover-1", ["m"], hour, hour + 4 * HOUR))["m"]
        assert (len(found), found[0].min, found[-1].max) == (count, 0.0, 23.0)
    while await store.prune(Tier.RAW, hour + 2 * HOUR):
        pass
    left = (await store.range("cover-1", ["m"], 0, 2**62, 99))["m"]
    assert [point.value for point in left] == [float(i) for i in (range(12, 24) if major == 2 else range(24))]
    assert store._client.not_deleted == (0 if major == 2 else 1)
    await store.close()


@pytest.mark.parametrize("major", [2, 3])
async def test_a_refused_line_is_kept_as_it_was_sent_and_the_others_are_stored(
    two: Two, three: Three, token: Path, tmp_path: Path, major: int
) -> None:
    letters = DeadLetters(tmp_path / "dead-letters")
    url = two.url if major == 2 else three.url
    store = InfluxStore(parse_address(f"{url}/city?token_file={token}&org=city"), letters=letters)
    await store.open()
    await store.write([batch(reading(values={"m": 1}))])
    mixed = [reading(at_ns=T0 + i * S, values={"m": "seven" if i == 7 else i}) for i in range(1, 20)]
    [refused] = await store.write([batch(*mixed, first_seq=101)])
    assert (refused.seq, refused.reason) == (107, Reason.WRONG_TYPE)
    [letter] = letters.page().items
    assert (letter.gateway, letter.seq, letter.reason) == ("gw-1", 107, Reason.WRONG_TYPE)
    assert letter.line == f'reading,device=cover-1 m="seven" {T0 + 7 * S}'
    assert "is type string, already exists as type integer" in letter.detail
    assert len((await store.range("cover-1", ["m"], 0, 2**62, 100))["m"]) == 19
    await store.close()
