"""What the routes that act on alarms share: one transaction, then the news."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import StringConstraints
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.announce import announce, tell
from cloud.alarms.log import NOTHING, Recorded
from cloud.api.problems import describe
from cloud.api.services import Services
from cloud.relational.engine import writing
from cloud.relational.tables import suppressions
from telemetry.alarm_states import Shelf, Suppression

__all__ = ["ACT_PROBLEMS", "SUPPRESSED", "Act", "AlarmId", "AlarmPath", "acting", "suppression_of"]

AlarmId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-/]{1,160}$")]
AlarmPath = Annotated[AlarmId, Path(alias="id")]
ACT_PROBLEMS: Final = describe(403, 404, 409, 413)

SUPPRESSED: Final[Mapping[Suppression, ColumnElement[bool]]] = {
    Suppression.OUT_OF_SERVICE: suppressions.c.out_of_service,
    Suppression.SUPPRESSED_BY_DESIGN: suppressions.c.by_design,
    Suppression.SHELVED: suppressions.c.shelf != Shelf.UNSHELVED.value,
}


@dataclass(slots=True)
class Act:
    """One act under way; who acts leaves in `did` what was recorded."""

    conn: AsyncConnection
    now_ns: int
    did: Recorded = NOTHING


@contextlib.asynccontextmanager
async def acting(given: Services) -> AsyncIterator[Act]:
    """The transaction of an act. At its end what people are now to be told opens its cases; after the commit it is news."""
    async with writing(given.engine) as conn:
        act = Act(conn, given.clock.wall_ns())
        yield act
        joined = await announce(conn, act.did, desk=given.desk, now_ns=act.now_ns)
    tell(given.feed, act.did, joined)
    given.notify()


def suppression_of(row: Mapping[str, Any]) -> list[str]:
    """The suppressions that hold, the strongest first, by the columns of `suppressions` in a row; they may all be empty."""
    holds = {
        Suppression.OUT_OF_SERVICE: row["out_of_service"],
        Suppression.SUPPRESSED_BY_DESIGN: row["by_design"],
        Suppression.SHELVED: row["shelf"] not in {None, Shelf.UNSHELVED.value},
    }
    return [why.value for why in Suppression if holds[why]]
