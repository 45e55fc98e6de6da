"""Which alarms a list shows: the query, and what each of its words means on a row of `alarm_select`."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.api.alarm_acts import SUPPRESSED
from cloud.api.common import Id, PageQuery
from cloud.api.schemas import Printable
from cloud.relational.tables import alarms, cases, devices, suppressions
from cloud.watch.names import FEEDER, GATEWAY, TITLES
from device_profiles.model import Profile
from telemetry.alarm_states import ACTIVE, AlarmState, Suppression

__all__ = ["OF_GATEWAY", "AlarmQuery", "alarm_select", "cause_of", "chosen", "explained"]

IS_OPEN: Final = and_(alarms.c.state != literal_column("'normal'"))
"""Written out, for a database uses the index of the open alarms only where it reads the word itself."""

OF_GATEWAY: Final = func.coalesce(devices.c.gateway, alarms.c.device)
"""The gateway of a row: its device's, or, for an alarm of a gateway itself, the one it is about."""

_ACTIVE: Final = tuple(sorted(state.value for state in ACTIVE))
_SEEN: Final = (AlarmState.ACKNOWLEDGED.value, AlarmState.LATCHED_ACKNOWLEDGED.value)
_CAUSES: Final = (GATEWAY, FEEDER)


class AlarmQuery(PageQuery):
    """Which alarms."""

    state: Literal["open", "all"] = Field("open", description="open: everything a person still sees; all: the past too")
    device: Id | None = Field(None, description="only of this device")
    suppression: Literal["none", "any", "all", "shelved", "suppressed_by_design", "out_of_service"] | None = Field(
        None,
        description="none: people are told of them; any: they are not, for whatever reason; one: for this reason; all: both. "
        "Left out: none of the open alarms, all of the past",
    )
    priority: list[Literal["critical", "high", "medium", "low"]] = Field([], max_length=4, description="only of these")
    kind: Id | None = Field(None, description="only of this kind of device")
    district: Id | None = Field(None, description="only those whose case lies in this district")
    gateway: Id | None = Field(None, description="only of this gateway and its devices")
    acknowledged: bool | None = Field(None, description="whether somebody has seen it")
    active: bool | None = Field(None, description="whether its condition holds")
    cause: Annotated[str, Field(min_length=1, max_length=160), Printable] | None = Field(
        None, description="only what this occurrence, or this planned work, explains now"
    )
    q: Annotated[str, Field(max_length=100), Printable] = Field(
        "", description="in the device's id, name or component code, or in the alarm's title; case does not matter"
    )


def alarm_select() -> Select[Any]:
    """Rows of `alarms` with their device, their suppression and where their case stands."""
    device = (devices.c.name.label("device_name"), devices.c.kind.label("device_kind"), devices.c.gateway.label("device_gateway"))
    kept = (suppressions.c.shelf, suppressions.c.by_design, suppressions.c.out_of_service, suppressions.c.shelved_until_ns)
    case = tuple(cases.c[name].label(f"case_{name}") for name in ("state", "assignee", "district"))
    own = and_(suppressions.c.device == alarms.c.device, suppressions.c.rule == alarms.c.rule)
    wanted = select(alarms, *device, *kept, suppressions.c.suppressed_by, suppressions.c.shown.label("suppressed"), *case)
    joined = wanted.outerjoin(devices, devices.c.id == alarms.c.device).outerjoin(suppressions, own)
    return joined.outerjoin(cases, cases.c.id == alarms.c.case_id)


def chosen(query: AlarmQuery, catalog: Mapping[str, Profile]) -> Iterator[ColumnElement[bool]]:
    """The conditions that a query means, on rows of `alarm_select`."""
    if query.state == "open":
        yield IS_OPEN
    if (kept := _suppressed(query.suppression or ("none" if query.state == "open" else "all"))) is not None:
        yield kept
    same = ((alarms.c.device, query.device), (devices.c.kind, query.kind), (cases.c.district, query.district))
    yield from (column == value for column, value in (*same, (OF_GATEWAY, query.gateway)) if value is not None)
    if query.priority:
        yield alarms.c.priority.in_(query.priority)
    for wanted, words in ((query.acknowledged, _SEEN), (query.active, _ACTIVE)):
        if wanted is not None:
            yield alarms.c.state.in_(words) if wanted else alarms.c.state.not_in(words)
    if query.cause is not None:
        # The column holds JSON text; within it an id stands as JSON writes it.
        yield and_(suppressions.c.by_design, _links().contains(json.dumps(query.cause), autoescape=True))
    if query.q.strip():
        yield _says(query.q.strip(), catalog)


def cause_of(links: list[str] | None) -> str | None:
    """What an alarm is folded under, by what suppresses it by design: the gateway, or the name of the feeder; else the device
    of another alarm, or the planned work. None where nothing explains it."""
    parts = [link.split("/") for link in links or ()]
    strong = [part[0] for part in parts if len(part) > 1 and part[1] in _CAUSES]
    return next(iter([*strong, *(part[0] for part in parts)]), None)


async def explained(conn: AsyncConnection) -> dict[str, int]:
    """How many open alarms each occurrence, or planned work, explains now. Those that one thing explains are counted
    together: what is read is as long as there are causes, not as there are alarms."""
    own = and_(suppressions.c.device == alarms.c.device, suppressions.c.rule == alarms.c.rule)
    by = _links()
    wanted = select(by, func.count()).join(alarms, own).where(suppressions.c.shown != "", suppressions.c.by_design, IS_OPEN)
    counts: dict[str, int] = {}
    for links, number in (await conn.execute(wanted.group_by(by))).all():
        for link in json.loads(links):
            counts[link] = counts.get(link, 0) + number
    return counts


def _links() -> ColumnElement[str]:
    return cast(suppressions.c.suppressed_by, Text)


def _says(text: str, catalog: Mapping[str, Profile]) -> ColumnElement[bool]:
    """A title is not in the store: it is looked for in the profiles, and what bears it by its rule."""
    sought = text.casefold()
    titles = [(rule.name, rule.title) for profile in catalog.values() for rule in profile.alarms.values()]
    named = {name for name, title in (*titles, *TITLES.items()) if sought in f"{title.zh}\n{title.en}\n{name}".casefold()}
    columns = (alarms.c.device, devices.c.name, devices.c.component_code)
    return or_(*(column.icontains(text, autoescape=True) for column in columns), alarms.c.rule.in_(sorted(named)))


def _suppressed(which: str) -> ColumnElement[bool] | None:
    """The condition that a query's `suppression` means; None where it means all."""
    match which:
        case "all":
            return None
        case "none":
            return or_(suppressions.c.shown.is_(None), suppressions.c.shown == "")
        case "any":
            return suppressions.c.shown != ""
        case _:
            return SUPPRESSED[Suppression(which)]
