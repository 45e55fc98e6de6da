"""Keys of programs: dashboards, exports, a city's other systems. A key acts by roles of its own, never as a person.

Like a session's token, a key is 256 random bits that are told once; the store has its SHA-256. It begins with `cnk_`, so
that it is known as one where it lies about.
"""

import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.accounts.errors import AccountError
from cloud.accounts.roles import Grant, check_grants, grants_from
from cloud.accounts.sessions import key_of
from cloud.relational.tables import api_keys
from telemetry.reason import Reason

__all__ = ["PREFIX", "ApiKey", "add", "find", "page", "revoke", "touch"]

PREFIX: Final = "cnk_"
_SHOWN: Final = 8


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key. `begins` are its first characters, by which its holder knows it; `reads_only`: it changes nothing."""

    name: str
    begins: str
    grants: tuple[Grant, ...]
    reads_only: bool
    made_by: str
    created_ns: int
    used_ns: int | None
    expires_ns: int | None
    revoked_ns: int | None


async def add(  # noqa: PLR0917 - one row
    conn: AsyncConnection,
    name: str,
    grants: Sequence[Grant],
    made_by: str,
    now_ns: int,
    expires_ns: int | None,
    *,
    reads_only: bool,
) -> tuple[str, ApiKey]:
    """A new key and its token. AccountError: CONFLICT where the name was given before, INVALID for roles that are none."""
    if (wrong := check_grants(grants)) is not None:
        raise AccountError(Reason.INVALID, wrong)
    if expires_ns is not None and expires_ns <= now_ns:
        raise AccountError(Reason.INVALID, "the key would be over before it began")
    token = PREFIX + secrets.token_urlsafe(32)
    row: dict[str, Any] = {
        "name": name,
        "key": key_of(token),
        "begins": token[:_SHOWN],
        "roles": msgspec.to_builtins(tuple(grants)),
        "reads_only": reads_only,
        "made_by": made_by,
        "created_ns": now_ns,
        "expires_ns": expires_ns,
    }
    try:
        async with conn.begin_nested():
            await conn.execute(api_keys.insert().values(row))
    except IntegrityError as error:
        raise AccountError(Reason.CONFLICT, f"key {name}: there is or was one of this name") from error
    made = (await conn.execute(select(api_keys).where(api_keys.c.name == name))).mappings().one()
    return token, _key(made)


async def find(conn: AsyncConnection, token: str, now_ns: int) -> ApiKey | None:
    """The key of `token` where it is good now."""
    good = (api_keys.c.revoked_ns.is_(None), or_(api_keys.c.expires_ns.is_(None), api_keys.c.expires_ns > now_ns))
    row = (await conn.execute(select(api_keys).where(api_keys.c.key == key_of(token), *good))).mappings().first()
    return None if row is None else _key(row)


async def touch(conn: AsyncConnection, name: str, now_ns: int) -> None:
    """It was used."""
    await conn.execute(update(api_keys).where(api_keys.c.name == name).values(used_ns=now_ns))


async def page(conn: AsyncConnection, after: str, limit: int) -> list[ApiKey]:
    """The keys whose names follow `after`, those that are over, too."""
    wanted = select(api_keys).where(api_keys.c.name > after).order_by(api_keys.c.name).limit(limit)
    return [_key(row) for row in (await conn.execute(wanted)).mappings()]


async def revoke(conn: AsyncConnection, name: str, now_ns: int) -> ApiKey:
    """Nobody gets in by it from now on; done again, it changes nothing. AccountError: NOT_FOUND."""
    mine = api_keys.c.name == name
    await conn.execute(update(api_keys).where(mine, api_keys.c.revoked_ns.is_(None)).values(revoked_ns=now_ns))
    row = (await conn.execute(select(api_keys).where(mine))).mappings().first()
    if row is None:
        raise AccountError(Reason.NOT_FOUND, f"key {name}: there is none")
    return _key(row)


def _key(row: RowMapping) -> ApiKey:
    same = ("name", "begins", "reads_only", "made_by", "created_ns", "used_ns", "expires_ns", "revoked_ns")
    return ApiKey(grants=grants_from(row["roles"]), **{name: row[name] for name in same})
