"""The link at the end of a message: leads to its case and keeps when it was first used. Nobody is tracked by it.

The link itself says nothing of who uses it and opens nothing that needs a login; a messenger that draws a preview of the
page may use it before its reader does.
"""

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy import select, update
from starlette.responses import RedirectResponse

from cloud.api.common import Given, NoQuery
from cloud.api.problems import ApiProblem
from cloud.relational.engine import reading, writing
from cloud.relational.tables import notifications
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter()

Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{12}$", description="the end of the link in a message")]


# For people, not for programs: it is no part of the API's description, as the console's pages are not.
@router.get("/n/{token}", response_class=RedirectResponse, include_in_schema=False)
async def open_message(token: Token, given: Given, _: NoQuery) -> RedirectResponse:
    """On to the case, or to the list of cases where the message is a digest; the first use is kept as `opened`."""
    wanted = select(notifications.c.id, notifications.c.case_id, notifications.c.opened_ns).where(notifications.c.token == token)
    async with reading(given.engine) as conn:
        row = (await conn.execute(wanted)).first()
    if row is None:
        raise ApiProblem(Reason.NOT_FOUND, "no message has this link")
    if row.opened_ns is None:
        first = update(notifications).where(notifications.c.id == row.id, notifications.c.opened_ns.is_(None))
        async with writing(given.engine) as conn:
            await conn.execute(first.values(opened_ns=given.clock.wall_ns()))
    page = "/cases" if row.case_id is None else f"/cases/{row.case_id}"
    return RedirectResponse(page, status_code=302, headers={"Cache-Control": "no-store"})
