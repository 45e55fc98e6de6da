"""How a case begins: from alarms, from people, from citizens; and how what is known already is joined or reopened.

One problem at one place is one case. Of a device's alarms: the open case of its device and matter, else the one that was
closed just now, which is reopened as rework, else a new one. Of people's reports: the nearest open case of the matter.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.cases.desk import Desk
from cloud.cases.draft import BLANK, CaseDraft
from cloud.cases.facts import load_many
from cloud.cases.policy import Auto
from cloud.cases.saving import Change, save
from cloud.cases.steps import system_deed
from cloud.dispatch.nearest import distance_m, nearest
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms as alarm_table
from cloud.relational.tables import case_alarms, cases
from cloud.workflow.case import Deed
from cloud.workflow.states import Role, State, Step
from device_profiles.matter import Matter
from telemetry.clock import SECOND_NS

__all__ = ["Joined", "Report", "open_or_join", "report"]


class Joined(msgspec.Struct, frozen=True):
    """The case's row as it is now, whether it was opened just now, and the alarm that is in it now."""

    case: dict[str, Any]
    opened: bool
    alarm: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """That there is a problem somewhere. `occasion` makes it happen once; `alarm` is the
    occurrence that says so, if one does, raised at `since_ns` and `active` where it still holds."""

    matter: Matter
    priority: str
    source: str
    occasion: str
    note: str
    actor: str
    role: Role
    device: str | None = None
    longitude: float | None = None
    latitude: float | None = None
    address: str = ""
    description: str = ""
    reporter: str = ""
    photos: tuple[str, ...] = ()
    component_code: str = ""
    alarm: str = ""
    since_ns: int = 0
    active: bool = True


async def report(conn: AsyncConnection, desk: Desk, told: Report, now_ns: int) -> Joined:
    """Somebody's report: it joins the open case of its device, or the nearest one, or is a new case that waits for a person.

    CaseError where the workflow refuses it.
    """
    held = await _open_one(conn, desk, told, now_ns)
    if held is None:
        draft = _begun(desk, told, now_ns, Auto.REPORT)
        change = Change(draft=draft, occasion=told.occasion, says="reported")
    else:
        [draft] = await load_many(conn, desk, [held])
        _join(draft, told, now_ns)
        change = Change(draft=draft, occasion=told.occasion, says="joined" if draft.is_lifted else "")
    await save(conn, desk, [change], now_ns)
    return Joined(draft.row, held is None)


async def open_or_join(conn: AsyncConnection, desk: Desk, reports: Sequence[Report], now_ns: int) -> list[Joined]:
    """Put alarms into cases, each once, whatever becomes of the case: a repeat never opens a second one.

    `reports` tell of alarms of devices, each with its matter; those whose alarm is in a case already are left out of the answer.
    """
    fresh = await _not_in_cases(conn, reports)
    if not fresh:
        return []
    groups: dict[tuple[str | None, str], list[Report]] = {}
    for told in fresh:
        groups.setdefault((told.device, told.matter.code), []).append(told)
    held = await _held(conn, desk, groups, now_ns)
    drafts = await load_many(conn, desk, list({row["id"]: row for row in held.values()}.values()))
    by_id = {draft.row["id"]: draft for draft in drafts}
    changes, openings = [], []
    for key, some in groups.items():
        draft = by_id[held[key]["id"]] if key in held else None
        if draft is not None and draft.row["state"] == State.CLOSED.value and not any(_is_back(draft, told) for told in some):
            openings += [(draft, told, False) for told in some]  # news of before it was closed
            continue
        opened = draft is None
        draft, says = _entered(desk, draft, some, now_ns)
        changes.append(Change(draft=draft, occasion=some[0].occasion, says=says))
        openings += [(draft, told, opened and told is some[0]) for told in some]
    if changes:
        await save(conn, desk, changes, now_ns)
    rows = [{"case_id": draft.row["id"], "alarm": told.alarm} for draft, told, _ in openings]
    await conn.execute(insert(case_alarms), rows)
    await conn.execute(
        update(alarm_table).where(alarm_table.c.id == bindparam("b_alarm")).values(case_id=bindparam("b_case")),
        [{"b_alarm": row["alarm"], "b_case": row["case_id"]} for row in rows],
    )
    return [Joined(draft.row, opened, told.alarm) for draft, told, opened in openings]


def _entered(desk: Desk, draft: CaseDraft | None, some: Sequence[Report], now_ns: int) -> tuple[CaseDraft, str]:
    """The draft that these reports of one device and matter make or change, and the word of its message."""
    first, *more = some
    if draft is None:
        draft, says = _begun(desk, first, now_ns, desk.policy.auto), "opened"
    elif draft.row["state"] == State.CLOSED.value:
        draft.do(system_deed(Step.REOPEN, now_ns, reason=f"the alarm is back: {first.note}"))
        draft.lift(first.priority)
        _go_on(desk, draft, now_ns, desk.policy.auto)
        says = "reopen"
    else:
        _join(draft, first, now_ns)
        says = ""
    for told in more:
        _join(draft, told, now_ns)
    return draft, says or ("joined" if draft.is_lifted else "")


def _begun(desk: Desk, told: Report, now_ns: int, auto: Auto) -> CaseDraft:
    """A new case, taken as far as `auto` says."""
    draft = CaseDraft(desk, told.matter, _row(desk, told, now_ns))
    draft.begin(
        Deed(
            step=Step.REPORT,
            actor=told.actor,
            role=told.role,
            at_ns=now_ns,
            note=told.note,
            photos=told.photos,
            position=_position(told),
        )
    )
    if auto.reach >= Auto.FILE.reach:
        draft.do(system_deed(Step.FILE, now_ns, standard=told.matter.filed_when.zh))
    if auto.reach >= Auto.DISPATCH.reach:
        draft.do(system_deed(Step.DISPATCH, now_ns, department=draft.row["department"]))
    _go_on(desk, draft, now_ns, auto)
    return draft


def _go_on(desk: Desk, draft: CaseDraft, now_ns: int, auto: Auto) -> None:
    """Give a dispatched case to who is on duty, where that is wanted and somebody is."""
    if auto is Auto.ASSIGN and draft.row["state"] == State.DISPATCHED.value:
        crew = desk.duty.crew(draft.row["department"], draft.row["district"], now_ns)
        if crew:
            draft.do(system_deed(Step.ASSIGN, now_ns, assignee=crew))


def _join(draft: CaseDraft, told: Report, now_ns: int) -> None:
    """One report more of what is known; its device can say later whether the fault is gone."""
    role = told.role if told.role in {Role.COLLECTOR, Role.OPERATOR, Role.SYSTEM} else Role.SYSTEM
    note = told.note or told.description or told.occasion
    draft.do(Deed(step=Step.JOIN, actor=told.actor, role=role, at_ns=now_ns, note=note, photos=told.photos))
    if draft.row["device"] is None and told.device is not None:
        draft.row["device"] = told.device
    draft.lift(told.priority)


def _is_back(draft: CaseDraft, told: Report) -> bool:
    return told.active or told.since_ns > draft.row["closed_ns"]


def _row(desk: Desk, told: Report, now_ns: int) -> dict[str, Any]:
    matter, district = told.matter, ""
    if (place := _position(told)) is not None:
        district = desk.duty.district(*place)
    return {
        "device": told.device,
        "matter": matter.code,
        "matter_table": f"{matter.table}@{matter.valid_from}",
        "gbt_code": _code(matter, told.component_code),
        "department": desk.duty.department(matter, district=district, owner=desk.duty.owner(told.component_code)),
        "district": district,
        "title_zh": matter.title.zh,
        "title_en": matter.title.en,
        "priority": told.priority,
        "source": told.source,
        "reporter": told.reporter,
        "description": told.description,
        "address": told.address,
        "longitude": told.longitude,
        "latitude": told.latitude,
        "opened_ns": now_ns,
        "due_ns": None,
        "closed_ns": None,
        **BLANK,
    }


def _code(matter: Matter, component: str) -> str:
    """Class and subclass: the object's own, by its 16 digits (GB/T 30428.2: six of the district, four of the class), where
    the matter is for such objects; else the matter's usual code."""
    own = component[6:10]
    return own if len(component) == 16 and own in matter.codes else matter.gbt_code


def _position(told: Report) -> tuple[float, float] | None:
    return None if told.longitude is None or told.latitude is None else (told.longitude, told.latitude)


async def _not_in_cases(conn: AsyncConnection, reports: Sequence[Report]) -> list[Report]:
    known: set[str] = set()
    for some in chunks([told.alarm for told in reports]):
        known |= set((await conn.scalars(select(case_alarms.c.alarm).where(case_alarms.c.alarm.in_(some)))).all())
    return [told for told in reports if told.alarm not in known]


async def _held(
    conn: AsyncConnection, desk: Desk, groups: Mapping[tuple[str | None, str], Sequence[Report]], now_ns: int
) -> dict[tuple[str | None, str], dict[str, Any]]:
    """(device, matter) -> the case that its reports belong to: the open one, else a citizen's nearby, else the last closed."""
    since_ns = now_ns - round(desk.policy.reopen_within_s * SECOND_NS)
    closed: dict[tuple[str | None, str], dict[str, Any]] = {}
    found: dict[tuple[str | None, str], dict[str, Any]] = {}
    just = and_(cases.c.state == State.CLOSED.value, cases.c.closed_ns >= since_ns)
    for some in chunks(sorted({device for device, _ in groups if device is not None})):
        wanted = select(cases).where(cases.c.device.in_(some), or_(cases.c.closed_ns.is_(None), just)).order_by(cases.c.id)
        for row in (await conn.execute(wanted)).mappings():
            key = row["device"], row["matter"]
            (found if row["closed_ns"] is None else closed)[key] = dict(row)
    found |= await _told_by_people(conn, desk, groups, found, now_ns)
    return {key: row for key, row in (closed | found).items() if key in groups}


async def _told_by_people(
    conn: AsyncConnection,
    desk: Desk,
    groups: Mapping[tuple[str | None, str], Sequence[Report]],
    found: Mapping[tuple[str | None, str], Any],
    now_ns: int,
) -> dict[tuple[str | None, str], dict[str, Any]]:
    """Open cases of no device, as people report them, that lie where a device now says the same; each for one device."""
    codes = sorted({matter for key in groups if key not in found for matter in key[1:]})
    wanted = select(cases).where(cases.c.device.is_(None), cases.c.closed_ns.is_(None), cases.c.matter.in_(codes))
    since_ns = now_ns - round(desk.policy.join_within_s * SECOND_NS)
    rows = (
        (await conn.execute(wanted.where(cases.c.opened_ns >= since_ns).order_by(cases.c.id))).mappings().all() if codes else []
    )
    taken: dict[tuple[str | None, str], dict[str, Any]] = {}
    for row in map(dict, rows):
        near = [
            (metres, key)
            for key, some in groups.items()
            if key not in found and key not in taken and key[1] == row["matter"]
            if (metres := _metres(some[0], row)) <= desk.policy.join_within_m
        ]
        if near:
            taken[min(near)[1]] = row
    return taken


def _metres(told: Report, row: Mapping[str, Any]) -> float:
    if told.longitude is None or told.latitude is None or row["longitude"] is None or row["latitude"] is None:
        return inf
    return distance_m(told.longitude, told.latitude, row["longitude"], row["latitude"])


async def _open_one(conn: AsyncConnection, desk: Desk, told: Report, now_ns: int) -> Mapping[str, Any] | None:
    """The open case that a person's report is about: its device's own, else the nearest."""
    if told.device is not None:
        ours = select(cases).where(cases.c.matter == told.matter.code, cases.c.closed_ns.is_(None))
        row = (await conn.execute(ours.where(cases.c.device == told.device))).mappings().first()
        if row is not None:
            return dict(row)
    if told.longitude is None or told.latitude is None:
        return None
    policy = desk.policy
    return await nearest(
        conn,
        matter=told.matter.code,
        longitude=told.longitude,
        latitude=told.latitude,
        now_ns=now_ns,
        within_m=policy.join_within_m,
        within_s=policy.join_within_s,
        device=told.device,
    )
