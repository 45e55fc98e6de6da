"""The alarm log: whatever the order and however often transitions come, log and rows are the same in the end."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cloud_alarm_steps import ALARM, OWN, T0, S, log_of, put, step
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms.acts import AlarmError, acknowledge, re_alarm, reset, set_priority
from cloud.alarms.log import Recorded
from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.tables import suppressions
from telemetry.alarm_states import stand
from telemetry.reason import Reason
from telemetry.records import Cause, Origin, Priority, Transition


async def test_each_step_is_logged_with_the_states_it_leads_between(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(1, Cause.RAISE, 0), step(2, Cause.BECAME_UNCERTAIN, 5), step(3, Cause.RETURN, 9)])
    steps, [row] = await log_of(cloud_engine)
    assert [(each["from_state"], each["to_state"]) for each in steps] == [
        ("normal", "unacknowledged"),
        ("unacknowledged", "unacknowledged"),
        ("unacknowledged", "returned_unacknowledged"),
    ]
    assert (row["state"], row["uncertain"], row["raised_ns"], row["returned_ns"]) == (
        "returned_unacknowledged",
        True,
        T0,
        T0 + 9 * S,
    )
    assert row["evidence"] == {"tilt_deg": 0.0}


async def test_a_raise_that_comes_after_its_return_is_put_before_it(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(2, Cause.RETURN, 9)])
    await put(cloud_engine, [step(1, Cause.RAISE, 0)])
    steps, [row] = await log_of(cloud_engine)
    assert [each["to_state"] for each in steps] == ["unacknowledged", "returned_unacknowledged"]
    assert (row["state"], row["raised_ns"]) == ("returned_unacknowledged", T0)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Transition], list[list[Transition]]]:
    """A log of two occurrences and of their alarms on both axes, and the same steps shuffled, doubled and cut into batches."""
    steps = []
    for alarm in (OWN, f"{OWN}/1", "cover-1/cover_tilt/2"):
        counts = dict.fromkeys(Origin, 0)
        for cause in draw(st.lists(st.sampled_from(_CAUSES), min_size=1, max_size=6)):
            origin = draw(st.sampled_from(list(Origin)))
            counts[origin] += 1
            rule = alarm.split("/")[1]
            steps.append(step(counts[origin], cause, draw(st.integers(0, 20)), origin, alarm, rule=rule, by="a", until_ns=T0))
    sent = draw(st.permutations(steps + draw(st.lists(st.sampled_from(steps), max_size=5))))
    cuts = sorted(draw(st.sets(st.integers(1, len(sent)), max_size=4)) | {len(sent)})
    return steps, [list(sent[start:end]) for start, end in zip([0, *cuts], cuts, strict=False)]


# A one-shot shelf is ended by the cloud's own step, which is written when its alarm's return is known: see the tests of it.
_CAUSES = sorted(set(Cause) - {Cause.SHELVE_ONCE})


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(delivered=deliveries())
def test_order_and_repeats_do_not_matter(migrated_file: Path, delivered: tuple[list[Transition], list[list[Transition]]]) -> None:
    steps, batches = delivered

    async def logged(groups: list[list[Transition]]) -> tuple[list[Any], list[Any], list[Any]]:
        with tempfile.TemporaryDirectory() as folder:
            engine = make_engine(f"sqlite+aiosqlite:///{shutil.copy(migrated_file, folder)}")
            for group in groups:
                await put(engine, group)
            found = await log_of(engine)
            own = await suppressed(engine)
            await engine.dispose()
            return *found, own

    in_order, rows, own = asyncio.run(logged([steps]))
    assert asyncio.run(logged(batches)) == (in_order, rows, own)
    for row in rows:
        assert row["state"] == stand([each for each in steps if each.alarm == row["id"]]).process.value
    for row in own:
        there = stand([each for each in steps if each.alarm == row["id"]])
        assert (row["shelf"], set(row["suppressed_by"]), row["out_of_service"]) == (
            there.shelf.value,
            there.suppressed_by,
            there.out_of_service,
        )


async def suppressed(engine: AsyncEngine) -> list[dict[str, Any]]:
    async with reading(engine) as conn:
        return [dict(row) for row in (await conn.execute(select(suppressions).order_by(suppressions.c.id))).mappings()]


async def test_acknowledging_is_a_transition_of_the_clouds_own(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(1, Cause.RAISE, 0)])
    async with writing(cloud_engine) as conn:
        row = (await acknowledge(conn, ALARM, "li.wei", "on my way", T0 + 60 * S)).alarms[ALARM]
    steps, [held] = await log_of(cloud_engine)
    assert (row["state"], held["acknowledged_by"], held["acknowledged_ns"]) == ("acknowledged", "li.wei", T0 + 60 * S)
    assert [(each["origin"], each["n"], each["note"]) for each in steps] == [("edge", 1, ""), ("cloud", 1, "on my way")]


async def test_acknowledging_counts_even_where_the_gateways_clock_is_ahead(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(1, Cause.RAISE, 3600)])
    async with writing(cloud_engine) as conn:
        assert (await acknowledge(conn, ALARM, "li.wei", "", T0)).alarms[ALARM]["state"] == "acknowledged"


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        pytest.param([], Reason.NOT_FOUND, id="no such alarm"),
        pytest.param(
            [step(1, Cause.RAISE, 0), step(1, Cause.ACKNOWLEDGE, 1, Origin.CLOUD)], Reason.CONFLICT, id="acknowledged already"
        ),
        pytest.param(
            [step(1, Cause.RAISE, 0), step(1, Cause.ACKNOWLEDGE, 1, Origin.CLOUD), step(2, Cause.RETURN, 2)],
            Reason.CONFLICT,
            id="over",
        ),
    ],
)
async def test_what_cannot_be_acknowledged(cloud_engine: AsyncEngine, steps: list[Transition], reason: Reason) -> None:
    await put(cloud_engine, steps)
    async with writing(cloud_engine) as conn:
        with pytest.raises(AlarmError) as caught:
            await acknowledge(conn, ALARM, "li.wei", "", T0)
    assert caught.value.reason is reason


async def act(engine: AsyncEngine, what: Any, *said: Any, at_s: int = 60) -> Recorded:
    async with writing(engine) as conn:
        done: Recorded = await what(conn, ALARM, *said, actor="li.wei", note="as agreed", now_ns=T0 + at_s * S)
    return done


LATCHED = [step(1, Cause.RAISE, 0), step(2, Cause.RETURN_LATCHED, 9)]
SEEN = step(1, Cause.ACKNOWLEDGE, 5, Origin.CLOUD)


async def test_a_latched_alarm_is_reset_when_it_was_seen_and_is_over(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [*LATCHED, SEEN])
    done = await act(cloud_engine, reset)
    assert [(row["cause"], row["from_state"], row["to_state"], row["actor"], row["note"]) for row in done.steps] == [
        ("reset", "latched_acknowledged", "normal", "li.wei", "as agreed")
    ]
    assert done.alarms[ALARM]["state"] == "normal"


@pytest.mark.parametrize(
    ("steps", "detail"),
    [
        pytest.param([step(1, Cause.RAISE, 0)], "still holds", id="while it is active"),
        pytest.param([step(1, Cause.RAISE, 0), SEEN], "still holds", id="while it is active and seen"),
        pytest.param(LATCHED, "acknowledged", id="before anybody has seen it"),
    ],
)
async def test_a_reset_is_refused(cloud_engine: AsyncEngine, steps: list[Transition], detail: str) -> None:
    await put(cloud_engine, steps)
    with pytest.raises(AlarmError, match=detail) as caught:
        await act(cloud_engine, reset)
    assert caught.value.reason is Reason.CONFLICT


async def test_a_raised_priority_must_be_seen_again_and_a_lowered_one_not(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(1, Cause.RAISE, 0, priority=Priority.MEDIUM), SEEN])
    lower = (await act(cloud_engine, set_priority, Priority.LOW)).alarms[ALARM]
    assert (lower["state"], lower["priority"]) == ("acknowledged", "low")
    higher = (await act(cloud_engine, set_priority, Priority.HIGH)).alarms[ALARM]
    assert (higher["state"], higher["priority"]) == ("unacknowledged", "high")
    await put(cloud_engine, [step(2, Cause.RETURN, 99, priority=Priority.MEDIUM)])
    assert [row["priority"] for row in (await log_of(cloud_engine))[1]] == ["high"], "what returned is what it was made"
    with pytest.raises(AlarmError, match="only an active alarm"):
        await act(cloud_engine, set_priority, Priority.LOW, at_s=120)


async def test_the_same_priority_is_none(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(1, Cause.RAISE, 0)])
    with pytest.raises(AlarmError, match="already") as caught:
        await act(cloud_engine, set_priority, Priority.CRITICAL)
    assert caught.value.reason is Reason.CONFLICT


async def test_an_alarm_alarms_again_only_after_it_was_seen(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(1, Cause.RAISE, 0)])
    with pytest.raises(AlarmError):
        await act(cloud_engine, re_alarm)
    await put(cloud_engine, [SEEN])
    assert (await act(cloud_engine, re_alarm)).alarms[ALARM]["state"] == "unacknowledged"


async def test_a_condition_that_comes_again_within_an_occurrence_is_counted(cloud_engine: AsyncEngine) -> None:
    await put(cloud_engine, [step(1, Cause.RAISE, 0), step(2, Cause.RETURN, 1), step(3, Cause.RAISE, 2)])
    assert [(row["raises"], row["returned_ns"]) for row in (await log_of(cloud_engine))[1]] == [(2, None)]
