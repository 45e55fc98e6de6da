"""What the API answers to good questions."""

import socket
from typing import Any

import pytest
from cloud_api_world import ALARM, MINUTE_NS, NOW, World
from sqlalchemy import select, update

from cloud.api.server import listen
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, cases, devices, evidence, lanes, losses, notifications

PHOTO = "ab" * 32
HISTORY = "/api/devices/cover-1/history"


async def _ids(city: World, query: str) -> list[str]:
    return [item["id"] for item in (await city.get(f"/api/devices?{query}"))["items"]]


async def test_a_device_says_how_it_stands(city: World) -> None:
    states = {item["id"]: item["state"] for item in (await city.get("/api/devices"))["items"]}
    assert states == {
        "cover-1": "critical",
        "cover-2": "normal",
        "cover-3": "unknown",
        "lamp-1": "offline",
        "odd-1": "normal",
    }


async def test_a_device_is_shown_with_counts_position_and_age(city: World) -> None:
    device = await city.get("/api/devices/cover-1")
    assert (device["open_alarms"], device["open_cases"], device["age_s"]) == (1, 1, 60.0)
    assert (device["longitude"], device["last_reading"]) == (113.26, "2025-11-20T13:59:00.123Z")
    tilt = next(metric for metric in device["metrics"] if metric["name"] == "tilt_deg")
    assert tilt["unit"] == "deg"
    assert tilt["title"].keys() == {"zh", "en"}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        pytest.param("kind=lamp_loop", ["lamp-1"], id="by kind"),
        pytest.param("state=critical", ["cover-1"], id="by state"),
        pytest.param("state=offline&kind=manhole_cover", [], id="by both"),
        pytest.param("gateway=gw-2", [], id="by gateway"),
        pytest.param("q=LAMP", ["lamp-1"], id="by part of the id, whatever the case"),
        pytest.param("q=odd-1%20100%25", ["odd-1"], id="by part of the name, where a percent sign is a percent sign"),
        pytest.param("q=%25%25", [], id="a wildcard is not one"),
    ],
)
async def test_devices_are_found(city: World, query: str, wanted: list[str]) -> None:
    assert await _ids(city, query) == wanted


async def test_pages_join_to_the_whole_even_while_a_row_goes(city: World) -> None:
    first = await city.get("/api/devices?limit=2")
    assert [item["id"] for item in first["items"]] == ["cover-1", "cover-2"]
    async with writing(city.services.engine) as conn:
        await conn.execute(devices.delete().where(devices.c.id == "cover-2"))
    second = await city.get(f"/api/devices?limit=2&cursor={first['next']}")
    third = await city.get(f"/api/devices?limit=2&cursor={second['next']}")
    assert [item["id"] for item in second["items"] + third["items"]] == ["cover-3", "lamp-1", "odd-1"]
    assert third["next"] is None


async def test_the_latest_values_carry_quality_reason_unit_and_age(city: World) -> None:
    latest = await city.get("/api/devices/cover-1/latest")
    assert latest["metrics"][0] == {
        "metric": "tilt_deg",
        "value": 11.0,
        "unit": "deg",
        "quality": "bad",
        "reason": "out_of_range",
        "time": NOW,
        "age_s": 0.0,
        "title": {"zh": latest["metrics"][0]["title"]["zh"], "en": latest["metrics"][0]["title"]["en"]},
    }
    assert [(m["metric"], m["value"]) for m in latest["metrics"]] == [("tilt_deg", 11.0), ("battery_v", None)]


async def test_many_latest_values_come_in_the_order_asked_for(city: World) -> None:
    items = (await city.get("/api/latest?device=cover-2&device=nobody&device=cover-1"))["items"]
    assert [(item["device"], len(item["metrics"])) for item in items] == [("cover-2", 0), ("cover-1", 2)]


async def test_raw_history_is_cut_at_the_limit_and_says_so(city: World) -> None:
    whole = await city.get(f"{HISTORY}?metric=tilt_deg&start=2025-11-20T13:00:00Z&end=2025-11-20T14:01:00Z")
    assert [point["value"] for point in whole["metrics"]["tilt_deg"]] == [float(n) for n in range(12)]
    assert whole["metrics"]["tilt_deg"][-1] == {"time": NOW, "value": 11.0, "quality": "bad"}
    assert (whole["tier"], whole["method"], whole["truncated"]) == ("raw", "raw", False)
    cut = await city.get(f"{HISTORY}?metric=tilt_deg&start=2025-11-20T13:00:00Z&limit=5")
    assert len(cut["metrics"]["tilt_deg"]) == 5
    assert cut["truncated"] is True


async def test_buckets_leave_bad_values_out(city: World) -> None:
    asked = f"{HISTORY}?metric=tilt_deg&start=2025-11-20T13:00:00Z&end=2025-11-20T14:01:00Z&bucket=3600&zone=Asia/Shanghai"
    answer = await city.get(asked)
    assert answer["method"] == "bucket"
    assert answer["metrics"]["tilt_deg"] == [
        {"time": "2025-11-20T13:00:00.000Z", "min": 0.0, "max": 10.0, "mean": 5.0, "last": 10.0, "count": 11}
    ]


async def test_history_without_metrics_gives_all_of_the_profile(city: World) -> None:
    answer = await city.get(HISTORY)
    assert set(answer["metrics"]) == set(city.services.catalog["cover_nbiot"].metrics)


async def test_an_alarm_is_shown_with_its_meaning_and_steps(city: World) -> None:
    assert [item["id"] for item in (await city.get("/api/alarms?device=cover-1"))["items"]] == [ALARM]
    alarm = await city.get(f"/api/alarms/{ALARM}")
    assert (alarm["priority"], alarm["age_s"], alarm["case_id"]) == ("critical", 60.0, 7)
    assert alarm["title"]["en"] == "Manhole cover opened"
    assert alarm["response"]["en"].startswith("Go at once")
    assert [(step["origin"], step["cause"]) for step in alarm["transitions"]] == [("edge", "raise")]


async def test_acknowledging_an_alarm_is_a_cloud_transition_and_news(city: World) -> None:
    alarm = await city.post(f"/api/alarms/{ALARM}/acknowledge", {"actor": " li.wei ", "note": "seen"})
    assert (alarm["state"], alarm["acknowledged"], alarm["acknowledged_by"]) == ("acknowledged", NOW, "li.wei")
    assert [(step["origin"], step["cause"], step["actor"]) for step in alarm["transitions"]][-1] == (
        "cloud",
        "acknowledge",
        "li.wei",
    )
    await city.post(f"/api/alarms/{ALARM}/acknowledge", {"actor": "li.wei"}, status=409)


async def test_a_case_is_shown_with_steps_alarms_and_messages(city: World) -> None:
    case = await city.get("/api/cases/7")
    assert (case["title"]["zh"], case["device_name"], case["overdue"]) == ("井盖缺失", "井 cover-1 100%", False)
    assert [alarm["id"] for alarm in case["alarms"]] == [ALARM]
    assert [step["step"] for step in case["steps"]] == ["report"]
    notice = case["notifications"][0]
    assert (notice["state"], notice["attempts"], notice["failure"], notice["next_attempt"]) == (
        "pending",
        2,
        "network",
        "2025-11-20T14:00:01.123Z",
    )


ASSIGN: dict[str, Any] = {"step": "assign", "actor": "boss", "role": "department", "assignee": "li.wei"}
SUBMIT: dict[str, Any] = {"step": "submit", "actor": "li.wei", "role": "crew", "note": "reseated", "photos": [PHOTO]}
WORK: list[dict[str, Any]] = [
    ASSIGN,
    {"step": "take", "actor": "li.wei", "role": "crew"},
    {"step": "arrive", "actor": "li.wei", "role": "crew", "position": {"longitude": 113.26, "latitude": 23.12}},
    SUBMIT,
    {"step": "confirm", "actor": "boss", "role": "department", "note": "good"},
    {"step": "check", "actor": "desk", "role": "operator", "assignee": "wang"},
    {"step": "override", "actor": "chief", "role": "supervisor", "reason": "sensor broken", "standard": "seen on site"},
]


async def test_a_case_goes_through_its_workflow_and_tells_its_channels(city: World) -> None:
    async with writing(city.services.engine) as conn:
        row = {"id": PHOTO, "media_type": "image/jpeg", "size": 1, "uploaded_by": "li.wei", "at_ns": 0}
        await conn.execute(evidence.insert().values(row))
    case = await city.get("/api/cases/7")
    assert case["device_says"] == "fault"
    assert case["filed_when"]["zh"] != case["closes_when"]["zh"]
    for step in WORK:
        assert step["step"] in {may["step"] for may in case["may"]}
        case = await city.post("/api/cases/7/steps", {**step, "version": case["version"]})
    assert (case["state"], case["closed"], case["state_title"]["zh"]) == ("closed", NOW, "结案")
    assert [step["step"] for step in case["steps"]] == ["report", *(step["step"] for step in WORK)]
    assert case["steps"][4]["photos"] == [PHOTO]
    assert {clock["clock"]: clock["state"] for clock in case["clocks"]} == {"check": "stopped"}
    assert [c["id"] for c in (await city.get("/api/cases?state=closed"))["items"]] == [7]
    assert (await city.get("/api/cases"))["items"] == []
    async with reading(city.services.engine) as conn:
        told = list(await conn.scalars(select(notifications.c.step).order_by(notifications.c.id)))
    assert told == ["opened", "assign", "submit", "confirm", "check", "override"]
    assert len(city.woken) == len(WORK)


async def test_two_people_who_act_on_the_same_version_do_not_both_win(city: World) -> None:
    await city.post("/api/cases/7/steps", {**ASSIGN, "version": 1})
    problem = await city.post("/api/cases/7/steps", {**ASSIGN, "version": 1}, status=409)
    assert problem["reason"] == "conflict"
    assert "version 2" in problem["detail"]
    assert "版本 2" in problem["detail_zh"]


async def test_what_a_page_sends_again_is_done_once(city: World) -> None:
    sent = {**ASSIGN, "version": 1, "key": "0b9f3d1c", "done": "2025-11-20T13:55:00Z"}
    once, again = [await city.post("/api/cases/7/steps", sent) for _ in range(2)]
    assert once["version"] == again["version"] == 2
    assert [step["done"] for step in again["steps"]] == [None, "2025-11-20T13:55:00.000Z"]


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        pytest.param({"role": "crew"}, 403, "not_allowed", id="not in this office"),
        pytest.param({"role": "system"}, 403, "not_allowed", id="nobody is the system"),
        pytest.param({"assignee": ""}, 422, "missing", id="without what the step needs"),
        pytest.param({"step": "pass"}, 409, "conflict", id="not from this state"),
        pytest.param({"step": "close"}, 422, "invalid", id="no such step"),
        pytest.param({"photos": ["x"]}, 422, "invalid", id="no photo's id"),
    ],
)
async def test_a_step_that_is_refused_says_why(city: World, change: dict[str, Any], status: int, reason: str) -> None:
    problem = await city.post("/api/cases/7/steps", {**ASSIGN, "version": 1, **change}, status=status)
    assert problem["reason"] == reason


async def test_a_person_reports_and_what_is_known_already_is_joined(city: World) -> None:
    told = {"matter": "cover_displaced", "actor": "li.wei", "role": "collector", "description": "open", "address": "中山路"}
    at_the_device = await city.post("/api/cases", {**told, "device": "cover-1"})
    assert (at_the_device["id"], at_the_device["steps"][-1]["step"]) == (7, "join")
    elsewhere = await city.post("/api/cases", {**told, "longitude": 113.5, "latitude": 23.0})
    assert (elsewhere["device"], elsewhere["state"], elsewhere["source"]) == (None, "reported", "person")
    again = await city.post("/api/cases", {**told, "longitude": 113.50001, "latitude": 23.0})
    assert again["id"] == elsewhere["id"]
    await city.post("/api/cases", {**told, "matter": "no_such"}, status=404)
    await city.post("/api/cases", {**told, "device": "cover-99"}, status=404)


async def test_what_needs_an_eye_is_listed_the_most_urgent_first(city: World) -> None:
    assert await city.get("/api/watchlist") == {
        "items": [],
        "counts": {"warning": 0, "overdue": 0, "supervised": 0},
        "more": False,
    }
    told = {"matter": "cover_displaced", "actor": "desk", "role": "operator", "description": "open", "latitude": 23.0}
    first, second = [await city.post("/api/cases", {**told, "longitude": place}) for place in (113.5, 113.6)]
    city.clock.advance(13 * 60)  # of the 15 minutes in which a report is to be accepted
    soon = await city.get("/api/watchlist")
    assert [(item["case"], item["standing"], item["clock"]) for item in soon["items"]] == [
        (first["id"], "warning", "accept"),
        (second["id"], "warning", "accept"),
    ]
    taken_up = {"step": "supervise", "actor": "chief", "role": "supervisor", "note": "today", "version": second["version"]}
    await city.post(f"/api/cases/{second['id']}/steps", taken_up)
    city.clock.advance(180)
    late = await city.get("/api/watchlist")
    assert [(item["case"], item["standing"], item["late"]) for item in late["items"]] == [
        (second["id"], "supervised", True),
        (first["id"], "overdue", True),
    ]
    assert late["items"][0]["left_s"] == -60.0
    assert [item["case"] for item in (await city.get("/api/watchlist?standing=overdue"))["items"]] == [first["id"]]
    assert (await city.get("/api/watchlist?district=west"))["items"] == []


async def test_a_case_is_overdue_once_its_time_is_over(city: World) -> None:
    city.clock.advance(3601)
    assert (await city.get("/api/cases"))["items"][0]["overdue"] is True


async def test_work_that_was_done_in_time_is_not_overdue_while_it_waits_for_its_check(city: World) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(update(cases).where(cases.c.id == 7).values(state="feedback"))
    city.clock.advance(3601)
    assert (await city.get("/api/cases"))["items"][0]["overdue"] is False
    async with writing(city.services.engine) as conn:
        await conn.execute(update(cases).where(cases.c.id == 7).values(overdue=True))
    assert (await city.get("/api/cases"))["items"][0]["overdue"] is True


async def test_a_gateway_shows_the_account_of_its_lanes(city: World) -> None:
    items = (await city.get("/api/gateways"))["items"]
    assert [(item["id"], item["online"], item["devices"]) for item in items] == [("gw-1", True, 5), ("gw-2", False, 0)]
    assert items[0]["status"]["backlog"] == items[0]["backlog"] == {"readings": 4}
    lane = items[0]["lanes"][0]
    assert lane["gaps"] == [{"first": 99, "last": 99}, {"first": 101, "last": 102}]
    assert lane["stored"] + lane["quarantined"] + lane["lost"] + lane["moved"] + lane["missing"] == lane["next_seq"] - 1
    assert lane["balanced"] is True


async def test_a_gateway_shows_its_outbox_and_its_clock(city: World) -> None:
    shown, silent = (await city.get("/api/gateways"))["items"]
    names = ("oldest", "outbox_bytes", "outbox_max_bytes", "declared_lost", "clock", "clock_ahead_s")
    assert [shown[name] for name in names] == [NOW, 4096, 1_000_000, {"readings": 2}, "cloud", -1.5]
    assert [silent[name] for name in names] == [NOW, 4096, 1_000_000, {"readings": 2}, None, None]


async def test_the_ledger_tells_what_became_of_every_record(city: World) -> None:
    told = await city.get("/api/gateways/gw-1/ledger")
    assert (told["gateway"], told["epoch"], told["more"]) == ("gw-1", "e1", False)
    [lane] = told["lanes"]
    assert (lane["stored"], lane["quarantined"], lane["lost"], lane["moved"], lane["missing"]) == (91, 3, 4, 1, 3)
    assert lane["balanced"] is True
    gaps = [(gap["first"], gap["last"], gap["count"], gap["state"], gap["reason"]) for gap in lane["gaps"]]
    assert gaps == [
        (101, 102, 2, "awaited", None),
        (99, 99, 1, "awaited", None),
        (61, 60, 0, "lost", "corrupt"),
        (50, 51, 2, "quarantined", "wrong_type"),
        (49, 49, 1, "quarantined", "unknown_device"),
        (40, 40, 1, "moved", "renumbered"),
        (20, 23, 4, "lost", "outbox_full"),
    ]
    assert (lane["gaps"][-1]["time_from"], lane["gaps"][-1]["at"]) == (NOW, NOW)
    assert (lane["gaps"][2]["open_end"], lane["gaps"][2]["time_from"]) == (True, None)
    assert [(event["reason"], event["count"]) for event in told["security"]] == [("rolled_back", 2)]


async def test_a_ledger_is_bounded_and_says_that_there_is_more(city: World) -> None:
    rows = [
        {"gateway": "gw-1", "epoch": "e1", "lane": "readings", "seq_from": seq, "seq_to": seq, "bytes": 1, "time_from_ns": 1,
         "time_to_ns": 1, "reason": "thinned", "at_ns": 1, "open_end": False}
        for seq in range(1_000, 1_200, 2)
    ]  # fmt: skip
    async with writing(city.services.engine) as conn:
        await conn.execute(losses.insert(), rows)
        for n in range(50):
            await conn.execute(lanes.insert().values(gateway="gw-1", epoch=f"old-{n}", lane="events", updated_ns=n))
    told = await city.get("/api/gateways/gw-1/ledger")
    assert (len(told["lanes"]), told["more"]) == (40, True)
    assert (len(told["lanes"][0]["gaps"]), told["lanes"][0]["more"]) == (50, True)
    assert told["lanes"][0]["gaps"][0]["first"] == 1_198


async def test_refusals_profiles_counts_and_health_are_told(city: World) -> None:
    assert (await city.get("/api/refusals"))["items"][0]["reason"] == "bad_checksum"
    profiles = {item["name"]: item for item in (await city.get("/api/profiles"))["items"]}
    assert profiles["cover_nbiot"]["offline_after_s"] == 2.5 * 86_400
    assert (await city.get("/api/counts"))["stored_readings"] == 12
    health = await city.get("/api/health")
    assert (health["status"], health["series"], health["relational"]) == ("ok", True, True)


async def test_a_long_answer_is_packed_and_never_cached(city: World) -> None:
    async with city.session.get("/api/profiles", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]


async def test_an_alarm_is_found_behind_older_ones_page_by_page(city: World) -> None:
    pages: list[Any] = []
    async with writing(city.services.engine) as conn:
        row = dict((await conn.execute(select(alarms))).mappings().one())
        for n in range(4):
            raised_ns = row["raised_ns"] - (n // 2) * MINUTE_NS
            await conn.execute(alarms.insert().values({**row, "id": f"cover-2/cover_opened/{n}", "raised_ns": raised_ns}))
    cursor = ""
    while True:
        page = await city.get(f"/api/alarms?limit=2{cursor}")
        pages += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len({item["id"] for item in pages}) == len(pages) == 5
    assert [item["raised"] for item in pages] == sorted((item["raised"] for item in pages), reverse=True)


def test_answers_are_not_held_back_by_nagles_delay() -> None:
    # asyncio switches it off only on sockets that name their protocol.
    with listen("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_an_address_that_is_taken_is_an_error_at_once() -> None:
    with listen("127.0.0.1", 0) as bound, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", bound.getsockname()[1])
