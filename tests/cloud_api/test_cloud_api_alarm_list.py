"""The list that a desk works from: what it can be asked for, how it pages, and many alarms acknowledged at once."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from cloud_api_world import ALARM, CHEAP, MINUTE_NS, NOW_NS, World
from sqlalchemy import select, text

from cloud.accounts.accounts import Accounts
from cloud.accounts.roles import AccountRole, Grant
from cloud.alarms.log import subject_of
from cloud.alarms.suppressing import suppress
from cloud.api.alarm_filter import AlarmQuery, alarm_select, chosen
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, cases, transitions

pytestmark = pytest.mark.asyncio


def occurrence(
    device: str, rule: str = "cover_opened", *, ago: int = 2, state: str = "unacknowledged", **more: Any
) -> dict[str, Any]:
    """A row of `alarms` that was raised `ago` minutes ago."""
    raised = NOW_NS - ago * MINUTE_NS
    return {
        "id": f"{device}/{rule}/{raised}", "device": device, "rule": rule, "profile": "cover_nbiot", "profile_version": 1,
        "priority": "high", "state": state, "uncertain": False, "raised_ns": raised, "returned_ns": None,
        "acknowledged_ns": None, "acknowledged_by": "", "evidence": {}, "case_id": None, **more,
    }  # fmt: skip


def raised(row: Mapping[str, Any]) -> dict[str, Any]:
    """The step that such a row comes from."""
    return {
        "alarm": row["id"], "origin": "edge", "n": 1, "device": row["device"], "rule": row["rule"], "profile": row["profile"],
        "profile_version": 1, "cause": "raise", "priority": row["priority"], "from_state": "normal",
        "to_state": "unacknowledged", "event_time_ns": row["raised_ns"], "recorded_ns": NOW_NS, "stored_ns": NOW_NS,
        "actor": "gw-1", "evidence": {}, "note": "",
    }  # fmt: skip


async def add(city: World, *rows: dict[str, Any]) -> list[str]:
    async with writing(city.services.engine) as conn:
        await conn.execute(alarms.insert(), list(rows))
        await conn.execute(transitions.insert(), [raised(row) for row in rows])
    return [row["id"] for row in rows]


async def ids(city: World, **query: Any) -> list[str]:
    page = await city.get(f"/api/alarms?{urlencode(query, doseq=True)}")
    return [item["id"] for item in page["items"]]


class TestFilters:
    async def test_an_alarm_says_where_it_is_and_where_its_case_stands(self, city: World) -> None:
        (item,) = (await city.get("/api/alarms"))["items"]
        assert {name: item[name] for name in ("gateway", "kind", "caused_by", "explains", "case")} == {
            "gateway": "gw-1", "kind": "manhole_cover", "caused_by": None, "explains": 0,
            "case": {"id": 7, "state": "dispatched", "assignee": ""},
        }  # fmt: skip

    async def test_each_filter_leaves_out_what_it_does_not_mean(self, city: World) -> None:
        seen, over, lamp = await add(
            city,
            occurrence("cover-2", ago=3, state="acknowledged"),
            occurrence("cover-3", ago=4, state="returned_unacknowledged", priority="low"),
            occurrence("lamp-1", "loop_open", ago=5, profile="lamp_loop", priority="medium"),
        )
        assert await ids(city) == [ALARM, seen, over, lamp]
        assert await ids(city, priority=["critical", "low"]) == [ALARM, over]
        assert await ids(city, kind="lamp_loop") == [lamp]
        assert await ids(city, acknowledged="true") == [seen]
        assert await ids(city, acknowledged="false") == [ALARM, over, lamp]
        assert await ids(city, active="false") == [over]
        assert await ids(city, gateway="gw-1") == [ALARM, seen, over, lamp]
        assert await ids(city, gateway="gw-2") == []
        async with writing(city.services.engine) as conn:
            await conn.execute(cases.update().values(district="tianhe"))
        assert await ids(city, district="tianhe") == [ALARM]
        assert await ids(city, district="yuexiu") == []

    @pytest.mark.parametrize("text", ["COVER-1", "井 cover-1 100%", "100%", "opened", "井盖"])
    async def test_words_are_looked_for_in_names_and_titles_alike(self, city: World, text: str) -> None:
        await add(city, occurrence("lamp-1", "loop_open", ago=5, profile="lamp_loop", profile_version=9))
        found = await ids(city, q=text, device="cover-1")
        assert found == [ALARM]

    async def test_signs_of_a_pattern_are_only_signs(self, city: World) -> None:
        assert await ids(city, q="cover_1") == []
        assert await ids(city, q="no such %") == []

    @pytest.mark.parametrize(
        "query", ["priority=urgent", "q=%00", "kind=a%20b", "q=" + "x" * 101, "acknowledged=maybe", "cause="]
    )
    async def test_what_no_filter_can_mean_is_refused(self, city: World, query: str) -> None:
        problem = await city.get(f"/api/alarms?{query}", status=422)
        assert problem["reason"] == "invalid"


class TestPages:
    async def test_pages_hold_each_alarm_once_though_many_were_raised_at_one_instant(self, city: World) -> None:
        rows = [occurrence(f"cover-{number:03}", ago=9) for number in range(100, 133)]
        await add(city, *rows)
        found, cursor = [], ""
        while cursor is not None:
            page = await city.get(f"/api/alarms?limit=10{f'&cursor={cursor}' if cursor else ''}")
            found += [item["id"] for item in page["items"]]
            cursor = page["next"]
        assert found == [ALARM, *sorted((row["id"] for row in rows), reverse=True)]

    async def test_the_open_alarms_are_read_by_their_own_index(self, city: World) -> None:
        rows = [occurrence(f"c-{n}", ago=n, state="normal" if n % 10 else "unacknowledged") for n in range(2, 4000)]
        async with writing(city.services.engine) as conn:
            await conn.execute(alarms.insert(), rows)
            await conn.execute(text("ANALYZE"))
        wanted = alarm_select().where(*chosen(AlarmQuery(priority=["high"]), {}))
        wanted = wanted.order_by(alarms.c.raised_ns.desc(), alarms.c.id.desc()).limit(201)
        compiled = wanted.compile(city.services.engine.sync_engine, compile_kwargs={"literal_binds": True})
        async with reading(city.services.engine) as conn:
            plan = [row[3] for row in (await conn.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))).all()]
        assert "ix_alarms_open" in plan[0], plan
        assert not [line for line in plan if "TEMP B-TREE" in line], plan


class TestCauses:
    async def test_what_a_gateway_explains_is_folded_under_it(self, city: World) -> None:
        (gone,) = await add(city, occurrence("gw-2", "cloud.gateway_offline", ago=6, profile="cloud.watch"))
        silent = await add(city, *(occurrence(f"cover-{n}", "cloud.silent", ago=3 + n, state="unacknowledged") for n in (2, 3)))
        async with writing(city.services.engine) as conn:
            held = (await conn.execute(select(alarms).where(alarms.c.rule == "cloud.silent"))).mappings().all()
            subjects = [subject_of({**row, "id": f"{row['device']}/cloud.silent"}) for row in held]
            await suppress(conn, subjects, gone, actor="system", note="explained", now_ns=NOW_NS)
        page = {item["id"]: item for item in (await city.get("/api/alarms"))["items"]}
        assert set(page) == {ALARM, gone}
        assert (page[gone]["explains"], page[gone]["gateway"]) == (2, "gw-2")
        children = (await city.get(f"/api/alarms?suppression=all&cause={quote(gone, safe='')}"))["items"]
        assert sorted(item["id"] for item in children) == sorted(silent)
        assert {item["caused_by"] for item in children} == {"gw-2"}
        assert await ids(city, suppression="all", cause="gw-2/cloud.gateway_offline/1") == []


class TestMany:
    async def test_many_are_acknowledged_in_one_call_and_each_that_is_not_says_why(self, city: World) -> None:
        open_, seen = await add(city, occurrence("cover-2"), occurrence("cover-3", state="normal"))
        body = {"actor": "王芳", "note": "同一故障", "alarms": [open_, ALARM, "nobody/x/1", seen, open_]}
        answer = await city.post("/api/alarms/acknowledge", body)
        assert answer["done"] == [open_, ALARM]
        assert [(each["id"], each["reason"]) for each in answer["refused"]] == [("nobody/x/1", "not_found"), (seen, "conflict")]
        assert await ids(city, acknowledged="true") == [ALARM, open_]
        last = (await city.get(f"/api/alarms/{open_}"))["transitions"][-1]
        assert (last["cause"], last["actor"], last["note"]) == ("acknowledge", "王芳", "同一故障")
        again = await city.post("/api/alarms/acknowledge", body)
        assert again["done"] == []
        assert len(again["refused"]) == 4

    async def test_five_hundred_are_seen_at_once_and_every_one_is_news(self, city: World) -> None:
        wanted = await add(city, *(occurrence(f"c-{n}", ago=2 + n) for n in range(500)))
        before = city.services.feed.last_id
        answer = await city.post("/api/alarms/acknowledge", {"actor": "王芳", "alarms": wanted})
        assert answer == {"done": wanted, "refused": []}
        assert city.services.feed.last_id == before + 1000
        page = await city.get("/api/alarms?limit=1000&acknowledged=true")
        assert len(page["items"]) == 500

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param({"actor": "王芳", "alarms": []}, id="none"),
            pytest.param({"actor": "王芳", "alarms": [f"c/{n}/1" for n in range(501)]}, id="too many"),
            pytest.param({"actor": " ", "alarms": [ALARM]}, id="nobody"),
            pytest.param({"actor": "王芳", "alarms": ["a b"]}, id="no id"),
        ],
    )
    async def test_a_call_that_cannot_be_is_refused_whole(self, city: World, body: Any) -> None:
        await city.post("/api/alarms/acknowledge", body, status=422)
        assert await ids(city, acknowledged="true") == []

    async def test_a_desk_acknowledges_in_its_own_district_only(self, city: World) -> None:
        (other,) = await add(city, occurrence("cover-2"))
        async with writing(city.services.engine) as conn:
            await conn.execute(cases.update().values(district="tianhe"))
        desk = await session_of(city, Grant(AccountRole.OPERATOR, "yuexiu"))
        answer = await city.post("/api/alarms/acknowledge", {"actor": "desk", "alarms": [ALARM, other]}, **desk)
        assert answer["done"] == [other]
        assert [(each["id"], each["reason"]) for each in answer["refused"]] == [(ALARM, "not_allowed")]
        page = await city.get("/api/alarms", **desk)
        (hidden,) = [item for item in page["items"] if item["id"] == ALARM]
        assert (hidden["case"], hidden["district"], hidden["case_id"]) == (None, "", 7)


async def session_of(city: World, grant: Grant) -> dict[str, str]:
    """The header of a session of the first account, which has this role."""
    await Accounts(city.services.engine, city.clock, CHEAP).add("desk", "lamp cover toilet drain", (grant,), "Desk")
    answer = await city.post("/api/session", {"name": "desk", "password": "lamp cover toilet drain"})
    return {"Authorization": f"Bearer {answer['token']}"}
