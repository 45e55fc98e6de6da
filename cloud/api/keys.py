"""Keys of programs, as the administrator gives and takes them."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field

from cloud.accounts import keys
from cloud.accounts.keys import ApiKey
from cloud.accounts.rights import Act
from cloud.accounts.roles import AccountRole, Grant
from cloud.api import account_schemas, examples
from cloud.api.actor import Actor, allowed
from cloud.api.common import Given, Id, NoQuery, PageQuery
from cloud.api.cursors import next_cursor, read_cursor
from cloud.api.problems import describe
from cloud.api.schemas import Answer, Body, Instant, example
from cloud.api.times import iso, to_ns
from cloud.relational.engine import reading, writing

__all__ = ["router"]

router = APIRouter(tags=["accounts"])

Admin = Annotated[Actor, allowed(Act.USERS)]
KeyName = Annotated[Id, Path(alias="name")]

_KEY: Final[dict[str, Any]] = {
    "name": "grafana",
    "begins": "cnk_9f3a",
    "roles": [{"role": "inspector", "district": "", "department": ""}],
    "reads_only": True,
    "made_by": "chief",
    "created": examples.AT,
    "used": None,
    "expires": None,
    "revoked": None,
}


class Key(Answer):
    """One key; `begins` are its first characters. Who holds it acts by `roles`; `reads_only`: it changes nothing."""

    model_config = example(**_KEY)
    name: str
    begins: str
    roles: list[account_schemas.RoleInfo]
    reads_only: bool
    made_by: str
    created: str
    used: str | None
    expires: str | None
    revoked: str | None


class NewKey(Key):
    """A key that was just made. `token` is told only here; it goes into `Authorization: Bearer`."""

    model_config = example(**_KEY, token="the token, which is told only here")  # noqa: S106 - an example says what stands here
    token: str


class KeyPage(Answer):
    model_config = example(items=[_KEY], next=None)
    items: list[Key]
    next: str | None


class KeyWanted(Body):
    """What a new key is to be."""

    name: Id
    roles: list[account_schemas.RoleGiven] = Field(min_length=1, max_length=20)
    reads_only: bool = True
    expires: Instant | None = Field(None, description="ISO 8601 with zone; never, where left out")


@router.get("/keys", summary="Keys of programs", response_model=KeyPage, responses=describe(401, 403))
async def list_keys(given: Given, _: Admin, query: Annotated[PageQuery, Query()]) -> dict[str, Any]:
    """In order of name; those that are over, too."""
    after = read_cursor(query.cursor, tuple[str])
    async with reading(given.engine) as conn:
        found = await keys.page(conn, after[0] if after else "", query.limit + 1)
    page = found[: query.limit]
    more = next_cursor(page[-1].name) if len(found) > query.limit else None
    return {"items": [_shown(key) for key in page], "next": more}


@router.post("/keys", summary="Give a program a key", response_model=NewKey, responses=describe(401, 403, 409, 413))
async def add_key(given: Given, admin: Admin, wanted: KeyWanted, _: NoQuery) -> dict[str, Any]:
    """409 where the name was given before: what a key did is found under its name for ever."""
    grants = tuple(Grant(AccountRole(one.role), one.district.strip(), one.department.strip()) for one in wanted.roles)
    expires_ns = None if wanted.expires is None else to_ns(datetime.fromisoformat(wanted.expires))
    admin.heard.detail = {"name": wanted.name, "roles": msgspec.to_builtins(grants), "reads_only": wanted.reads_only}
    async with writing(given.engine) as conn:
        token, made = await keys.add(
            conn, wanted.name, grants, admin.name, given.clock.wall_ns(), expires_ns, reads_only=wanted.reads_only
        )
    return {**_shown(made), "token": token}


@router.delete("/keys/{name}", summary="Take a key away", response_model=Key, responses=describe(401, 403, 404))
async def revoke_key(given: Given, _: Admin, name: KeyName, __: NoQuery) -> dict[str, Any]:
    """From the next request on; streams that it opened end within seconds."""
    async with writing(given.engine) as conn:
        return _shown(await keys.revoke(conn, name, given.clock.wall_ns()))


def _shown(key: ApiKey) -> dict[str, Any]:
    times = {"created": key.created_ns, "used": key.used_ns, "expires": key.expires_ns, "revoked": key.revoked_ns}
    return {
        **{name: getattr(key, name) for name in ("name", "begins", "reads_only", "made_by")},
        "roles": msgspec.to_builtins(key.grants),
        **{name: iso(at_ns) for name, at_ns in times.items()},
    }
