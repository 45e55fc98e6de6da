"""The current rows of alarms are a projection: made anew from the log, they are what they were."""

import random
from typing import Any

import pytest
from cloud_alarm_steps import T0, S, log_of, put, step, subject
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms.rebuild import Rebuilt, rebuild
from cloud.alarms.suppressing import expire_shelves
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, case_alarms, cases, suppressions, transitions
from telemetry.records import Cause, Origin, Transition, Value


def history(seed: int) -> list[Transition]:
    """Steps of three alarms of two devices, with three occurrences each, on both axes and in no order."""
    chance = random.Random(seed)  # noqa: S311 - a history, not a secret
    steps: list[Transition] = []
    for device, rule in (("cover-1", "cover_open"), ("cover-1", "cover_tilt"), ("cover-2", "cover_open")):
        own = f"{device}/{rule}"
        for name in (own, *(f"{own}/{onset}" for onset in range(3))):
            counts = dict.fromkeys(Origin, 0)
            for _ in range(chance.randrange(1, 9)):
                cause = chance.choice(list(Cause))
                origin = chance.choice(list(Origin))
                counts[origin] += 1
                said: dict[str, Value] = {
                    "by": chance.choice("ab"),
                    "until_ns": T0 + chance.randrange(50) * S,
                    "review_ns": T0 + S,
                }
                steps.append(step(counts[origin], cause, chance.randrange(30), origin, name, device=device, rule=rule, **said))
    chance.shuffle(steps)
    return steps


async def current(engine: AsyncEngine) -> dict[str, list[dict[str, Any]]]:
    async with reading(engine) as conn:
        found = {
            table.name: (await conn.execute(select(table).order_by(table.c.id))).mappings() for table in (alarms, suppressions)
        }
        return {name: [dict(row) for row in rows] for name, rows in found.items()}


async def rebuilt(engine: AsyncEngine, at_once: int = 4) -> list[Rebuilt]:
    told: list[Rebuilt] = []
    assert await rebuild(engine, told.append, at_once) == told[-1]
    return told


@pytest.mark.parametrize("seed", range(6))
async def test_rebuilding_after_any_history_gives_the_rows_that_were_there(cloud_engine: AsyncEngine, seed: int) -> None:
    steps = history(seed)
    for start in range(0, len(steps), 7):
        await put(cloud_engine, steps[start : start + 7])
    async with writing(cloud_engine) as conn:
        await expire_shelves(conn, T0 + 25 * S)
    before, (log, _) = await current(cloud_engine), await log_of(cloud_engine)
    assert before["alarms"]
    assert before["suppressions"]
    told = await rebuilt(cloud_engine)
    assert (await current(cloud_engine), (await log_of(cloud_engine))[0]) == (before, log)
    assert told[-1].changed == 0
    assert [each.done for each in told] == [*range(4, 4 * len(told), 4), told[-1].total], "it goes on, transaction by transaction"
    assert told[-1].done == told[-1].total == len({row["alarm"] for row in log})


async def test_what_was_damaged_lost_or_never_logged_is_put_right(cloud_engine: AsyncEngine) -> None:
    for some in (history(1), [step(1, Cause.SUPPRESS, 3, Origin.CLOUD, subject("cover-3").alarm, device="cover-3", by="x")]):
        await put(cloud_engine, some)
    before, (log, _) = await current(cloud_engine), await log_of(cloud_engine)
    lost, spoilt = before["alarms"][0]["id"], before["alarms"][1]["id"]
    async with writing(cloud_engine) as conn:
        await conn.execute(delete(alarms).where(alarms.c.id == lost))
        await conn.execute(update(alarms).where(alarms.c.id == spoilt).values(state="gone"))
        await conn.execute(alarms.insert().values({**before["alarms"][2], "id": "zz/never/1"}))
        await conn.execute(delete(suppressions))
        await conn.execute(update(transitions).values(from_state="?", to_state="?"))
    told = await rebuilt(cloud_engine)
    assert (await current(cloud_engine), (await log_of(cloud_engine))[0]) == (before, log)
    assert told[-1].changed == 3 + len(before["suppressions"])


async def test_an_alarm_keeps_its_case(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(1, Cause.RAISE, 0)])
    words = dict.fromkeys(("matter", "gbt_code", "department", "title_zh", "title_en", "priority", "state"), "x")
    async with writing(cloud_engine) as conn:
        alarm = await conn.scalar(select(alarms.c.id))
        made = cases.insert().values(device="cover-1", opened_ns=1, due_ns=2, **words)
        case = await conn.scalar(made.returning(cases.c.id))
        await conn.execute(case_alarms.insert().values(case_id=case, alarm=alarm))
        await conn.execute(update(alarms).values(case_id=case))
    before = await current(cloud_engine)
    await rebuilt(cloud_engine)
    assert await current(cloud_engine) == before
    assert before["alarms"][0]["case_id"] == case


async def test_there_is_nothing_to_rebuild_in_an_empty_store(cloud_engine: AsyncEngine) -> None:
    assert await rebuilt(cloud_engine) == [Rebuilt(0, 0)]
