"""Observations that are made by POST and by MQTT: by the rules that gateways' values go by (18-088, 10.2, 12.2 and 14.1)."""

import asyncio
import json
from typing import Any

import aiomqtt
import pytest
from sqlalchemy import select
from sta_world import NOW_NS, World, reading

from cloud.accounts.accounts import Accounts, Caller
from cloud.accounts.roles import AccountRole, Grant
from cloud.ingest.link import BrokerLink
from cloud.relational.engine import reading as reading_of
from cloud.relational.tables import audit
from cloud.sensorthings.mqtt import TOPICS, MqttDoor
from telemetry.reason import Reason

HERE = "/Datastreams(1)/Observations"
AT = "2025-11-20T13:30:00.000Z"


async def test_what_is_posted_is_there_at_once_and_its_address_is_told(street: World) -> None:
    made = await street.ask(HERE, 201, "POST", {"phenomenonTime": AT, "result": 12.5})
    assert (made["phenomenonTime"], made["resultTime"], made["result"]) == (AT, AT, 12.5)
    assert made["resultQuality"] == {"quality": "good", "reason": None}
    assert street.last.headers["Location"] == made["@iot.selfLink"]
    assert await street.follow(made["@iot.selfLink"]) == made
    points = await street.services.series.range("cover-1", ["tilt_deg"], 0, 2**62, 100)
    assert 12.5 in [point.value for point in points["tilt_deg"]]
    [batch] = street.heard
    assert batch.groups[0].devices == ("cover-1",)


async def test_what_is_posted_again_is_the_same_and_another_result_at_its_time_is_a_conflict(street: World) -> None:
    body = {"phenomenonTime": AT, "result": 12.5}
    made = await street.ask(HERE, 201, "POST", body)
    assert await street.ask(HERE, 201, "POST", body) == made
    told = await street.ask(HERE, 409, "POST", body | {"result": 13})
    assert told["reason"] == "conflict"
    assert (await street.ask(f"{HERE}?$count=true&$top=0"))["@iot.count"] == 11


async def test_without_a_time_it_is_now(street: World) -> None:
    other = await street.stream("toilet-1", "nh3_ppm")
    made = await street.ask("/Observations", 201, "POST", {"result": 1, "Datastream": {"@iot.id": other}})
    assert (made["phenomenonTime"], made["result"]) == ("2025-11-20T14:00:00.000Z", 1.0)


QUALITIES = [
    pytest.param("toilet-1", "nh3_ppm", 100000, AT, "bad", "out_of_range", id="beyond its range it is kept and marked"),
    pytest.param("cover-1", "tilt_deg", None, AT, "bad", "no_value", id="none is kept as none"),
    pytest.param("cover-1", "tilt_deg", 1, "2025-11-20T15:00:00Z", "uncertain", "future_time", id="a time ahead: uncertain"),
    pytest.param("cover-1", "cover_open", True, AT, "good", None, id="a truth"),
    pytest.param("cover-1", "frame_counter", 7, AT, "good", None, id="a whole number"),
    pytest.param("cover-1", "frame_counter", 7.0, AT, "good", None, id="a whole number, written with a point"),
]


@pytest.mark.parametrize(("device", "metric", "result", "at", "quality", "reason"), QUALITIES)
async def test_a_value_is_judged_as_those_of_gateways_are(
    street: World, device: str, metric: str, result: Any, at: str, quality: str, reason: str | None
) -> None:
    stream = await street.stream(device, metric)
    made = await street.ask(f"/Datastreams({stream})/Observations", 201, "POST", {"phenomenonTime": at, "result": result})
    assert made["resultQuality"] == {"quality": quality, "reason": reason}
    assert made["result"] == result
    wanted = {"cover_open": bool, "frame_counter": int}.get(metric, float)
    assert result is None or type(made["result"]) is wanted


GIVEN = {"phenomenonTime": AT, "result": 1}
REFUSED = [
    pytest.param(HERE, {"phenomenonTime": AT}, 400, "invalid", "result", id="no result"),
    pytest.param(HERE, [GIVEN], 400, "invalid", "object", id="a list"),
    pytest.param(HERE, b"{", 400, "invalid", "JSON", id="no JSON"),
    pytest.param(HERE, b"\xff", 400, "invalid", "JSON", id="no UTF-8"),
    pytest.param(HERE, b"[" * 60_000, 400, "invalid", "JSON", id="brackets without end"),
    pytest.param(HERE, b"x" * 70_000, 413, "oversized", "65536", id="too long"),
    pytest.param(HERE, GIVEN | {"result": "warm"}, 400, "wrong_type", "tilt_deg wants float", id="a text for a number"),
    pytest.param(HERE, GIVEN | {"result": True}, 400, "wrong_type", "bool", id="a truth for a number"),
    pytest.param(HERE, GIVEN | {"result": {"a": 1}}, 400, "wrong_type", "dict", id="an object for a number"),
    pytest.param(HERE, b'{"result": 1e999}', 400, "invalid", "JSON", id="a number beyond all"),
    pytest.param(HERE, b'{"result": ' + b"9" * 400 + b"}", 400, "wrong_type", "number", id="an integer beyond all"),
    pytest.param(HERE, GIVEN | {"phenomenonTime": "yesterday"}, 400, "invalid", "ISO 8601", id="a time in words"),
    pytest.param(HERE, GIVEN | {"phenomenonTime": 5}, 400, "invalid", "ISO 8601", id="a time as a number"),
    pytest.param(HERE, GIVEN | {"phenomenonTime": "2025-11-20T13:30:00"}, 400, "invalid", "zone", id="a time without a zone"),
    pytest.param(HERE, GIVEN | {"phenomenonTime": "1999-11-20T13:30:00Z"}, 400, "implausible_time", "2000", id="last century"),
    pytest.param(HERE, GIVEN | {"phenomenonTime": "2099-11-20T13:30:00Z"}, 400, "implausible_time", "2069", id="the far future"),
    pytest.param(HERE, GIVEN | {"phenomenonTime": f"{AT}/2025-11-20T13:31:00Z"}, 501, "not_supported", "instant", id="interval"),
    pytest.param(HERE, GIVEN | {"resultTime": "2025-11-20T13:31:00Z"}, 501, "not_supported", "leave", id="a resultTime"),
    pytest.param(HERE, GIVEN | {"validTime": f"{AT}/{AT}"}, 501, "not_supported", "validTime", id="a validTime"),
    pytest.param(HERE, GIVEN | {"parameters": {"a": 1}}, 501, "not_supported", "parameters", id="parameters"),
    pytest.param(HERE, GIVEN | {"colour": 1}, 400, "invalid", "colour", id="what no Observation has"),
    pytest.param(HERE, GIVEN | {"Datastream": {"@iot.id": 2}}, 400, "invalid", "address", id="another Datastream"),
    pytest.param(HERE, GIVEN | {"Datastream": {"name": "new"}}, 501, "not_supported", "by its @iot.id", id="a new Datastream"),
    pytest.param(HERE, GIVEN | {"FeatureOfInterest": {"@iot.id": 2}}, 400, "invalid", "(1)", id="about another place"),
    pytest.param("/Observations", GIVEN, 400, "invalid", "Datastream", id="of no Datastream"),
    pytest.param("/Observations", GIVEN | {"Datastream": {"@iot.id": "1"}}, 400, "invalid", "number", id="a number in words"),
    pytest.param("/Observations", GIVEN | {"Datastream": {"@iot.id": 9999}}, 404, "not_found", "9999", id="of what there is not"),
    pytest.param("/Datastreams(9999)/Observations", GIVEN, 404, "not_found", "9999", id="at what there is not"),
    pytest.param("/Things(1)/Datastreams(1)/Observations", GIVEN, 404, "not_found", "made at", id="at a longer address"),
    pytest.param("/Observations(5)", GIVEN, 501, "not_supported", "only Observations", id="over one that there is"),
    pytest.param(f"{HERE}?$top=1", GIVEN, 400, "invalid", "options", id="with options"),
    pytest.param("/CreateObservations", GIVEN, 400, "invalid", "list", id="an object where a list is wanted"),
    pytest.param("/CreateObservations", [GIVEN], 400, "invalid", "dataArray", id="a list of Observations"),
]


@pytest.mark.parametrize(("path", "body", "status", "reason", "said"), REFUSED)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_an_observation_is_refused_and_nothing_is_kept(
    quiet_street: World, path: str, body: Any, status: int, reason: str, said: str
) -> None:
    told = await quiet_street.ask(path, status, "POST", body)
    assert told["reason"] == reason
    assert said in told.get("message", told.get("detail"))
    assert (await quiet_street.ask(f"{HERE}?$count=true&$top=0"))["@iot.count"] == 10


async def test_rows_are_made_one_by_one_and_what_is_wrong_with_one_touches_no_other(street: World) -> None:
    """The shape of 18-088's example of CreateObservations (12.2)."""
    rows = [
        {
            "Datastream": {"@iot.id": 1},
            "components": ["phenomenonTime", "result", "FeatureOfInterest/id"],
            "dataArray@iot.count": 4,
            "dataArray": [
                ["2025-11-20T13:10:00Z", 20, 1],
                ["2025-11-20T13:11:00Z", "warm", 1],
                ["2025-11-20T13:12:00Z", 21, 2],
                ["2025-11-20T13:13:00Z", 22],
            ],
        },
        {"Datastream": {"@iot.id": 9999}, "components": ["result"], "dataArray": [[1]]},
        {
            "Datastream": {"@iot.id": 2},
            "components": ["phenomenonTime", "result"],
            "dataArray": [[AT, True], [AT, True], [AT, False]],
        },
    ]
    told = await street.ask("/CreateObservations", 201, "POST", rows)
    assert [each == "error" for each in told] == [False, True, True, True, True, False, False, True]
    assert told[5] == told[6]
    assert (await street.follow(told[0]))["result"] == 20.0
    assert (await street.follow(told[5]))["result"] is True


async def test_values_of_one_moment_have_numbers_of_their_own(street: World) -> None:
    for step in range(70):
        await street.write(reading("cover-1", "cover_nbiot", NOW_NS - 10**12 + step, tilt_deg=50.0 + step))
    found = (await street.ask(f"{HERE}?$filter=result ge 50&$top=1000&$select=id,result,phenomenonTime"))["value"]
    # A quarter of a second has 64 numbers.
    assert [each["result"] for each in found] == [50.0 + step for step in range(64)]
    assert len({each["@iot.id"] for each in found}) == 64
    assert found[1]["phenomenonTime"] == "2025-11-20T13:43:20.000000001Z"
    for each in found[::21]:
        assert (await street.ask(f"/Observations({each['@iot.id']})"))["result"] == each["result"]
    at = f"$filter=phenomenonTime eq {found[7]['phenomenonTime']}&$select=result"
    assert (await street.ask(f"{HERE}?{at}"))["value"] == [{"result": 57.0}]


RIGHTS = [
    pytest.param(None, 401, 401, id="nobody reads or writes"),
    pytest.param(AccountRole.OPERATOR, 200, 403, id="an operator reads"),
    pytest.param(AccountRole.SHIFT_LEAD, 200, 201, id="a shift lead reads and writes"),
]


@pytest.mark.parametrize(("role", "reads", "writes"), RIGHTS)
async def test_as_soon_as_there_are_accounts(street: World, role: AccountRole | None, reads: int, writes: int) -> None:
    accounts: Accounts = street.door.app.state.accounts
    await accounts.add("li.wei", "some words of one's own", (Grant(role=role or AccountRole.ADMIN),))
    headers = {}
    if role is not None:
        token, _ = await accounts.log_in("li.wei", "some words of one's own", Caller("127.0.0.1", ""))
        headers = {"Authorization": f"Bearer {token}"}
    await street.ask("/Things", reads, **headers)
    told = await street.ask(HERE, writes, "POST", {"phenomenonTime": AT, "result": 12.5}, **headers)
    assert writes == 201 or told["reason"] == {401: "not_authenticated", 403: "not_allowed"}[writes]
    async with reading_of(street.services.engine) as conn:
        rows = (await conn.execute(select(audit).where(audit.c.action == "create_observations"))).mappings().all()
    outcome = {201: ["201"], 403: ["403 not_allowed"], 401: []}[writes]
    assert [row["outcome"] for row in rows] == outcome
    assert all(row["actor"] == "li.wei" and row["target"] == "Datastreams(1)/Observations" for row in rows)


async def until(check: Any) -> None:
    async with asyncio.timeout(10):
        while not await check():  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.02)


async def test_what_is_published_to_a_real_broker_becomes_an_observation(street: World, mosquitto_port: int) -> None:
    refused: list[tuple[str, Reason, str]] = []
    other = await street.stream("toilet-1", "nh3_ppm")
    door = MqttDoor(street.door.receiver, lambda *told: refused.append(told))
    link = BrokerLink(f"mqtt://127.0.0.1:{mosquitto_port}", "", None, door.offer, topics=TOPICS)

    async def kept() -> bool:
        found = await street.ask(f"{HERE}?$filter=result eq 33 or result eq 34")
        elsewhere = await street.ask(f"/Datastreams({other})/Observations")
        return len(found["value"]) == 2 and len(elsewhere["value"]) == 1 and len(refused) == 4

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(link.run()), tasks.create_task(door.run())]
        await link.up.wait()
        async with aiomqtt.Client("127.0.0.1", mosquitto_port) as client:
            for topic, body in (
                ("v1.1/Datastreams(1)/Observations", {"phenomenonTime": AT, "result": 33}),
                ("v1.1/Datastreams(1)/Observations", {"phenomenonTime": "2025-11-20T13:31:00Z", "result": 34}),
                ("v1.1/Observations", {"result": 2, "Datastream": {"@iot.id": other}}),
                ("v1.1/Datastreams(1)/Observations", {"result": "warm"}),
                ("v1.1/Datastreams(9999)/Observations", {"result": 1}),
                ("v1.1/Observations", {"result": 1}),
                ("v1.1/Things(1)/Observations", {"result": 1}),
            ):
                await client.publish(topic, json.dumps(body), qos=1)
        await until(kept)
        for each in running:
            each.cancel()
    assert sorted(reason for _, reason, _ in refused) == sorted(
        [Reason.WRONG_TYPE, Reason.NOT_FOUND, Reason.INVALID, Reason.NOT_FOUND]
    )
