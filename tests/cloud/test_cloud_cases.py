"""Cases: one open case for each device and matter, steps by the table, messages in the same transaction."""

from typing import Any

import pytest
from cloud_records import T0, S
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud import cases
from cloud.cases import WORKFLOW, CaseError, CaseState, Step
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, case_steps, devices, notifications
from cloud.relational.tables import cases as case_table
from device_profiles.matter import ClockKind, Limit, Limits, Matter
from device_profiles.quantities import Text
from telemetry.reason import Reason

CREW = ChannelConfig(name="crew", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1:1/")
MATTER = Matter(
    code="cover_missing",
    title=Text(zh="井盖缺失", en="Manhole cover missing"),
    gbt_code="0101",
    department="市政",
    limits=Limits(handle=Limit("2", ClockKind.URGENT_HOURS)),
    filed_when=Text(zh="井盖缺失", en="The cover is missing"),
    closes_when=Text(zh="复位", en="The cover is back"),
)


async def alarm(conn: AsyncConnection, name: str, device: str = "cover-1", priority: str = "high") -> dict[str, Any]:
    row = {
        "id": name,
        "device": device,
        "rule": "cover_open",
        "profile": "cover_nbiot",
        "profile_version": 1,
        "priority": priority,
        "state": "unacknowledged",
        "raised_ns": T0,
    }
    await conn.execute(alarms.insert().values(row))
    return row


async def opened(engine: AsyncEngine, name: str = "a1", **what: str) -> cases.Joined | None:
    async with writing(engine) as conn:
        row = await alarm(conn, name, **what)
        return await cases.open_or_join(conn, alarm=row, matter=MATTER, channels=[CREW], now_ns=T0)


async def all_rows(engine: AsyncEngine, table: Any) -> list[dict[str, Any]]:
    async with reading(engine) as conn:
        return [dict(row) for row in (await conn.execute(select(table))).mappings()]


async def test_an_alarm_opens_a_case_with_its_matter_place_and_deadline(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        place = {"id": "cover-1", "gateway": "gw-1", "profile": "p", "profile_version": 1, "kind": "k", "first_seen_ns": 1}
        await conn.execute(devices.insert().values(**place, longitude=120.6, latitude=31.3))
    joined = await opened(cloud_engine)
    assert joined is not None
    assert joined.opened
    [case] = await all_rows(cloud_engine, case_table)
    assert case == joined.case
    assert (case["state"], case["title_zh"], case["longitude"]) == ("open", "井盖缺失", 120.6)
    assert case["due_ns"] - case["opened_ns"] == 120 * 60 * S
    [message] = await all_rows(cloud_engine, notifications)
    assert (message["case_id"], message["step"], message["channel"]) == (case["id"], "opened", "crew")
    assert [row["case_id"] for row in await all_rows(cloud_engine, alarms)] == [case["id"]]


async def test_a_second_alarm_of_the_matter_joins_and_lifts_the_priority(cloud_engine: AsyncEngine) -> None:
    first = await opened(cloud_engine, "a1", priority="low")
    second = await opened(cloud_engine, "a2", priority="critical")
    third = await opened(cloud_engine, "a3", priority="medium")
    assert first is not None
    assert second is not None
    assert third is not None
    assert {joined.case["id"] for joined in (first, second, third)} == {first.case["id"]}
    assert (second.opened, third.case["priority"]) == (False, "critical")
    assert len(await all_rows(cloud_engine, notifications)) == 1


async def test_another_device_gets_a_case_of_its_own(cloud_engine: AsyncEngine) -> None:
    await opened(cloud_engine, "a1")
    await opened(cloud_engine, "b1", device="cover-2")
    assert [case["device"] for case in await all_rows(cloud_engine, case_table)] == ["cover-1", "cover-2"]


async def test_the_same_alarm_never_opens_a_second_case(cloud_engine: AsyncEngine) -> None:
    joined = await opened(cloud_engine)
    assert joined is not None
    async with writing(cloud_engine) as conn:
        await cases.close(conn, joined.case["id"], actor="li.wei", note="closed the cover", version=1, now_ns=T0 + S)
        row = (await conn.execute(select(alarms))).mappings().one()
        again = await cases.open_or_join(conn, alarm=row, matter=MATTER, channels=[CREW], now_ns=T0 + 2 * S)
    assert again is None
    assert len(await all_rows(cloud_engine, case_table)) == 1


async def test_after_closing_a_new_alarm_opens_a_new_case(cloud_engine: AsyncEngine) -> None:
    joined = await opened(cloud_engine)
    assert joined is not None
    async with writing(cloud_engine) as conn:
        await cases.close(conn, joined.case["id"], actor="li.wei", note="done", version=1, now_ns=T0 + S)
    later = await opened(cloud_engine, "a2")
    assert later is not None
    assert later.opened
    assert later.case["id"] != joined.case["id"]


async def test_a_case_goes_its_way_and_tells_of_each_step(cloud_engine: AsyncEngine) -> None:
    joined = await opened(cloud_engine)
    assert joined is not None
    case = joined.case["id"]
    told: dict[str, Any] = {"actor": "li.wei", "channels": [CREW]}
    async with writing(cloud_engine) as conn:
        await cases.acknowledge(conn, case, note="seen", version=1, now_ns=T0 + S, **told)
        await cases.dispatch(conn, case, note="", version=2, now_ns=T0 + 2 * S, assignee="crew 3", **told)
        await cases.dispatch(conn, case, note="", version=3, now_ns=T0 + 3 * S, assignee="crew 4", **told)
        row = await cases.close(conn, case, note="cover replaced", version=4, now_ns=T0 + 4 * S, **told)
    assert (row["state"], row["assignee"], row["version"], row["closed_ns"]) == ("closed", "crew 4", 5, T0 + 4 * S)
    steps = await all_rows(cloud_engine, case_steps)
    assert [(each["step"], each["from_state"], each["to_state"]) for each in steps] == [
        ("opened", "open", "open"),
        ("acknowledged", "open", "acknowledged"),
        ("dispatched", "acknowledged", "dispatched"),
        ("dispatched", "dispatched", "dispatched"),
        ("closed", "dispatched", "closed"),
    ]
    assert len(await all_rows(cloud_engine, notifications)) == 5


@pytest.mark.parametrize(
    ("state", "step", "version", "note", "reason"),
    [
        pytest.param("open", Step.CLOSED, 7, "x", Reason.CONFLICT, id="somebody else changed it"),
        pytest.param("acknowledged", Step.ACKNOWLEDGED, 1, "x", Reason.CONFLICT, id="acknowledged already"),
        pytest.param("closed", Step.DISPATCHED, 1, "x", Reason.CONFLICT, id="closed already"),
        pytest.param("open", Step.CLOSED, 1, "  ", Reason.INVALID, id="closed without a word"),
        pytest.param("", Step.CLOSED, 1, "x", Reason.NOT_FOUND, id="no such case"),
    ],
)
async def test_a_step_that_cannot_be_taken(
    cloud_engine: AsyncEngine, state: str, step: Step, version: int, note: str, reason: Reason
) -> None:
    joined = await opened(cloud_engine)
    assert joined is not None
    acts: dict[Step, Any] = {
        Step.ACKNOWLEDGED: cases.acknowledge,
        Step.DISPATCHED: cases.dispatch,
        Step.CLOSED: cases.close,
    }
    case = joined.case["id"] if state else 999
    async with writing(cloud_engine) as conn:
        await conn.execute(update(case_table).values(state=state))
        with pytest.raises(CaseError) as caught:
            await acts[step](conn, case, actor="li.wei", note=note, version=version, now_ns=T0)
    assert caught.value.reason is reason
    assert [row["step"] for row in await all_rows(cloud_engine, case_steps)] == ["opened"]


def test_every_state_is_reached_and_left_and_every_step_is_taken() -> None:
    assert set(WORKFLOW.values()) | {CaseState.OPEN} == set(CaseState)
    assert {before for before, _ in WORKFLOW} == set(CaseState) - {CaseState.CLOSED}
    assert {step for _, step in WORKFLOW} | {Step.OPENED} == set(Step)
