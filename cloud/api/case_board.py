"""The board of cases: for each state how many there are, and the cards that are the most urgent."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.api import examples
from cloud.api.actor import Acting
from cloud.api.case_schemas import Case
from cloud.api.cases import case_select, shown_case
from cloud.api.common import Given, Id, StrictQuery
from cloud.api.schemas import Answer, Printable
from cloud.relational.chunks import chunks
from cloud.relational.engine import reading
from cloud.relational.tables import case_steps, cases
from cloud.workflow.states import ENDED, State
from telemetry.clock import SECOND_NS

__all__ = ["router"]

router = APIRouter(tags=["cases"])

_DAY_NS: Final = 86_400 * SECOND_NS
_ENDED: Final = tuple(sorted(state.value for state in ENDED))
_PHOTOS: Final = 3


class BoardQuery(StrictQuery):
    """Whose cases, and how many cards of each state."""

    department: Annotated[str, Field(max_length=64), Printable] | None = Field(None, description="only of this department")
    district: Id | None = Field(None, description="only of this district")
    assignee: Annotated[str, Field(max_length=128), Printable] | None = Field(None, description="only this person's tasks")
    limit: int = Field(50, ge=1, le=200, description="most cards of one state")
    days: int = Field(7, ge=1, le=366, description="of those that have ended, only these last days'")


class Card(Case):
    """A case with its newest photos, three at most; `extensions` how often its limit was extended."""

    photos: list[str]
    extensions: int


class Column(Answer):
    """The cases of one state: how many there are, and the first of them; those that are due first stand first, of those that
    have ended the newest."""

    state: str
    count: int
    items: list[Card]


class Board(Answer):
    """Every state, in the order of the workflow. `extended` and `reworked` count among those that have not ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "columns": [{"state": "dispatched", "count": 1, "items": [{**examples.CASE, "photos": [], "extensions": 0}]}],
                "extended": 0,
                "reworked": 0,
            }
        }
    )
    columns: list[Column]
    extended: int
    reworked: int


@router.get("/board", summary="The board of cases", response_model=Board)
async def get_board(given: Given, who: Acting, query: Annotated[BoardQuery, Query()]) -> dict[str, Any]:
    """Counts are of all cases that may be read, whatever `limit` is."""
    now_ns = given.clock.wall_ns()
    wanted = _wanted(query, who.seen(cases.c.district), now_ns)
    async with reading(given.engine) as conn:
        counted = select(cases.c.state, func.count()).where(wanted).group_by(cases.c.state)
        counts = {row[0]: row[1] for row in (await conn.execute(counted)).all()}
        rows = {state: await _first(conn, state, wanted, query.limit) for state in State if state.value in counts}
        photos = await _photos(conn, [row["id"] for found in rows.values() for row in found])
        is_open = and_(wanted, cases.c.closed_ns.is_(None))
        extended = await conn.scalar(select(func.count()).select_from(cases).where(is_open, cases.c.extensions > 0))
        reworked = await conn.scalar(select(func.count()).select_from(cases).where(is_open, cases.c.reworks > 0))
    columns = [
        {
            "state": state.value,
            "count": counts.get(state.value, 0),
            "items": [_card(row, photos.get(row["id"], []), now_ns) for row in rows.get(state, ())],
        }
        for state in State
    ]
    return {"columns": columns, "extended": extended or 0, "reworked": reworked or 0}


def _wanted(query: BoardQuery, seen: ColumnElement[bool], now_ns: int) -> ColumnElement[bool]:
    lately = or_(cases.c.closed_ns.is_(None), cases.c.closed_ns > now_ns - query.days * _DAY_NS)
    same = [
        cases.c[name] == value for name in ("department", "district", "assignee") if (value := getattr(query, name)) is not None
    ]
    return and_(seen, lately, *same)


async def _first(conn: AsyncConnection, state: State, wanted: ColumnElement[bool], limit: int) -> Sequence[Mapping[str, Any]]:
    urgent = (cases.c.due_ns.is_(None), cases.c.due_ns, cases.c.id)
    order = (cases.c.closed_ns.desc(), cases.c.id) if state.value in _ENDED else urgent
    found = case_select().where(cases.c.state == state.value, wanted).order_by(*order).limit(limit)
    return [dict(row) for row in (await conn.execute(found)).mappings()]


async def _photos(conn: AsyncConnection, wanted: Sequence[int]) -> dict[int, list[str]]:
    shown: dict[int, list[str]] = {}
    for some in chunks(wanted):
        steps = select(case_steps.c.case_id, case_steps.c.photos).where(case_steps.c.case_id.in_(some))
        for row in (await conn.execute(steps.order_by(case_steps.c.id.desc()))).all():
            if row.photos:
                kept = shown.setdefault(row.case_id, [])
                kept += row.photos[: _PHOTOS - len(kept)]
    return shown


def _card(row: Mapping[str, Any], photos: list[str], now_ns: int) -> dict[str, Any]:
    return {**shown_case(row, now_ns), "photos": photos, "extensions": row["extensions"]}
