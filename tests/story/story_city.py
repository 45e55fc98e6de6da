"""The small city in which the stories of this folder happen.

Everything in it is the product's own: readings are judged by the gateway's pipeline with the catalogue's profiles, what comes of
it is recorded, explained, announced and told in the cloud's own transactions, and what falls due is done by its ticker. Only
the clock is ours: it stands still until a story moves it, and stops at everything that falls due on the way.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.announce import Announcer
from cloud.alarms.log import Recorded, record
from cloud.alarms.ticking import ShelfTicker
from cloud.cases.calendars import Calendars
from cloud.cases.desk import Desk
from cloud.cases.steps import take
from cloud.cases.ticking import CaseTicker
from cloud.dispatch.duty_file import load_duty
from cloud.dispatch.people import Person as Worker
from cloud.evidence import EvidenceFolder
from cloud.feed import Feed
from cloud.indicators.period import month
from cloud.indicators.reading import report
from cloud.indicators.words import By
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.notify.digest import DIGEST
from cloud.notify.messages import Message
from cloud.notify.people import Person
from cloud.notify.results import SendResult
from cloud.notify.sender import Sender
from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.migrate import migrate
from cloud.relational.tables import alarms, case_alarms, case_clocks, case_steps, cases, deadlines, devices, notifications
from cloud.relational.tables import suppressions as suppressed
from cloud.ticker import Job, Ticker
from cloud.watch.config import WatchRules
from cloud.watch.explain import explained_by
from cloud.watch.ticking import WatchTicker
from cloud.watch.watch import Watch
from cloud.workflow.case import Deed
from cloud.workflow.states import Role, Step
from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from edge_agent.alarms.engine import judge_silence
from edge_agent.alarms.zones import Zone
from edge_agent.heard import Heard
from edge_agent.pipeline import Work, process
from edge_agent.pipeline.work import Memory
from firmware_bridge.values import Decoded
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.records import Transition, Value

__all__ = ["MINUTE_NS", "City", "Town", "a_city", "clock_time", "instant", "table"]

CATALOG = load_catalog()
CHINA = Calendars().current.zone
MINUTE_NS = 60 * SECOND_NS
_DUTY = Path(__file__).with_name("story_duty.toml")
_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def instant(text: str) -> int:
    """What the clocks of the city show, "2026-10-01 02:10" or with seconds, as nanoseconds UTC."""
    return round((dt.datetime.fromisoformat(text).replace(tzinfo=CHINA) - _EPOCH).total_seconds()) * SECOND_NS


def clock_time(at_ns: int | None) -> str:
    """The same the other way, to the minute; "never" for None."""
    return "never" if at_ns is None else f"{dt.datetime.fromtimestamp(at_ns // SECOND_NS, CHINA):%m-%d %H:%M}"


def table(text: str) -> list[tuple[str, ...]]:
    """The lines of a table as a story writes it, each split at its bars."""
    return [tuple(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines()]


class _Device(msgspec.Struct):
    profile: Profile
    heard_ns: int
    memory: Memory = Memory()


class City:
    """A desk, its people, and what hangs on its gateway."""

    def __init__(self, folder: Path, store: str, starts: str, *, watch: WatchRules, zones: Mapping[str, Zone]) -> None:
        self.engine = make_engine(store)
        self.clock = ManualClock(wall_ns=instant(starts))
        self.catalog = dict(CATALOG)
        calendars = Calendars()
        duty = load_duty(_DUTY, calendars.current)
        people = tuple(map(_on_the_phone, duty.people.values()))
        self.people = ChannelConfig(name="people", kind=ChannelKind.WECOM_APP, people=people)
        self.desk = Desk(catalog=self.catalog, channels=(self.people,), calendars=calendars, duty=duty)
        self.feed = Feed()
        self._photos = EvidenceFolder(folder / "evidence")
        self._zones = zones
        self._devices: dict[str, _Device] = {}
        self._watch = Watch(self.catalog, watch)
        self._announcer = Announcer(self.engine, self.desk, self.feed, lambda: None)
        by_case = CaseTicker(self.engine, self.desk, self.feed, lambda: None)
        jobs = [
            Job("cases", 1.0, by_case.tick),
            Job("shelves", 1.0, ShelfTicker(self._announcer).tick),
            Job("watch", 60.0, WatchTicker(self._announcer, self._watch).tick),
        ]
        self._ticker = Ticker(self.engine, self.clock, jobs)

    @property
    def now_ns(self) -> int:
        return self.clock.wall_ns()

    async def install(self, profile: str, *names: str, place: tuple[float, float] | None = None) -> None:
        """Devices of a profile, registered, and heard for the last time just now."""
        known = self.catalog[profile]
        longitude, latitude = place or (None, None)
        row = {"gateway": "gw-1", "profile": profile, "profile_version": known.version, "kind": known.kind, "name": ""}
        row |= {"longitude": longitude, "latitude": latitude, "first_seen_ns": self.now_ns}
        async with writing(self.engine) as conn:
            await conn.execute(devices.insert(), [{"id": name, **row} for name in names])
        self._devices |= {name: _Device(known, self.now_ns) for name in names}

    async def says(self, device: str, **values: Value) -> None:
        """A reading of this moment: judged at the edge, and what comes of it taken up by the cloud."""
        await self.take_up(self.heard(device, **values))

    def heard(self, name: str, **values: Value) -> list[Transition]:
        """The same at the edge alone: what the gateway has to tell."""
        device = self._devices[name]
        heard = Heard(device=name, profile=device.profile, received_ns=self.now_ns, decoded=Decoded(values=values))
        work = process(Work(heard=heard, memory=device.memory, zones=self._zones))
        assert work.reading is not None, f"{name}: nothing in it could be used"
        assert not work.doubts, work.doubts
        device.memory, device.heard_ns = work.memory, self.now_ns
        return list(work.transitions)

    def silent(self, names: Sequence[str]) -> list[Transition]:
        """The gateway looks who has been silent for too long."""
        found: list[Transition] = []
        for name in names:
            device = self._devices[name]
            silent_s = (self.now_ns - device.heard_ns) / SECOND_NS
            judged = judge_silence(device.profile, device.memory.alarms, name, silent_s, self.now_ns)
            device.memory = msgspec.structs.replace(device.memory, alarms=judged.state)
            found += judged.transitions
        return found

    async def take_up(self, steps: Sequence[Transition]) -> None:
        """The cloud's one transaction for what a gateway tells: recorded, explained, announced."""

        async def explained(conn: AsyncConnection) -> Recorded:
            return await self._watch.seen(conn, await record(conn, steps, self.now_ns), self.now_ns)

        if steps:
            await self.act(explained)

    async def act(self, does: Callable[[AsyncConnection], Awaitable[Recorded]]) -> Recorded:
        """Something is done to alarms, and told."""
        return await self._announcer.after(does, self.now_ns)

    async def until(self, text: str) -> None:
        """Time passes, and the ticker does what falls due in its own minute."""
        await self._pass(instant(text))

    async def later(self, seconds: float) -> None:
        """The same for so long."""
        await self._pass(self.now_ns + round(seconds * SECOND_NS))

    async def does(self, who: str, step: Step, case: int, **more: Any) -> dict[str, Any]:
        """A person's step, at the case as it is now; `photo` is what they show."""
        photo = more.pop("photo", None)
        if photo is not None:
            more["photos"] = (await self.photo(who, photo),)
        [role] = self.desk.duty.people[who].roles
        deed = Deed(step=step, actor=who, role=role, at_ns=self.now_ns, **more)
        sent = {"version": (await self.case(case))["version"], "key": f"{case}/{step}/{self.now_ns}"}
        async with writing(self.engine) as conn:
            return await take(conn, self.desk, case, deed, now_ns=self.now_ns, **sent)

    async def photo(self, who: str, of: str) -> str:
        """A photo that shows `of`, kept as the cloud keeps them."""

        async def sent() -> AsyncIterator[bytes]:
            yield _JPEG + of.encode()

        return (await self._photos.put(self.engine, sent(), uploaded_by=who, now_ns=self.now_ns)).id

    async def cases(self) -> list[dict[str, Any]]:
        return await self._rows(select(cases).order_by(cases.c.id))

    async def case(self, number: int) -> dict[str, Any]:
        [row] = await self._rows(select(cases).where(cases.c.id == number))
        return row

    async def the_case(self) -> dict[str, Any]:
        """The only one."""
        [row] = await self.cases()
        return row

    async def alarms_of(self, case: int) -> list[dict[str, Any]]:
        """The occurrences in a case, in the order in which they were raised."""
        ours = select(alarms).join(case_alarms, case_alarms.c.alarm == alarms.c.id).where(case_alarms.c.case_id == case)
        return await self._rows(ours.order_by(alarms.c.raised_ns, alarms.c.id))

    async def children_of(self, alarm: str) -> list[str]:
        """The devices whose alarms this one explains."""
        async with reading(self.engine) as conn:
            return [row["device"] for row in await explained_by(conn, alarm)]

    async def steps(self, case: int) -> list[tuple[str, ...]]:
        """(when, who, step) of a case."""
        rows = await self._rows(select(case_steps).where(case_steps.c.case_id == case).order_by(case_steps.c.id))
        return [(clock_time(row["at_ns"]), row["actor"], row["step"]) for row in rows]

    async def clock_of(self, case: int, clock: str) -> dict[str, Any]:
        """The newest row of one of a case's clocks."""
        ours = select(case_clocks).where(case_clocks.c.case_id == case, case_clocks.c.clock == clock)
        return (await self._rows(ours.order_by(case_clocks.c.id)))[-1]

    async def told(self, case: int | None = None) -> list[tuple[str, ...]]:
        """(when, who, what) of every message, or of those about one case; at one instant by name."""
        order = (notifications.c.created_ns, notifications.c.target, notifications.c.id)
        wanted = select(notifications).where(notifications.c.step != DIGEST).order_by(*order)
        rows = await self._rows(wanted if case is None else wanted.where(notifications.c.case_id == case))
        return [(clock_time(row["created_ns"]), row["target"], row["step"]) for row in rows]

    async def numbers(self, name: str) -> dict[str, tuple[int, int | None]]:
        """The indicators of a month: code -> (numerator, denominator)."""
        made = await report(self.engine, month(name, CHINA), By.CITY, self.now_ns)
        return {line.indicator.code: (line.numerator, line.denominator) for line in made.of_city()}

    async def deliver(self) -> list[tuple[str, str]]:
        """The sender empties the outbox; (person, title) of all that really reaches somebody."""
        pocket = _Pocket()
        news = self.feed.subscribe(after=self.feed.last_id)
        sender = Sender(self.engine, [self.people], self.clock, self.feed, poll_s=0.05)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cloud.notify.sender.open_channel", lambda config, session: pocket)
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(sender.run())
                while await self._waits():
                    await anext(news)
                work.cancel()
        return pocket.messages

    async def close(self) -> None:
        await self.engine.dispose()

    async def _pass(self, end_ns: int) -> None:
        while (due_ns := await self._next_due()) is not None and due_ns <= end_ns:
            self.clock.set_wall(max(due_ns, self.now_ns + SECOND_NS))
            await self._ticker.turn()
        assert self.now_ns <= end_ns, f"it is {clock_time(self.now_ns)} already"
        self.clock.set_wall(end_ns)
        await self._ticker.turn()

    async def _waits(self) -> int:
        pending = select(func.count()).select_from(notifications).where(notifications.c.state == "pending")
        async with reading(self.engine) as conn:
            return await conn.scalar(pending) or 0

    async def _next_due(self) -> int | None:
        async with reading(self.engine) as conn:
            due = await conn.scalar(select(func.min(deadlines.c.due_ns)).where(deadlines.c.done_ns.is_(None)))
            over = await conn.scalar(select(func.min(suppressed.c.shelved_until_ns)))
        return min((each for each in (due, over) if each is not None), default=None)

    async def _rows(self, wanted: Any) -> list[dict[str, Any]]:
        async with reading(self.engine) as conn:
            return [dict(row) for row in (await conn.execute(wanted)).mappings()]


class _Pocket:
    """Where messages end: everybody's phone."""

    longest_s = 5.0

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    async def send(self, message: Message, now_ns: int) -> SendResult:
        del now_ns
        self.messages.append((message.to, message.title))
        return SendResult()


def _on_the_phone(person: Worker) -> Person:
    """Somebody of the duty plan as messages reach them: what concerns their office and department, and their own tasks."""
    offices = tuple("assignee" if role in {Role.CREW, Role.COLLECTOR} else role.value for role in person.roles)
    departments = (person.department,) if person.department else ()
    return Person(name=person.name, address=person.name, offices=offices, departments=departments)


@asynccontextmanager
async def a_city(
    folder: Path, store: str, starts: str, *, watch: WatchRules | None = None, zones: Mapping[str, Zone] | None = None
) -> AsyncIterator[City]:
    """A city at that time, with nothing in it yet: its relational store is at the address `store`, its photos in `folder`."""
    city = City(folder, store, starts, watch=watch or WatchRules(), zones=zones or {})
    await migrate(city.engine)
    async with writing(city.engine) as conn:
        await city.desk.calendars.keep(conn)
    try:
        yield city
    finally:
        await city.close()


Town = Callable[..., AbstractAsyncContextManager[City]]
"""`a_city` in a store of the test's own."""
