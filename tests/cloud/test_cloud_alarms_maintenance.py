"""A crew disarms a device: its opening alarms nobody, until it is closed again, the time is over, or somebody arms it."""

from collections.abc import Sequence
from typing import Any

import pytest
from cloud_alarm_steps import ALARM, OWN, T0, S, log_of, step, subject
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms import maintenance, rebuild, suppressing
from cloud.alarms.acts import AlarmError
from cloud.alarms.announce import Announcer, announce
from cloud.alarms.log import NOTHING, Recorded, record
from cloud.alarms.maintenance import Window
from cloud.alarms.ticking import ShelfTicker
from cloud.cases.desk import Desk
from cloud.feed import Feed
from cloud.relational.engine import reading, writing
from cloud.relational.tables import cases, devices, suppressions
from device_profiles.shelf import load_catalog
from telemetry.reason import Reason
from telemetry.records import Cause, Transition

CATALOG = load_catalog()
RULES = ("cover_opened", "cover_struck", "cover_tilted")
TILT = f"cover-1/cover_tilted/{T0}"
OPENED = step(1, Cause.RAISE, 20)
CLOSED = step(2, Cause.RETURN, 60)
TILTED = step(1, Cause.RAISE, 21, alarm=TILT, rule="cover_tilted")
UPRIGHT = step(2, Cause.RETURN, 70, alarm=TILT, rule="cover_tilted")


async def a_device(engine: AsyncEngine, name: str = "cover-1", profile: str = "cover_nbiot") -> None:
    row = {"id": name, "gateway": "gw-1", "profile": profile, "profile_version": 1, "kind": "manhole_cover", "first_seen_ns": 1}
    async with writing(engine) as conn:
        await conn.execute(devices.insert().values(row))


async def disarm(engine: AsyncEngine, at_s: int = 0, until_s: int = 3600, key: str = "", reason: str = "case 7") -> Recorded:
    async with writing(engine) as conn:
        said = {"actor": "li.wei", "reason": reason, "key": key}
        return await maintenance.disarm(conn, CATALOG, "cover-1", until_ns=T0 + until_s * S, now_ns=T0 + at_s * S, **said)


async def heard(engine: AsyncEngine, *news: Transition, at_s: int = 100) -> Recorded:
    async with writing(engine) as conn:
        return await record(conn, news, T0 + at_s * S)


async def window(engine: AsyncEngine) -> Window | None:
    async with reading(engine) as conn:
        return await maintenance.window_of(conn, "cover-1")


async def open_cases(engine: AsyncEngine) -> list[tuple[str, str, int]]:
    async with reading(engine) as conn:
        rows = await conn.execute(select(cases.c.device, cases.c.matter, cases.c.opened_ns))
        return [tuple(row) for row in rows]


def causes(steps: Sequence[dict[str, Any]], cause: Cause) -> list[str]:
    return sorted(row["alarm"] for row in steps if row["cause"] == cause.value)


async def test_what_a_visit_causes_is_disarmed_and_what_endangers_the_crew_is_not(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    done = await disarm(cloud_engine)
    assert causes(done.steps, Cause.SHELVE) == [f"cover-1/{rule}" for rule in RULES]
    assert await window(cloud_engine) == Window(
        device="cover-1", rules=RULES, since_ns=T0, until_ns=T0 + 3600 * S, by="li.wei", reason="case 7", ends_when_closed=True
    )


async def test_a_cover_that_was_opened_and_is_closed_is_armed_again_by_itself(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    assert causes((await heard(cloud_engine, OPENED)).steps, Cause.UNSHELVE) == []
    done = await heard(cloud_engine, CLOSED)
    assert causes(done.steps, Cause.UNSHELVE) == [f"cover-1/{rule}" for rule in RULES]
    assert {row["actor"] for row in done.steps if row["cause"] == "unshelve"} == {"system"}
    assert await window(cloud_engine) is None
    again = await heard(cloud_engine, CLOSED)
    assert again == NOTHING


async def test_opened_and_closed_may_come_together_and_late(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    done = await heard(cloud_engine, CLOSED, OPENED, at_s=3000)
    assert causes(done.steps, Cause.UNSHELVE) == [f"cover-1/{rule}" for rule in RULES]


async def test_it_is_armed_only_when_it_lies_still_too(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    assert causes((await heard(cloud_engine, OPENED, TILTED, CLOSED)).steps, Cause.UNSHELVE) == []
    assert await window(cloud_engine) is not None
    done = await heard(cloud_engine, UPRIGHT)
    assert causes(done.steps, Cause.UNSHELVE) == [f"cover-1/{rule}" for rule in RULES]


async def test_a_tilt_that_goes_by_is_no_closing(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    await heard(cloud_engine, TILTED, UPRIGHT)
    assert await window(cloud_engine) is not None


async def test_a_closing_from_before_the_window_does_not_end_it(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine, at_s=65)
    await heard(cloud_engine, OPENED, CLOSED)
    assert await window(cloud_engine) is not None


async def test_another_devices_closing_ends_nothing(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    other = f"cover-2/cover_opened/{T0}"
    await heard(cloud_engine, step(1, Cause.RAISE, 20, alarm=other, device="cover-2"))
    await heard(cloud_engine, step(2, Cause.RETURN, 60, alarm=other, device="cover-2"))
    assert await window(cloud_engine) is not None


async def test_a_cover_forgotten_open_is_given_back_when_the_time_is_over(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    await heard(cloud_engine, OPENED)
    async with writing(cloud_engine) as conn:
        assert await suppressing.expire_shelves(conn, T0 + 3599 * S) == NOTHING
        over = await suppressing.expire_shelves(conn, T0 + 3600 * S)
    assert over.suppressions[OWN]["shown"] == ""
    _, rows = await log_of(cloud_engine)
    assert [(row["id"], row["state"]) for row in rows] == [(ALARM, "unacknowledged")]
    assert await window(cloud_engine) is None


async def test_what_was_forgotten_open_becomes_a_case_at_the_windows_end_and_only_once(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    desk, feed, woken = Desk(catalog=CATALOG), Feed(), []
    async with writing(cloud_engine) as conn:
        opened = await record(conn, [OPENED], T0 + 20 * S)
        assert await announce(conn, opened, desk=desk, now_ns=T0 + 20 * S) == []
    ticker = ShelfTicker(Announcer(cloud_engine, desk, feed, lambda: woken.append(1)))
    await ticker.tick(T0 + 3599 * S)
    assert (await open_cases(cloud_engine), woken) == ([], [])
    await ticker.tick(T0 + 3600 * S)
    await ticker.tick(T0 + 3601 * S)
    assert (await open_cases(cloud_engine), woken) == ([("cover-1", "cover_displaced", T0 + 3600 * S)], [1])


async def test_what_was_closed_again_in_the_window_never_becomes_a_case(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    desk = Desk(catalog=CATALOG)
    for at_s, news in ((20, OPENED), (60, CLOSED)):
        async with writing(cloud_engine) as conn:
            done = await record(conn, [news], T0 + at_s * S)
            assert await announce(conn, done, desk=desk, now_ns=T0 + at_s * S) == []
    await ShelfTicker(Announcer(cloud_engine, desk, Feed(), lambda: None)).tick(T0 + 4000 * S)
    assert await open_cases(cloud_engine) == []


async def test_armed_by_hand_and_then_there_is_nothing_to_arm(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    async with writing(cloud_engine) as conn:
        done = await maintenance.rearm(conn, "cover-1", actor="li.wei", note="not today", now_ns=T0 + 10 * S)
    assert causes(done.steps, Cause.UNSHELVE) == [f"cover-1/{rule}" for rule in RULES]
    async with writing(cloud_engine) as conn:
        with pytest.raises(AlarmError) as refused:
            await maintenance.rearm(conn, "cover-1", actor="li.wei", note="", now_ns=T0 + 11 * S)
    assert refused.value.reason is Reason.CONFLICT


async def test_a_window_is_moved_by_disarming_again_and_not_by_sending_the_same_again(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine, key="a")
    assert await disarm(cloud_engine, at_s=5, key="a") == NOTHING
    await disarm(cloud_engine, at_s=10, until_s=7200, key="b")
    moved = await window(cloud_engine)
    assert moved is not None
    assert moved.until_ns == T0 + 7200 * S
    await heard(cloud_engine, OPENED, CLOSED)
    assert await disarm(cloud_engine, at_s=200, until_s=7200, key="b") == NOTHING
    assert await window(cloud_engine) is None


async def test_an_operators_longer_shelf_is_no_window_and_outlives_it(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    async with writing(cloud_engine) as conn:
        said = {"actor": "zhao", "reason": "noisy", "now_ns": T0}
        await suppressing.shelve(conn, subject(), until_ns=T0 + 7200 * S, **said)
    assert await window(cloud_engine) is None
    done = await disarm(cloud_engine, at_s=1)
    assert causes(done.steps, Cause.SHELVE) == ["cover-1/cover_struck", "cover-1/cover_tilted"]
    done = await heard(cloud_engine, OPENED, CLOSED)
    assert causes(done.steps, Cause.UNSHELVE) == ["cover-1/cover_struck", "cover-1/cover_tilted"]
    async with reading(cloud_engine) as conn:
        assert await conn.scalar(select(suppressions.c.shown).where(suppressions.c.id == OWN)) == "shelved"


@pytest.mark.parametrize(
    ("until_s", "reason", "wanted"),
    [
        pytest.param(0, "case 7", "after now", id="an end that has passed"),
        pytest.param(86_401, "case 7", "within 86400 s", id="more than a day"),
        pytest.param(3600, "  ", "with a reason", id="without a reason"),
    ],
)
async def test_a_window_has_a_reason_and_an_end_within_a_day(
    cloud_engine: AsyncEngine, until_s: int, reason: str, wanted: str
) -> None:
    await a_device(cloud_engine)
    with pytest.raises(AlarmError, match=wanted):
        await disarm(cloud_engine, until_s=until_s, reason=reason)


async def test_only_a_known_device_that_can_be_opened_is_disarmed(cloud_engine: AsyncEngine) -> None:
    with pytest.raises(AlarmError) as refused:
        await disarm(cloud_engine)
    assert refused.value.reason is Reason.UNKNOWN_DEVICE
    await a_device(cloud_engine, profile="toilet_counter_mqtt")
    with pytest.raises(AlarmError, match="nothing to disarm"):
        await disarm(cloud_engine)


async def test_the_rows_come_out_of_the_log_again(cloud_engine: AsyncEngine) -> None:
    await a_device(cloud_engine)
    await disarm(cloud_engine)
    await heard(cloud_engine, OPENED, CLOSED)
    before = await log_of(cloud_engine)
    await rebuild.rebuild(cloud_engine, lambda _: None)
    assert await log_of(cloud_engine) == before
    assert await window(cloud_engine) is None


def test_every_model_that_says_it_is_open_can_be_disarmed() -> None:
    opens = {name for name, profile in CATALOG.items() if "cover_open" in profile.metrics}
    assert opens
    assert {name for name in opens if not maintenance._disarmed(CATALOG[name])} == set()
