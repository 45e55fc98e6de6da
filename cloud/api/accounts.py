"""The administrator's routes: who has an account, and who did what."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import RowMapping

from cloud.accounts import trail, users
from cloud.accounts.rights import Act
from cloud.accounts.roles import AccountRole, Grant
from cloud.accounts.users import Account, Change
from cloud.api import account_schemas as schemas
from cloud.api.actor import Actor, allowed
from cloud.api.common import Given, NoQuery, PageQuery
from cloud.api.cursors import Whole, next_cursor, read_cursor
from cloud.api.problems import ApiProblem, describe
from cloud.api.schemas import Instant, Printable
from cloud.api.session import Door
from cloud.api.times import iso, to_ns
from cloud.relational.engine import reading
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["accounts"])

Admin = Annotated[Actor, allowed(Act.USERS)]
Auditor = Annotated[Actor, allowed(Act.AUDIT)]
UserName = Annotated[str, Path(alias="name", min_length=1, max_length=64)]


class TrailQuery(PageQuery):
    """Which rows of the trail."""

    actor: Annotated[str, Printable] | None = Field(None, max_length=128, description="only what this account did")
    target: Annotated[str, Printable] | None = Field(None, max_length=200, description="only what was done to this id")
    start: Instant | None = Field(None, description="ISO 8601 with zone, included")
    end: Instant | None = Field(None, description="ISO 8601 with zone, excluded")


@router.get("/users", summary="Who has an account", response_model=schemas.UserPage, responses=describe(401, 403))
async def list_users(door: Door, _: Admin, query: Annotated[PageQuery, Query()]) -> dict[str, Any]:
    """In order of name; disabled ones, too."""
    after = read_cursor(query.cursor, tuple[str])
    found = await door.page(after[0] if after else "", query.limit + 1)
    page = found[: query.limit]
    more = next_cursor(page[-1].name) if len(found) > query.limit else None
    return {"items": [_shown(account) for account in page], "next": more}


@router.post("/users", summary="Give somebody an account", response_model=schemas.User, responses=describe(401, 403, 409, 413))
async def add_user(door: Door, admin: Admin, new: schemas.NewUser, _: NoQuery) -> dict[str, Any]:
    """Names are folded: Li.Wei is li.wei. 409 where the name is taken, 422 where the password is not one to take."""
    grants = _grants(new.roles)
    admin.heard.detail = {"name": users.folded(new.name), "roles": msgspec.to_builtins(grants)}
    return _shown(await door.add(new.name, new.password, grants, new.display))


@router.patch(
    "/users/{name}", summary="Change somebody's account", response_model=schemas.User, responses=describe(401, 403, 404, 409, 413)
)
async def change_user(door: Door, admin: Admin, name: UserName, change: schemas.UserChange, _: NoQuery) -> dict[str, Any]:
    """Roles hold from the next request on. Accounts are disabled, never deleted. 409 where one would lock oneself out."""
    grants = None if change.roles is None else _grants(change.roles)
    if users.folded(name) == admin.name and (change.disabled or (grants is not None and Grant(AccountRole.ADMIN) not in grants)):
        raise ApiProblem(Reason.CONFLICT, f"account {admin.name}: nobody takes away their own administration")
    said = change.model_dump(exclude_none=True)
    admin.heard.detail = {"changed": sorted(said), **{word: said[word] for word in sorted(said) if word != "password"}}
    wanted = Change(display=change.display, grants=grants, disabled=change.disabled)
    return _shown(await door.change(name, wanted, change.password))


@router.get("/audit", summary="Who did what", response_model=schemas.TrailPage, responses=describe(401, 403))
async def list_trail(given: Given, _: Auditor, query: Annotated[TrailQuery, Query()]) -> dict[str, Any]:
    """Newest first. Everything that changed something or was refused, logins too; what is read leaves no row."""
    before = read_cursor(query.cursor, tuple[Whole])
    wanted = trail.found(
        actor=query.actor,
        target=query.target,
        from_ns=_ns(query.start),
        until_ns=_ns(query.end),
        before=before[0] if before else None,
        limit=query.limit + 1,
    )
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
    page = rows[: query.limit]
    more = next_cursor(page[-1]["id"]) if len(rows) > query.limit else None
    return {"items": [_shown_row(row) for row in page], "next": more}


def _grants(roles: Sequence[schemas.RoleGiven]) -> tuple[Grant, ...]:
    return tuple(Grant(AccountRole(role.role), role.district.strip(), role.department.strip()) for role in roles)


def _ns(moment: str | None) -> int | None:
    return None if moment is None else to_ns(datetime.fromisoformat(moment))


def _shown(account: Account) -> dict[str, Any]:
    return {
        **{name: getattr(account, name) for name in ("name", "display", "disabled", "sessions")},
        "roles": msgspec.to_builtins(account.grants),
        "created": iso(account.created_ns),
        "changed": iso(account.changed_ns),
    }


def _shown_row(row: RowMapping) -> dict[str, Any]:
    same = ("id", "actor", "role", "action", "target", "detail", "address", "outcome")
    return {**{name: row[name] for name in same}, "at": iso(row["at_ns"])}
