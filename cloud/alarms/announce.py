"""Which alarms people are told of: the one place where an entry to "unacknowledged" opens a case, and a suppression keeps it.

An alarm enters when it is raised, when its suppression ends while it is active and was not acknowledged, and when one that
was acknowledged must be seen again. While it is suppressed it opens no case and tells nobody; what came and went
meanwhile stays in the log only.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.alarms.acts import RANK
from cloud.alarms.log import SYSTEM, Recorded, alarm_news, logs, transition_news
from cloud.alarms.projection import hidden, ordered
from cloud.cases.desk import Desk
from cloud.cases.opening import Joined, Report, open_or_join
from cloud.cases.steps import hear_devices
from cloud.cases.telling import case_news
from cloud.feed import Feed
from cloud.notify import outbox
from cloud.notify.config import ChannelConfig
from cloud.relational.chunks import chunks
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, devices, suppressions
from cloud.relational.tables import cases as case_table
from cloud.watch.names import RESERVED, matter_of
from cloud.workflow.states import Role
from device_profiles.matter import Matter
from device_profiles.model import LATITUDE, LONGITUDE
from telemetry.alarm_states import ACTIVE, OPEN, AlarmState, alarm_id
from telemetry.reason import Reason
from telemetry.records import Cause, Priority

__all__ = ["AGAIN", "Announcer", "announce", "tell"]

AGAIN: Final = "alarmed_again"
"""The step of the message that an alarm in an open case must be seen again."""

Unknown = Callable[[str, Reason, str], None]
"""Takes the device, and the reason and the sentence why an alarm of a profile or rule that nobody here knows opens no case."""

_ENDS: Final = frozenset({Cause.UNSHELVE.value, Cause.UNSUPPRESS.value, Cause.RETURN_TO_SERVICE.value})
_ANEW: Final = frozenset({Cause.RE_ALARM.value, Cause.PRIORITY_RAISED.value, Cause.RETURN_TO_SERVICE.value})
_OVER: Final = frozenset({Cause.RETURN.value, Cause.RETURN_LATCHED.value})
_UNSEEN: Final = AlarmState.UNACKNOWLEDGED.value


async def announce(
    conn: AsyncConnection,
    recorded: Recorded,
    *,
    desk: Desk,
    now_ns: int,
    unknown: Unknown = lambda device, reason, detail: None,
) -> list[Joined]:
    """Open, join or reopen a case for each alarm that people are told of because of what was recorded, or say it again; close
    those that only waited for their device to say that the fault is gone.

    In the transaction that recorded it. The rows in `recorded.alarms` that get a case say so afterwards.
    """
    reports, again = [], []
    entered = await _entered(conn, recorded)
    places = await _places(conn, sorted({alarm["device"] for _, alarm in entered}))
    for occasion, alarm in entered:
        matter = _matter(desk, alarm, unknown, now_ns)
        if matter is not None:
            reports.append(_report(alarm, matter, places.get(alarm["device"])))
            again += [(occasion, alarm)] if occasion else []
    joined = await open_or_join(conn, desk, reports, now_ns)
    for each in joined:
        recorded.alarms[each.alarm]["case_id"] = each.case["id"]
    just = {each.alarm for each in joined}
    for occasion, alarm in again:
        if alarm["id"] not in just:
            await _say_again(conn, alarm, occasion, desk.channels, now_ns)
    over = {recorded.alarms[step["alarm"]]["case_id"] for step in recorded.steps if step["cause"] in _OVER}
    closed = await hear_devices(conn, desk, over - {None}, now_ns)
    return [*joined, *(Joined(case, opened=False) for case in closed)]


@dataclass(frozen=True, slots=True)
class Announcer:
    """One transaction for what the cloud does to alarms by itself, and the news of it afterwards."""

    engine: AsyncEngine
    desk: Desk
    feed: Feed
    notify: Callable[[], None]

    async def after(self, act: Callable[[AsyncConnection], Awaitable[Recorded]], now_ns: int) -> Recorded:
        """Do it, announce it, commit, tell; what was recorded."""
        async with writing(self.engine) as conn:
            done = await act(conn)
            joined = await announce(conn, done, desk=self.desk, now_ns=now_ns)
        tell(self.feed, done, joined)
        if joined:
            self.notify()
        return done


def tell(feed: Feed, recorded: Recorded, joined: Sequence[Joined]) -> None:
    """Publish what was committed."""
    for step in recorded.steps:
        feed.publish("transition", transition_news(step))
    for alarm in recorded.alarms.values():
        feed.publish("alarm", alarm_news(alarm))
    for case in {each.case["id"]: each.case for each in joined}.values():
        feed.publish("case", case_news(case))


async def _entered(conn: AsyncConnection, recorded: Recorded) -> list[tuple[str, dict[str, Any]]]:
    """The alarms that are to be told, by id, each with the step for which it is told again even where its case is open.

    A condition that comes true once more within an occurrence is no such step: it opens a case where there is none yet.
    """
    told: dict[str, tuple[str, dict[str, Any]]] = {}
    for step in recorded.steps:
        alarm = recorded.alarms.get(step["alarm"])
        if alarm is None:
            continue
        if step["cause"] in _ANEW and alarm["state"] == _UNSEEN:
            told[step["alarm"]] = _name(step), alarm
        elif step["cause"] == Cause.RAISE.value and AlarmState(alarm["state"]) in OPEN:
            told.setdefault(step["alarm"], ("", alarm))
    told = {name: told[name] for name in await _shown(conn, [alarm for _, alarm in told.values()])}
    ended: dict[tuple[str, str], str] = {}
    for step in recorded.steps:
        if step["cause"] in _ENDS and recorded.suppressions.get(step["alarm"], {}).get("shown") == "":
            ended.setdefault((step["device"], step["rule"]), _name(step))
    for some in chunks(sorted({device for device, _ in ended})):
        unseen = select(alarms).where(alarms.c.device.in_(some), alarms.c.state == _UNSEEN)
        for row in (await conn.execute(unseen)).mappings():
            if (row["device"], row["rule"]) in ended:
                alarm = recorded.alarms.setdefault(row["id"], dict(row))
                told.setdefault(row["id"], (ended[row["device"], row["rule"]], alarm))
    return [told[name] for name in sorted(told)]


def _name(step: Mapping[str, Any]) -> str:
    return f"{step['alarm']}/{step['origin']}/{step['n']}"


async def _shown(conn: AsyncConnection, candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of those alarms that are not suppressed, and that were not all the time until they returned."""
    own = {alarm["id"]: alarm_id(alarm["device"], alarm["rule"]) for alarm in candidates}
    now: dict[str, str] = {}
    for some in chunks(sorted(set(own.values()))):
        held = select(suppressions.c.id, suppressions.c.shown).where(suppressions.c.id.in_(some))
        now |= {row.id: row.shown for row in await conn.execute(held)}
    over = [each for each in candidates if AlarmState(each["state"]) not in ACTIVE and now.get(own[each["id"]]) == ""]
    past = await logs(conn, sorted({own[alarm["id"]] for alarm in over}))
    missed = {
        alarm["id"]
        for alarm in over
        if hidden(ordered(past[own[alarm["id"]]].values()), alarm["raised_ns"], alarm["returned_ns"] or alarm["raised_ns"])
    }
    return [alarm["id"] for alarm in candidates if not now.get(own[alarm["id"]]) and alarm["id"] not in missed]


async def _say_again(
    conn: AsyncConnection, alarm: Mapping[str, Any], occasion: str, channels: Sequence[ChannelConfig], now_ns: int
) -> None:
    """One message more from the open case that the alarm is in, with the higher priority of the two."""
    open_one = select(case_table).where(case_table.c.id == alarm["case_id"], case_table.c.closed_ns.is_(None))
    case = (await conn.execute(open_one)).mappings().first()
    if case is not None:
        priority = max(Priority(case["priority"]), Priority(alarm["priority"]), key=RANK.__getitem__)
        said = {**case, "priority": priority.value}
        await outbox.enqueue(conn, case=said, step=AGAIN, occasion=occasion, channels=channels, now_ns=now_ns)


def _report(alarm: Mapping[str, Any], matter: Matter, place: Any) -> Report:
    longitude, latitude = _position(alarm["evidence"], place)
    return Report(
        matter=matter,
        priority=alarm["priority"],
        source="alarm",
        occasion=alarm["id"],
        note=alarm["id"],
        actor=SYSTEM,
        role=Role.SYSTEM,
        device=alarm["device"],
        longitude=longitude,
        latitude=latitude,
        component_code=place.component_code if place else "",
        alarm=alarm["id"],
        since_ns=alarm["raised_ns"],
        active=AlarmState(alarm["state"]) in ACTIVE,
    )


def _position(evidence: Mapping[str, Any], place: Any) -> tuple[float | None, float | None]:
    """Where the alarm is: where its evidence says, as a vehicle's that drives on and a gateway's, else where its device is."""
    longitude, latitude = evidence.get(LONGITUDE), evidence.get(LATITUDE)
    if isinstance(longitude, int | float) and isinstance(latitude, int | float):
        return longitude, latitude
    return (place.longitude, place.latitude) if place else (None, None)


async def _places(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, Any]:
    """device -> where it is, and its object's code."""
    found: dict[str, Any] = {}
    for some in chunks(ids):
        wanted = select(devices.c.id, devices.c.longitude, devices.c.latitude, devices.c.component_code)
        found |= {row.id: row for row in await conn.execute(wanted.where(devices.c.id.in_(some)))}
    return found


def _matter(desk: Desk, alarm: Mapping[str, Any], unknown: Unknown, now_ns: int) -> Matter | None:
    """The matter that an alarm's rule opens; None where it opens none, or where nobody here knows the rule."""
    if alarm["rule"] in RESERVED:
        code = matter_of(alarm)
        return desk.matters.find(code, now_ns) if code else None
    profile = desk.catalog.get(alarm["profile"])
    rule = profile.alarms.get(alarm["rule"]) if profile else None
    if profile is None or rule is None:
        known = f"profile {alarm['profile']} has no rule {alarm['rule']}" if profile else f"no profile {alarm['profile']}"
        unknown(alarm["device"], Reason.UNKNOWN_PROFILE, f"alarm {alarm['id']} opens no case: {known} here")
        return None
    return desk.matters.find(rule.matter, now_ns) or profile.matters.get(rule.matter) if rule.matter else None
