"""Who is told of what happened to a case: the channels of groups, and those people whom the workflow's table names."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.cases.desk import Desk
from cloud.cases.draft import CaseDraft
from cloud.notify import outbox
from cloud.notify.config import PERSONAL
from cloud.notify.people import Person
from cloud.workflow.terms import Told

__all__ = ["Telling", "case_news", "tell", "who_hears"]


class Telling(msgspec.Struct, frozen=True):
    """What is to be told of a draft: what makes it happen once, and the word of the message, "" for none."""

    draft: CaseDraft
    occasion: str
    says: str


async def tell(conn: AsyncConnection, desk: Desk, tellings: Iterable[Telling], now_ns: int) -> None:
    """Put the messages into the outbox."""
    due = []
    for telling in tellings:
        told = telling.draft.told()
        if told and telling.says:
            tasks = {taken.assignee for taken in telling.draft.taken} | {telling.draft.row["assignee"]}
            heard = who_hears(desk, telling.draft.row, told, tasks)
            due.append(outbox.Due(case=telling.draft.row, step=telling.says, occasion=telling.occasion, only=heard))
    await outbox.enqueue_all(conn, due, channels=desk.channels, now_ns=now_ns)


def who_hears(desk: Desk, case: Mapping[str, Any], told: Collection[Told], tasks: Collection[str]) -> frozenset[str]:
    """The names of channels and people that hear of it: each group's channel, and each person by office or by name.

    A person without offices hears of everything; `tasks` are the names of those whose task the case is, or was.
    """
    groups = {channel.name for channel in desk.channels if channel.kind not in PERSONAL}
    people = [person for channel in desk.channels for person in channel.people]
    return frozenset(groups | {person.name for person in people if _hears(person, case, told, tasks)})


def _hears(person: Person, case: Mapping[str, Any], told: Collection[Told], tasks: Collection[str]) -> bool:
    if not person.offices:
        return True
    if Told.ASSIGNEE in told and person.name in tasks:
        return True
    ours = not person.departments or case["department"] in person.departments
    here = not person.districts or case["district"] in person.districts
    return ours and here and any(office in told for office in person.offices if office != Told.ASSIGNEE)


def case_news(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the feed tells of a row of `cases`."""
    return {name: row[name] for name in ("id", "device", "matter", "priority", "state", "assignee", "version")}
