"""Shelved, suppressed by design, out of service: judged and logged as ever, told to nobody until it ends, and then truly."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from cloud_alarm_steps import ALARM, OWN, T0, S, log_of, step, subject
from cloud_bench import Bench, hello
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.alarms import acts, suppressing
from cloud.alarms.acts import AlarmError
from cloud.alarms.announce import AGAIN, announce
from cloud.alarms.log import Recorded, record
from cloud.cases.desk import Desk
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.relational.engine import reading, writing
from cloud.relational.tables import cases, devices, notifications, suppressions
from device_profiles.shelf import load_catalog
from telemetry.reason import Reason
from telemetry.records import Cause, Lane, Origin, Priority, Transition
from telemetry.wire import EventsBatch

CREW = ChannelConfig(name="crew", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1:1/")
CATALOG = load_catalog()
DESK = Desk(catalog=CATALOG, channels=[CREW])
COVER = subject()
NEXT = f"{OWN}/{T0 + 500 * S}"
RAISE = step(1, Cause.RAISE, 10)
RETURN = step(2, Cause.RETURN, 20)

Act = Callable[[AsyncConnection, int], Coroutine[Any, Any, Recorded]]


def said(now_ns: int) -> dict[str, Any]:
    return {"actor": "li.wei", "note": "as agreed", "now_ns": now_ns}


def shelved(until_s: int = 3600, once: bool = False) -> Act:
    def act(conn: AsyncConnection, now_ns: int) -> Coroutine[Any, Any, Recorded]:
        end_ns = T0 + until_s * S
        return suppressing.shelve(conn, COVER, until_ns=end_ns, actor="li.wei", reason="noisy", now_ns=now_ns, once=once)

    return act


def unshelved(conn: AsyncConnection, now_ns: int) -> Coroutine[Any, Any, Recorded]:
    return suppressing.unshelve(conn, COVER, **said(now_ns))


def explained(by: str) -> Act:
    return lambda conn, now_ns: suppressing.suppress(conn, [COVER], by, **said(now_ns))


def unexplained(by: str) -> Act:
    return lambda conn, now_ns: suppressing.unsuppress(conn, [COVER], by, **said(now_ns))


def out(conn: AsyncConnection, now_ns: int) -> Coroutine[Any, Any, Recorded]:
    review_ns = now_ns + 86400 * S
    return suppressing.out_of_service(conn, COVER, review_ns=review_ns, actor="li.wei", reason="order 7", now_ns=now_ns)


def returned(conn: AsyncConnection, now_ns: int) -> Coroutine[Any, Any, Recorded]:
    return suppressing.return_to_service(conn, COVER, **said(now_ns))


def come(*steps: Transition) -> Act:
    return lambda conn, now_ns: record(conn, steps, now_ns)


def seen(conn: AsyncConnection, now_ns: int) -> Coroutine[Any, Any, Recorded]:
    return acts.acknowledge(conn, ALARM, "li.wei", "", now_ns)


async def story(engine: AsyncEngine, *acts_at: tuple[int, Act]) -> Recorded:
    """Do this and that, each at so many seconds; what the last one recorded."""
    done = Recorded([], {})
    for at_s, act in acts_at:
        async with writing(engine) as conn:
            done = await act(conn, T0 + at_s * S)
            await announce(conn, done, desk=DESK, now_ns=T0 + at_s * S)
    return done


async def told(engine: AsyncEngine) -> list[str]:
    """The steps of the messages so far; there are none without a case."""
    async with reading(engine) as conn:
        found = [row.step for row in await conn.execute(select(notifications.c.step).order_by(notifications.c.id))]
        assert bool(found) == bool((await conn.execute(select(cases))).all())
    return found


async def register(engine: AsyncEngine) -> dict[str, Any]:
    async with reading(engine) as conn:
        return dict((await conn.execute(select(suppressions))).mappings().one())


KINDS = [
    pytest.param(shelved(), unshelved, "shelved", id="shelved"),
    pytest.param(explained("gw-1"), unexplained("gw-1"), "suppressed_by_design", id="suppressed by design"),
    pytest.param(out, returned, "out_of_service", id="out of service"),
]


@pytest.mark.parametrize(("begin", "end", "word"), KINDS)
async def test_a_raise_while_suppressed_is_told_when_the_suppression_ends(
    cloud_engine: AsyncEngine, begin: Act, end: Act, word: str
) -> None:
    await story(cloud_engine, (0, begin), (10, come(RAISE)))
    assert (await register(cloud_engine))["shown"] == word
    assert [row["state"] for row in (await log_of(cloud_engine))[1]] == ["unacknowledged"], "it is judged all the same"
    assert await told(cloud_engine) == []
    await story(cloud_engine, (60, end))
    assert (await register(cloud_engine))["shown"] == ""
    assert await told(cloud_engine) == ["opened"]
    assert [bool(row["case_id"]) for row in (await log_of(cloud_engine))[1]] == [True]


@pytest.mark.parametrize(("begin", "end", "word"), KINDS)
async def test_what_came_and_went_while_suppressed_stays_in_the_log(
    cloud_engine: AsyncEngine, begin: Act, end: Act, word: str
) -> None:
    await story(cloud_engine, (0, begin), (10, come(RAISE)), (20, come(RETURN)), (60, end))
    assert await told(cloud_engine) == []
    steps, [row] = await log_of(cloud_engine)
    assert row["state"] == "returned_unacknowledged"
    assert [(each["from_state"], each["to_state"]) for each in steps if each["alarm"] == OWN] == [
        ("normal", word),
        (word, "normal"),
    ]


@pytest.mark.parametrize(("begin", "end", "word"), KINDS)
async def test_what_came_and_went_then_and_is_heard_of_afterwards_is_not_told_either(
    cloud_engine: AsyncEngine, begin: Act, end: Act, word: str
) -> None:
    await story(cloud_engine, (0, begin), (60, end), (90, come(RAISE, RETURN)))
    assert await told(cloud_engine) == [], word


@pytest.mark.parametrize("at_s", [5, 15])
async def test_what_was_seen_for_a_moment_before_or_after_the_suppression_is_told(cloud_engine: AsyncEngine, at_s: int) -> None:
    await story(cloud_engine, (at_s, shelved()), (at_s + 8, unshelved), (90, come(RAISE, RETURN)))
    assert await told(cloud_engine) == ["opened"]


async def test_what_somebody_acknowledged_meanwhile_is_not_told(cloud_engine: AsyncEngine) -> None:
    await story(cloud_engine, (0, shelved()), (10, come(RAISE)), (30, seen), (60, unshelved))
    assert await told(cloud_engine) == []


async def test_back_in_service_it_must_be_seen_again_even_if_it_was_acknowledged(cloud_engine: AsyncEngine) -> None:
    await story(cloud_engine, (10, come(RAISE)), (30, seen), (40, out))
    done = await story(cloud_engine, (60, returned))
    assert done.alarms[ALARM]["state"] == "unacknowledged"
    assert await told(cloud_engine) == ["opened", AGAIN], "the case is the one that was open, and says it again"


async def test_the_end_of_one_suppression_under_another_tells_nobody(cloud_engine: AsyncEngine) -> None:
    await story(cloud_engine, (0, shelved()), (1, explained("gw-1")), (2, explained("works-7")), (10, come(RAISE)))
    for at_s, end in ((60, unshelved), (61, unexplained("gw-1"))):
        await story(cloud_engine, (at_s, end))
        assert await told(cloud_engine) == []
    assert (await register(cloud_engine))["suppressed_by"] == ["works-7"]
    await story(cloud_engine, (62, unexplained("works-7")))
    assert await told(cloud_engine) == ["opened"]


async def test_an_alarm_stays_shelved_when_it_comes_again(cloud_engine: AsyncEngine) -> None:
    again = step(1, Cause.RAISE, 500, alarm=NEXT)
    await story(cloud_engine, (5, come(RAISE)), (15, shelved()), (20, come(RETURN)), (500, come(again)))
    assert await told(cloud_engine) == ["opened"], "the first, before it was shelved"
    async with reading(cloud_engine) as conn:
        assert len((await conn.execute(select(cases))).all()) == 1


async def test_a_shelf_ends_by_itself_when_its_time_is_over(cloud_engine: AsyncEngine) -> None:
    await story(cloud_engine, (0, shelved(until_s=100)), (10, come(RAISE)), (99, suppressing.expire_shelves))
    assert await told(cloud_engine) == []
    done = await story(cloud_engine, (100, suppressing.expire_shelves))
    assert [(row["cause"], row["actor"]) for row in done.steps] == [("unshelve", "system")]
    assert await told(cloud_engine) == ["opened"]
    assert not (await story(cloud_engine, (101, suppressing.expire_shelves))).steps


async def test_shelving_again_moves_the_end(cloud_engine: AsyncEngine) -> None:
    await story(cloud_engine, (0, shelved(until_s=100)), (50, shelved(until_s=900)), (100, suppressing.expire_shelves))
    row = await register(cloud_engine)
    assert (row["shelf"], row["shelved_until_ns"], row["shelved_by"], row["shelf_reason"]) == (
        "timed",
        T0 + 900 * S,
        "li.wei",
        "noisy",
    )


async def test_a_one_shot_shelf_ends_with_the_return_and_the_next_one_is_told(cloud_engine: AsyncEngine) -> None:
    await story(cloud_engine, (0, shelved(once=True)), (10, come(RAISE)))
    done = await story(cloud_engine, (20, come(RETURN)))
    assert [(row["cause"], row["actor"]) for row in done.steps] == [("return", "edge"), ("unshelve", "system")]
    assert (done.of_gateways, done.suppressions[OWN]["shelf"]) == (1, "unshelved")
    await story(cloud_engine, (500, come(step(1, Cause.RAISE, 500, alarm=NEXT))))
    assert await told(cloud_engine) == ["opened"]


async def test_a_return_from_before_a_one_shot_shelf_does_not_end_it(cloud_engine: AsyncEngine) -> None:
    await story(cloud_engine, (30, shelved(once=True)), (40, come(RAISE, RETURN)))
    assert (await register(cloud_engine))["shelf"] == "one_shot"


async def test_what_must_be_seen_again_is_said_again_in_its_open_case(cloud_engine: AsyncEngine) -> None:
    def anew(conn: AsyncConnection, now_ns: int) -> Coroutine[Any, Any, Recorded]:
        return acts.re_alarm(conn, ALARM, "system", "", now_ns)

    await story(cloud_engine, (10, come(RAISE)), (30, seen), (60, anew))
    assert await told(cloud_engine) == ["opened", AGAIN]


async def test_a_message_that_an_alarm_is_worse_has_the_higher_priority(cloud_engine: AsyncEngine) -> None:
    def worse(conn: AsyncConnection, now_ns: int) -> Coroutine[Any, Any, Recorded]:
        return acts.set_priority(conn, ALARM, Priority.CRITICAL, **said(now_ns))

    await story(cloud_engine, (10, come(step(1, Cause.RAISE, 10, priority=Priority.LOW))), (30, seen), (60, worse))
    async with reading(cloud_engine) as conn:
        payloads = (await conn.scalars(select(notifications.c.payload).order_by(notifications.c.id))).all()
    assert [payload["priority"] for payload in payloads] == ["low", "critical"]


async def test_what_explains_an_alarm_already_explains_it_once(cloud_engine: AsyncEngine) -> None:
    assert len((await story(cloud_engine, (0, explained("gw-1")))).steps) == 1
    assert not (await story(cloud_engine, (1, explained("gw-1")))).steps
    assert not (await story(cloud_engine, (2, unexplained("gw-2")))).steps


DAY_S = 86400


@pytest.mark.parametrize(
    ("act", "reason", "detail"),
    [
        pytest.param(shelved(until_s=0), Reason.INVALID, "after now", id="a shelf that ends at once"),
        pytest.param(shelved(until_s=DAY_S + 1), Reason.INVALID, "within 86400 s", id="a shelf longer than the longest"),
        pytest.param(
            lambda c, now: suppressing.shelve(c, COVER, until_ns=now + S, actor="a", reason=" ", now_ns=now),
            Reason.INVALID,
            "with a reason",
            id="a shelf for no reason",
        ),
        pytest.param(
            lambda c, now: suppressing.shelve(c, COVER, until_ns=now + 61 * S, actor="a", reason="x", now_ns=now, longest_s=60),
            Reason.INVALID,
            "within 60 s",
            id="a shelf longer than its rule's longest",
        ),
        pytest.param(unshelved, Reason.CONFLICT, "not shelved", id="unshelving what is not shelved"),
        pytest.param(explained(""), Reason.INVALID, "1 to 160", id="suppressed by nothing"),
        pytest.param(
            lambda c, now: suppressing.out_of_service(c, COVER, review_ns=now, actor="a", reason="x", now_ns=now),
            Reason.INVALID,
            "a review after now",
            id="out of service with a review that is over",
        ),
        pytest.param(
            lambda c, now: suppressing.out_of_service(
                c, COVER, review_ns=now + 367 * DAY_S * S, actor="a", reason="x", now_ns=now
            ),
            Reason.INVALID,
            "within a year",
            id="out of service for ever",
        ),
        pytest.param(
            lambda c, now: suppressing.out_of_service(c, COVER, review_ns=now + S, actor="a", reason="", now_ns=now),
            Reason.INVALID,
            "with a reason",
            id="out of service for no reason",
        ),
        pytest.param(returned, Reason.CONFLICT, "in service", id="returning what is in service"),
    ],
)
async def test_an_act_that_cannot_be_changes_nothing(cloud_engine: AsyncEngine, act: Act, reason: Reason, detail: str) -> None:
    with pytest.raises(AlarmError, match=detail) as caught:
        await story(cloud_engine, (0, act))
    assert caught.value.reason is reason
    assert await log_of(cloud_engine) == ([], [])


async def test_an_alarm_is_found_by_itself_and_by_its_occurrences_and_before_it_was_ever_raised(
    cloud_engine: AsyncEngine,
) -> None:
    async def found(names: Sequence[str]) -> list[str]:
        async with writing(cloud_engine) as conn:
            return [(await suppressing.find(conn, CATALOG, name)).alarm for name in names]

    for name in (OWN, ALARM, "cover-1"):
        with pytest.raises(AlarmError, match="there is none") as caught:
            await found([name])
        assert caught.value.reason is Reason.NOT_FOUND
    place = {"id": "cover-1", "gateway": "gw-1", "profile": "cover_nbiot", "profile_version": 1, "kind": "k", "first_seen_ns": 1}
    async with writing(cloud_engine) as conn:
        await conn.execute(devices.insert().values(place))
    assert await found([OWN]) == [OWN]
    await story(cloud_engine, (10, come(RAISE)))
    assert await found([OWN, ALARM]) == [OWN, OWN]


async def test_an_end_that_no_column_can_hold_is_none(cloud_engine: AsyncEngine) -> None:
    odd = step(1, Cause.SHELVE, 0, Origin.EDGE, OWN, until_ns="soon")
    await story(cloud_engine, (0, come(odd)))
    assert (await register(cloud_engine))["shelved_until_ns"] is None


async def test_what_a_gateway_sends_of_a_suppressed_alarm_opens_no_case(bench: Bench) -> None:
    async with writing(bench.engine) as conn:
        await suppressing.suppress(conn, [subject("cover-2")], "gw-9", **said(T0))
    raised = [step(1, Cause.RAISE, 10, alarm=f"{device}/cover_opened/{T0}", device=device) for device in ("cover-1", "cover-2")]
    bench.say(hello("cover-1", "cover-2"))
    bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=list(raised)))
    await bench.acked(2, Lane.EVENTS)
    assert [row["device"] for row in await bench.rows(cases)] == ["cover-1"]
    assert bench.ingest.counts.transitions == 2
