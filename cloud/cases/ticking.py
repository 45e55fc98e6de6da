"""What falls due in cases by itself: warnings, overdue, escalation, tasks that nobody took, holds that are over."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.cases.desk import Desk
from cloud.cases.facts import load
from cloud.cases.policy import Due
from cloud.cases.saving import Change, save
from cloud.cases.steps import system_deed
from cloud.cases.telling import case_news, who_hears
from cloud.feed import Feed
from cloud.notify import outbox
from cloud.relational.engine import reading, writing
from cloud.relational.tables import cases, deadlines
from cloud.workflow.case import Deed
from cloud.workflow.states import ENDED, State, Step
from cloud.workflow.terms import Told

__all__ = ["CaseTicker"]

_MOST: Final = 200
"""Deadlines in one transaction: others want to write, too."""

_HEARS: Final = {
    Due.REMIND: frozenset({Told.ASSIGNEE, Told.DEPARTMENT}),
    Due.ESCALATE: frozenset({Told.SUPERVISOR, Told.SHIFT_LEAD}),
    Due.OVERDUE: frozenset({Told.ASSIGNEE, Told.DEPARTMENT, Told.SHIFT_LEAD}),
    Due.UNREAD: frozenset({Told.ASSIGNEE}),
    Due.UNHEARD: frozenset({Told.SUPERVISOR, Told.SHIFT_LEAD}),
}
"""Who hears of what about the handling; of the desk's own clocks it is the desk that hears."""
_DESK: Final = frozenset({Told.OPERATOR, Told.DISPATCHER, Told.SHIFT_LEAD})
_DEPARTMENT: Final = frozenset({Told.DEPARTMENT, Told.SHIFT_LEAD})
_BY_PEOPLE: Final = frozenset({State.REPORTED.value, State.FILED.value, State.VERIFYING.value, State.CHECKING.value})


class CaseTicker:
    """Goes through the deadlines that have come, oldest first; what it did is in the store before anybody is told."""

    def __init__(self, engine: AsyncEngine, desk: Desk, feed: Feed, notify: Callable[[], None]) -> None:
        self._engine = engine
        self._desk = desk
        self._feed = feed
        self._notify = notify

    async def tick(self, now_ns: int) -> None:
        """Everything that is due."""
        while await self._some(now_ns):
            pass

    async def _some(self, now_ns: int) -> bool:
        waiting = select(deadlines).where(deadlines.c.done_ns.is_(None), deadlines.c.due_ns <= now_ns)
        wanted = waiting.order_by(deadlines.c.due_ns, deadlines.c.id).limit(_MOST)
        async with reading(self._engine) as conn:
            if (await conn.execute(wanted.limit(1))).first() is None:
                return False
        news: dict[int, dict[str, Any]] = {}
        async with writing(self._engine) as conn:
            due = (await conn.execute(wanted)).mappings().all()
            ids = [row["id"] for row in due]
            await conn.execute(update(deadlines).where(deadlines.c.id.in_(ids)).values(done_ns=now_ns))
            for row in due:
                changed = await self._see_to(conn, row["case_id"], Due(row["what"]), row["id"], now_ns)
                news |= {row["case_id"]: changed} if changed else {}
        for case in news.values():
            self._feed.publish("case", case_news(case))
        if due:
            self._notify()
        return len(due) == _MOST

    async def _see_to(self, conn: AsyncConnection, case_id: int, what: Due, deadline: int, now_ns: int) -> dict[str, Any] | None:
        """Do what one deadline asks for; the case's row where that changed it."""
        match what:
            case Due.HOLD_OVER:
                return await self._step(conn, case_id, State.HOLD, system_deed(Step.HOLD_OVER, now_ns), "hold_over")
            case Due.UNTAKEN | Due.PASS_ON:
                return await self._pass_on(conn, case_id, what, deadline, now_ns)
            case _:
                await self._tell(conn, case_id, what, deadline, now_ns)
                return None

    async def _pass_on(self, conn: AsyncConnection, case_id: int, what: Due, deadline: int, now_ns: int) -> dict[str, Any] | None:
        """The task goes to the next person on duty, or stays where there is nobody and its department hears."""
        row = (await conn.execute(select(cases).where(cases.c.id == case_id))).mappings().one()
        if row["state"] != State.HANDLING.value:
            return None
        duty = self._desk.duty
        following = duty.next_person(row["department"], row["district"], now_ns, row["assignee"])
        if not following or following == row["assignee"]:
            await self._say(conn, row, what, hears=_DEPARTMENT, occasion=f"deadline/{deadline}", now_ns=now_ns)
            return None
        deed = system_deed(Step.ASSIGN, now_ns, assignee=following, note=f"after {row['assignee']}: {what}")
        return await self._step(conn, case_id, State.HANDLING, deed, what.value)

    async def _step(self, conn: AsyncConnection, case_id: int, state: State, deed: Deed, says: str) -> dict[str, Any] | None:
        draft = await load(conn, self._desk, case_id)
        if draft.row["state"] != state.value:
            return None
        draft.do(deed)
        occasion = f"case/{case_id}/{draft.row['version'] + 1}"
        await save(conn, self._desk, [Change(draft=draft, occasion=occasion, says=says)], deed.at_ns)
        return draft.row

    async def _tell(self, conn: AsyncConnection, case_id: int, what: Due, deadline: int, now_ns: int) -> None:
        row = (await conn.execute(select(cases).where(cases.c.id == case_id))).mappings().one()
        if State(row["state"]) in ENDED:
            return
        hears = _DESK if row["state"] in _BY_PEOPLE else _HEARS[what]
        await self._say(conn, row, what, hears=hears, occasion=f"deadline/{deadline}", now_ns=now_ns)

    async def _say(
        self, conn: AsyncConnection, row: Any, what: Due, *, hears: frozenset[Told], occasion: str, now_ns: int
    ) -> None:
        heard = who_hears(self._desk, row, hears, _tasks(row))
        due = [outbox.Due(case=row, step=what.value, occasion=occasion, only=heard)]
        await outbox.enqueue_all(conn, due, channels=self._desk.channels, now_ns=now_ns)


def _tasks(row: Any) -> Sequence[str]:
    return [row["assignee"]] if row["assignee"] else []
