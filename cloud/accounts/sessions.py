"""Sessions: an opaque token of 256 bits whose SHA-256 alone is stored.

A token is made at every login and never taken from a caller, so nobody can fix one beforehand. It is good for twelve hours
without use and for seven days at most; what it may do is read anew from its account at every request.
"""

import hashlib
import secrets
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.accounts.trail import clean
from cloud.accounts.users import Account, account_of
from cloud.relational.tables import sessions, users
from telemetry.clock import SECOND_NS

__all__ = [
    "IDLE_S",
    "LONGEST_S",
    "MOST_SESSIONS",
    "Session",
    "begin",
    "end",
    "end_all",
    "find",
    "key_of",
    "list_of",
    "sweep",
    "touch",
]

IDLE_S: Final = 12 * 3600
LONGEST_S: Final = 7 * 86_400
MOST_SESSIONS: Final = 20
"""Of one account; one more ends the one that was used longest ago."""
_AGENT: Final = 100
_OWN: Final = ("key", "created_ns", "used_ns", "expires_ns", "user_agent")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is logged in."""

    key: str
    account: Account
    created_ns: int
    used_ns: int
    expires_ns: int
    user_agent: str


def key_of(token: str) -> str:
    """What of a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


async def begin(conn: AsyncConnection, account: Account, user_agent: str, now_ns: int) -> tuple[str, Session]:
    """A new session and its token, which nobody will be told a second time."""
    token = secrets.token_urlsafe(32)
    session = Session(
        key=key_of(token),
        account=account,
        created_ns=now_ns,
        used_ns=now_ns,
        expires_ns=now_ns + LONGEST_S * SECOND_NS,
        user_agent=clean(user_agent, _AGENT),
    )
    row = {name: getattr(session, name) for name in _OWN}
    await conn.execute(sessions.insert().values(user_id=account.id, **row))
    others = select(sessions.c.key).where(sessions.c.user_id == account.id, sessions.c.key != session.key)
    beyond = list(await conn.scalars(others.order_by(sessions.c.used_ns.desc()).offset(MOST_SESSIONS - 1)))
    await conn.execute(sessions.delete().where(sessions.c.key.in_(beyond)))
    return token, session


async def find(conn: AsyncConnection, key: str, now_ns: int) -> Session | None:
    """The session that is good now; None where there is none, it is over, or its account is disabled."""
    begun = sessions.c.created_ns.label("begun_ns")
    whose = select(users, sessions.c.key, begun, sessions.c.used_ns, sessions.c.expires_ns, sessions.c.user_agent)
    good = (sessions.c.key == key, ~_over(now_ns), users.c.disabled.is_(False))
    row = (await conn.execute(whose.join_from(sessions, users).where(*good))).mappings().first()
    return None if row is None else _session(row, account_of(row), row["begun_ns"])


async def list_of(conn: AsyncConnection, account: Account, now_ns: int) -> list[Session]:
    """Everywhere that somebody is logged in, the last used first."""
    mine = select(sessions).where(sessions.c.user_id == account.id, ~_over(now_ns)).order_by(sessions.c.used_ns.desc())
    return [_session(row, account, row["created_ns"]) for row in (await conn.execute(mine)).mappings()]


async def touch(conn: AsyncConnection, key: str, now_ns: int) -> None:
    """It was used now."""
    await conn.execute(sessions.update().where(sessions.c.key == key).values(used_ns=now_ns))


async def end(conn: AsyncConnection, key: str) -> None:
    """Log out here."""
    await conn.execute(sessions.delete().where(sessions.c.key == key))


async def end_all(conn: AsyncConnection, account: Account) -> int:
    """Log out everywhere; how many sessions that were."""
    return (await conn.execute(sessions.delete().where(sessions.c.user_id == account.id))).rowcount


async def sweep(conn: AsyncConnection, now_ns: int) -> None:
    """Forget those that are over."""
    await conn.execute(sessions.delete().where(_over(now_ns)))


def _over(now_ns: int) -> ColumnElement[bool]:
    return or_(sessions.c.expires_ns <= now_ns, sessions.c.used_ns <= now_ns - IDLE_S * SECOND_NS)


def _session(row: RowMapping, account: Account, created_ns: int) -> Session:
    same = ("key", "used_ns", "expires_ns", "user_agent")
    return Session(account=account, created_ns=created_ns, **{name: row[name] for name in same})
