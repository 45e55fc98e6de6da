"""The accounts in the store. A name is folded, so that Li.Wei and li.wei are one person."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.accounts.errors import AccountError
from cloud.accounts.roles import Grant, check_grants, grants_from
from cloud.relational.tables import sessions, users
from telemetry.reason import Reason

__all__ = ["Account", "Change", "account_of", "add", "any_account", "change", "find", "folded", "get", "page", "rehash"]

_NAME: Final = re.compile(r"[^\W_][\w.\-]{0,63}")
_DISPLAY: Final = 128
_RESERVED: Final = frozenset({"system"})
"""Who the workflow says that it was when it was nobody."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One person who may log in; `sessions` is how many there are, expired ones too until they are swept out."""

    id: int
    name: str
    display: str
    grants: tuple[Grant, ...]
    disabled: bool
    created_ns: int
    changed_ns: int
    sessions: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be another way; None stays as it is. `password` is the hash."""

    display: str | None = None
    grants: tuple[Grant, ...] | None = None
    disabled: bool | None = None
    password: str | None = None


def folded(name: str) -> str:
    """The one form of a name that may be typed in several."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


async def any_account(conn: AsyncConnection) -> bool:
    """Whether there is one at all; a disabled one is one, too."""
    return await conn.scalar(select(users.c.id).limit(1)) is not None


async def find(conn: AsyncConnection, name: str) -> tuple[Account, str] | None:
    """The account of `name` and its password's hash, or None."""
    if "\0" in name:
        return None
    row = (await conn.execute(_select().where(users.c.name == folded(name)))).mappings().first()
    return None if row is None else (account_of(row), row["password"])


async def get(conn: AsyncConnection, name: str) -> Account:
    """The account of `name`; AccountError (NOT_FOUND) where there is none."""
    found = await find(conn, name)
    if found is None:
        raise AccountError(Reason.NOT_FOUND, f"account {folded(name)[:64]}: there is none")
    return found[0]


async def page(conn: AsyncConnection, after: str, limit: int) -> list[Account]:
    """The accounts whose names follow `after`, in order of their names."""
    wanted = _select().where(users.c.name > after).order_by(users.c.name).limit(limit)
    return [account_of(row) for row in (await conn.execute(wanted)).mappings()]


async def add(conn: AsyncConnection, name: str, *, display: str, grants: Sequence[Grant], password: str, now_ns: int) -> Account:
    """One more account; `password` is the hash. AccountError: INVALID, or CONFLICT where the name is taken."""
    name = folded(name)
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise AccountError(Reason.INVALID, f"name {name[:64]!r}: want letters, digits, dots and hyphens, at most 64")
    _check(display or name, grants)
    row = {
        "name": name,
        "display": display or name,
        "password": password,
        "roles": msgspec.to_builtins(tuple(grants)),
        "disabled": False,
        "created_ns": now_ns,
        "changed_ns": now_ns,
    }
    try:
        await conn.execute(users.insert().values(row))
    except IntegrityError:
        raise AccountError(Reason.CONFLICT, f"account {name}: there is one already") from None
    return await get(conn, name)


async def change(conn: AsyncConnection, name: str, wanted: Change, now_ns: int) -> Account:
    """Change what is not None. Whoever is disabled, or has another password now, is logged out everywhere at once.

    AccountError: NOT_FOUND or INVALID.
    """
    before = await get(conn, name)
    display = before.display if wanted.display is None else wanted.display
    _check(display, before.grants if wanted.grants is None else wanted.grants)
    row = {field: value for field in ("display", "disabled", "password") if (value := getattr(wanted, field)) is not None}
    if wanted.grants is not None:
        row["roles"] = msgspec.to_builtins(wanted.grants)
    await conn.execute(users.update().where(users.c.id == before.id).values(**row, changed_ns=now_ns))
    if wanted.disabled or wanted.password is not None:
        await conn.execute(sessions.delete().where(sessions.c.user_id == before.id))
    return await get(conn, name)


async def rehash(conn: AsyncConnection, account: Account, hashed: str) -> None:
    """Keep the same password at another cost; nobody is logged out by it."""
    await conn.execute(users.update().where(users.c.id == account.id).values(password=hashed))


def account_of(row: RowMapping) -> Account:
    """The account in a row of `users`; `open_sessions` may be missing."""
    return Account(
        id=row["id"],
        name=row["name"],
        display=row["display"],
        grants=grants_from(row["roles"]),
        disabled=row["disabled"],
        created_ns=row["created_ns"],
        changed_ns=row["changed_ns"],
        sessions=row.get("open_sessions", 0),
    )


def _select() -> Any:
    counted = select(func.count()).where(sessions.c.user_id == users.c.id).scalar_subquery()
    return select(users, counted.label("open_sessions"))


def _check(display: str, grants: Sequence[Grant]) -> None:
    if not display.strip() or len(display) > _DISPLAY or not display.isprintable():
        raise AccountError(Reason.INVALID, f"display {display[:_DISPLAY]!r}: want 1 to {_DISPLAY} printable characters")
    if (wrong := check_grants(grants)) is not None:
        raise AccountError(Reason.INVALID, f"roles: {wrong}")
