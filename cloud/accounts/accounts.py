"""Logging in and out, and what must be told alike to everybody who fails at it."""

import ipaddress
import logging
from typing import Final

import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.accounts import keys, sessions, users
from cloud.accounts.errors import AccountError
from cloud.accounts.keys import ApiKey
from cloud.accounts.passwords import Cost, Hasher, check_password
from cloud.accounts.roles import Grant
from cloud.accounts.sessions import Session
from cloud.accounts.throttle import Throttle
from cloud.accounts.trail import KEPT_DAYS, Entry, Trail
from cloud.accounts.users import Account, Change
from cloud.relational.engine import reading, writing
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason

__all__ = ["AccountPolicy", "Accounts", "Caller"]

_log = logging.getLogger(__name__)

# Guesses a day at one account: some 2,900. An office behind one address logs in without noticing.
_OF_ACCOUNT: Final = (5, 30.0)
_OF_ADDRESS: Final = (30, 2.0)
_TOUCH_NS: Final = 60 * SECOND_NS
_TELL_NS: Final = 60 * SECOND_NS
_WRONG: Final = "no such name with this password"


class AccountPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may decide. `secure`: people come by https, so the cookie goes nowhere else. `hashes_at_once`: 0 is half
    of the machine's cores."""

    secure: bool = False
    audit_days: int = KEPT_DAYS
    cost: Cost = Cost()
    hashes_at_once: int = 0


class Caller(msgspec.Struct, frozen=True):
    """Where somebody comes from: address and user agent."""

    address: str = ""
    user_agent: str = ""

    @property
    def neighbourhood(self) -> str:
        """The address that tries are counted by: of IPv6 the /64 that one household has."""
        try:
            address = ipaddress.ip_address(self.address.partition("%")[0])
        except ValueError:
            return self.address[:64]
        if isinstance(address, ipaddress.IPv4Address):
            return str(address)
        return str(address.ipv4_mapped or ipaddress.ip_network((int(address), 64), strict=False).network_address)


class Accounts:
    """The accounts of one cloud over its relational store. Every refusal is an AccountError."""

    def __init__(self, engine: AsyncEngine, clock: Clock, policy: AccountPolicy | None = None) -> None:
        self.policy = policy or AccountPolicy()
        self.trail = Trail(engine, clock, self.policy.audit_days)
        self.hasher = Hasher(self.policy.cost, self.policy.hashes_at_once)
        self._engine = engine
        self._clock = clock
        self._by_account = Throttle(*_OF_ACCOUNT)
        self._by_address = Throttle(*_OF_ADDRESS)
        self._any = False
        self._throttled = 0
        self._tell_after_ns = 0

    async def exist(self) -> bool:
        """Whether anybody has an account. Nobody is ever deleted, so once is for good."""
        if not self._any:
            async with reading(self._engine) as conn:
                self._any = await users.any_account(conn)
        return self._any

    async def session(self, token: str) -> Session | None:
        """The session of `token` if it is good; used from now on, to the minute."""
        now_ns = self._clock.wall_ns()
        found = await self._find(token)
        if found is not None and now_ns - found.used_ns >= _TOUCH_NS:
            async with writing(self._engine) as conn:
                await sessions.touch(conn, found.key, now_ns)
        return found

    async def alive(self, token: str) -> bool:
        """Whether it is still good, without using it. False where the store does not answer: whoever asks comes again."""
        try:
            return await self._find(token) is not None
        except DBAPIError:
            return False

    async def key(self, token: str) -> ApiKey | None:
        """The key of a program's `token` if it is good; used from now on, to the minute."""
        now_ns = self._clock.wall_ns()
        async with reading(self._engine) as conn:
            found = await keys.find(conn, token, now_ns)
        if found is not None and now_ns - (found.used_ns or 0) >= _TOUCH_NS:
            async with writing(self._engine) as conn:
                await keys.touch(conn, found.name, now_ns)
        return found

    async def key_alive(self, token: str) -> bool:
        """Whether it is still good, without using it. False where the store does not answer."""
        try:
            async with reading(self._engine) as conn:
                return await keys.find(conn, token, self._clock.wall_ns()) is not None
        except DBAPIError:
            return False

    async def log_in(self, name: str, password: str, caller: Caller, former: str = "") -> tuple[str, Session]:
        """A new session and its token; the session of the token `former` ends.

        AccountError: TOO_OFTEN, QUEUE_FULL, or NOT_AUTHENTICATED, which does not tell whether there is such a name.
        """
        name = users.folded(name)
        keys = await self._try(name, caller)
        right, found = await self._right(name, password)
        if found is None or not right:
            await self._tell_refused(found, caller)
            raise AccountError(Reason.NOT_AUTHENTICATED, _WRONG)
        account, hashed = found
        fresh = await self.hasher.hash(password) if self.hasher.outdated(hashed) else None
        async with writing(self._engine) as conn:
            await self._unchanged(conn, account, hashed)
            if fresh is not None:
                await users.rehash(conn, account, fresh)
            if former:
                await sessions.end(conn, sessions.key_of(former))
            await sessions.sweep(conn, self._clock.wall_ns())
            begun = await sessions.begin(conn, account, caller.user_agent, self._clock.wall_ns())
            entry = Entry(action="log_in", actor=account.name, target=account.name, address=caller.address, outcome="200")
            await self.trail.write(conn, entry)
        self._forgive(keys)
        return begun

    async def log_out(self, session: Session) -> None:
        """End this session."""
        async with writing(self._engine) as conn:
            await sessions.end(conn, session.key)

    async def change_password(self, session: Session, old: str, new: str, caller: Caller) -> tuple[str, Session]:
        """Another password: every session ends, and a new one begins here. AccountError:
        TOO_OFTEN, QUEUE_FULL, NOT_ALLOWED (the old one is wrong) or INVALID (the new one is not taken)."""
        name = session.account.name
        keys = await self._try(name, caller)
        right, found = await self._right(name, old)
        if found is None or not right:
            raise AccountError(Reason.NOT_ALLOWED, "the old password is another one")
        account, hashed = found
        fresh = await self._taken(new, name, account.display)
        now_ns = self._clock.wall_ns()
        async with writing(self._engine) as conn:
            await self._unchanged(conn, account, hashed)
            changed = await users.change(conn, name, Change(password=fresh), now_ns)
            begun = await sessions.begin(conn, changed, caller.user_agent, now_ns)
        self._forgive(keys)
        return begun

    async def add(self, name: str, password: str, grants: tuple[Grant, ...], display: str = "") -> Account:
        """One more account. AccountError: INVALID, or CONFLICT where the name is taken."""
        hashed = await self._taken(password, name, display)
        async with writing(self._engine) as conn:
            return await users.add(conn, name, display=display, grants=grants, password=hashed, now_ns=self._clock.wall_ns())

    async def change(self, name: str, wanted: Change, password: str | None = None) -> Account:
        """Change an account; `password` is a new one in plain. AccountError: NOT_FOUND or INVALID."""
        if password is not None:
            async with reading(self._engine) as conn:
                found = await users.find(conn, name)
            display = wanted.display or (found[0].display if found else "")
            wanted = msgspec.structs.replace(wanted, password=await self._taken(password, name, display))
        async with writing(self._engine) as conn:
            return await users.change(conn, name, wanted, self._clock.wall_ns())

    async def get(self, name: str) -> Account:
        """The account of `name`. AccountError: NOT_FOUND."""
        async with reading(self._engine) as conn:
            return await users.get(conn, name)

    async def page(self, after: str, limit: int) -> list[Account]:
        """The accounts that follow `after`, in order of their names."""
        async with reading(self._engine) as conn:
            return await users.page(conn, after, limit)

    async def sessions_of(self, name: str) -> list[Session]:
        """Where somebody is logged in, the last used first. AccountError: NOT_FOUND."""
        async with reading(self._engine) as conn:
            return await sessions.list_of(conn, await users.get(conn, name), self._clock.wall_ns())

    async def end_sessions(self, name: str) -> int:
        """Log somebody out everywhere; from how many places. AccountError: NOT_FOUND."""
        async with writing(self._engine) as conn:
            return await sessions.end_all(conn, await users.get(conn, name))

    async def _find(self, token: str) -> Session | None:
        async with reading(self._engine) as conn:
            return await sessions.find(conn, sessions.key_of(token), self._clock.wall_ns())

    async def _try(self, name: str, caller: Caller) -> tuple[str, str]:
        """Count a try at the account and from the address; refuse where there were too many."""
        keys = (name[:64], caller.neighbourhood)
        now_ns = self._clock.monotonic_ns()
        wait_ns = max(self._by_account.wait_ns(keys[0], now_ns), self._by_address.wait_ns(keys[1], now_ns))
        if wait_ns:
            await self._tell_throttled(caller)
            raise AccountError(Reason.TOO_OFTEN, "too many tries; wait a little", wait_s=-(-wait_ns // SECOND_NS))
        self._by_account.take(keys[0], now_ns)
        self._by_address.take(keys[1], now_ns)
        return keys

    def _forgive(self, keys: tuple[str, str]) -> None:
        self._by_account.give_back(keys[0])
        self._by_address.give_back(keys[1])

    async def _tell_throttled(self, caller: Caller) -> None:
        """A flood is one row a minute in the trail, which says how many tries it was."""
        self._throttled += 1
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._tell_after_ns:
            return
        self._tell_after_ns, count, self._throttled = now_ns + _TELL_NS, self._throttled, 0
        _log.warning("%d logins too many, the last from %s", count, caller.address, extra={"event": "security.too_often"})
        detail = {"tries": count}
        await self.trail.begin(Entry(action="log_in", detail=detail, address=caller.address, outcome="429 too_often"))

    async def _right(self, name: str, password: str) -> tuple[bool, tuple[Account, str] | None]:
        """Whether somebody is let in, and the account of the name. The same is asked and computed whoever it is."""
        async with reading(self._engine) as conn:
            found = await users.find(conn, name)
        right = await self.hasher.matches(found[1] if found else None, password)
        return right and found is not None and not found[0].disabled, found

    async def _tell_refused(self, found: tuple[Account, str] | None, caller: Caller) -> None:
        # What was typed as a name is kept only where it is one: it may have been a password.
        name = found[0].name if found else ""
        entry = Entry(action="log_in", actor=name, target=name, address=caller.address, outcome="401 not_authenticated")
        await self.trail.begin(entry)
        _log.warning("refused a login from %s", caller.address, extra={"event": "security.login_refused", "account": name})

    async def _unchanged(self, conn: AsyncConnection, account: Account, hashed: str) -> None:
        """The account is still what it was when the password was compared, which took a while."""
        found = await users.find(conn, account.name)
        if found is None or found[0].disabled or found[1] != hashed:
            raise AccountError(Reason.NOT_AUTHENTICATED, _WRONG)

    async def _taken(self, password: str, name: str, display: str) -> str:
        if (wrong := check_password(password, users.folded(name), display)) is not None:
            raise AccountError(Reason.INVALID, wrong)
        return await self.hasher.hash(password)
