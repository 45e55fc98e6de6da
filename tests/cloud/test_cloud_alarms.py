"""The alarm log: whatever the order and however often transitions come, log and rows are the same in the end."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cloud_records import T0, S
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms.acts import AlarmError, acknowledge
from cloud.alarms.log import record
from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.migrate import migrate
from cloud.relational.tables import alarms, transitions
from telemetry.alarm_states import fold
from telemetry.reason import Reason
from telemetry.records import Cause, Origin, Priority, Transition

ALARM = f"cover-1/cover_open/{T0}"


def step(n: int, cause: Cause, at_s: int, origin: Origin = Origin.EDGE, alarm: str = ALARM) -> Transition:
    return Transition(
        alarm=alarm,
        origin=origin,
        n=n,
        device="cover-1",
        rule="cover_open",
        profile="cover_nbiot",
        profile_version=1,
        cause=cause,
        priority=Priority.CRITICAL,
        event_time_ns=T0 + at_s * S,
        recorded_ns=T0 + at_s * S,
        actor="edge",
        evidence={"tilt_deg": float(at_s)},
    )


async def log_of(engine: AsyncEngine) -> tuple[list[Any], list[Any]]:
    async with reading(engine) as conn:
        order = (transitions.c.alarm, transitions.c.event_time_ns, transitions.c.origin, transitions.c.n)
        steps = (await conn.execute(select(transitions).order_by(*order))).mappings().all()
        rows = (await conn.execute(select(alarms).order_by(alarms.c.id))).mappings().all()
    return [dict(row) for row in steps], [dict(row) for row in rows]


async def put(engine: AsyncEngine, news: Sequence[Transition]) -> None:
    async with writing(engine) as conn:
        await record(conn, news, T0)


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


_CAUSES = [Cause.RAISE, Cause.RETURN, Cause.RAISE, Cause.ACKNOWLEDGE, Cause.RETURN, Cause.BECAME_UNCERTAIN, Cause.BECAME_CERTAIN]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Transition], list[list[Transition]]]:
    """A log of two alarms, and the same steps shuffled, doubled and cut into batches."""
    steps = []
    for alarm in ("cover-1/cover_open/1", "cover-1/cover_tilt/2"):
        counts = {Origin.EDGE: 0, Origin.CLOUD: 0}
        for cause in draw(st.lists(st.sampled_from(_CAUSES), min_size=1, max_size=6)):
            origin = Origin.CLOUD if cause is Cause.ACKNOWLEDGE else Origin.EDGE
            counts[origin] += 1
            steps.append(step(counts[origin], cause, draw(st.integers(0, 20)), origin, alarm))
    sent = draw(st.permutations(steps + draw(st.lists(st.sampled_from(steps), max_size=5))))
    cuts = sorted(draw(st.sets(st.integers(1, len(sent)), max_size=4)) | {len(sent)})
    return steps, [list(sent[start:end]) for start, end in zip([0, *cuts], cuts, strict=False)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deliveries())
def test_order_and_repeats_do_not_matter(delivered: tuple[list[Transition], list[list[Transition]]]) -> None:
    steps, batches = delivered

    async def logged(groups: list[list[Transition]]) -> tuple[list[Any], list[Any]]:
        with tempfile.TemporaryDirectory() as folder:
            engine = make_engine(f"sqlite+aiosqlite:///{Path(folder) / 'cloud.db'}")
            await migrate(engine)
            for group in groups:
                await put(engine, group)
            found = await log_of(engine)
            await engine.dispose()
            return found

    in_order, rows = asyncio.run(logged([steps]))
    assert asyncio.run(logged(batches)) == (in_order, rows)
    for row in rows:
        assert row["state"] == fold([each for each in steps if each.alarm == row["id"]]).value


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
