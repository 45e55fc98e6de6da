"""Stands before every route: whose session it is, and what is written into the trail about it.

A request that a foreign page makes a browser send cannot use somebody's session: the cookie is SameSite=Strict, an Origin
that is not this server's is refused before (`OriginCheck`), and a body must be JSON, which a form cannot send.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request
from sqlalchemy.exc import DBAPIError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.accounts.accounts import Accounts, Caller
from cloud.accounts.keys import PREFIX
from cloud.accounts.sessions import Session
from cloud.accounts.trail import Entry
from cloud.api.actor import Actor, Heard
from cloud.api.answers import problem_answer
from telemetry.reason import Reason

__all__ = ["Gate", "accounts_of", "audited", "caller_of", "cookie_name", "token_of"]

_log = logging.getLogger(__name__)

OPEN: Final = frozenset({"/api/health", "/api/version"})
"""What anybody may ask, and what is asked for without the store: whether it is there."""

GUARDED: Final = ("/api", "/basemap/", "/metrics", "/sta/")
"""What stands behind the gate, by how its path begins."""

LOGIN: Final = "/api/session"
"""Where a session is got: open to who has none, but not deaf to who has one."""

PAGES: Final = re.compile(r"/cases/[0-9]+/sheet")
"""Pages that the server itself fills with what the API knows."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TELLS_ITSELF: Final = frozenset({"log_in"})
"""Routes that write their own rows: a flood of logins must not become a flood of writes."""
_ONLY_ASKS: Final = frozenset({"ask_many_latest"})
"""Routes that change nothing, and are posted to because what they are asked is long."""

_Alive = Callable[[], Awaitable[bool]]


def accounts_of(request: Request) -> Accounts:
    """The accounts behind the application."""
    accounts: Accounts = request.app.state.accounts
    return accounts


def caller_of(request: Request) -> Caller:
    """Where a request comes from; behind a proxy on this machine, what that one says (X-Forwarded-For)."""
    host = request.client.host if request.client else ""
    return Caller(host, request.headers.get("user-agent", ""))


def cookie_name(*, secure: bool) -> str:
    """With the prefix, no other host of the domain and no plain http page can set it (RFC 6265bis, 4.1.3.2)."""
    return "__Host-citynerve" if secure else "citynerve_session"


def token_of(request: Request) -> str:
    """The token in the Authorization header, or else in the cookie; "" where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.cookies.get(cookie_name(secure=accounts_of(request).policy.secure), "")


class Gate:
    """Lets a request through to the routes with its `actor`, or answers 401. Everything that is `GUARDED` is behind it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path in OPEN or not (path.startswith(GUARDED) or PAGES.fullmatch(path)):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            refusal = await _admit(request)
        except DBAPIError:
            refusal = _unavailable(path)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._through(request, receive, send)

    async def _through(self, request: Request, receive: Receive, send: Send) -> None:
        status = 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Before the answer goes out: who asks for the trail next finds it there.
                await _finish(request, f"{status} {getattr(request.state, 'reason', '')}")
            await send(message)

        try:
            await self._app(request.scope, receive, told)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            await _finish(request, Reason.INTERRUPTED.value if cancelled else f"500 {Reason.INTERNAL}")
            raise


async def audited(request: Request) -> None:
    """Writes the row of an act before the act; a dependency of the whole application."""
    if request.method in _SAFE or not request.scope["path"].startswith("/api/"):
        return
    route = request.scope["route"]
    if route.name in _TELLS_ITSELF | _ONLY_ASKS:
        return
    actor: Actor | None = request.state.actor
    target = "/".join(str(value) for value in request.path_params.values())
    entry = Entry(action=route.name, actor=actor.name if actor else "", target=target, address=caller_of(request).address)
    request.state.trail = (await accounts_of(request).trail.begin(entry), entry)


async def _admit(request: Request) -> Response | None:
    """Leave in the request's state who asks, or the answer that they get instead."""
    accounts, token, state = accounts_of(request), token_of(request), request.state
    state.actor, state.session, state.heard = None, None, Heard()
    if token.startswith(PREFIX) and (key := await accounts.key(token)) is not None:
        if key.reads_only and request.method not in _SAFE:
            return _reads_only(request.scope["path"], key.name)
        state.actor = Actor(name=f"key:{key.name}", grants=key.grants, heard=state.heard)
        state.alive = lambda: accounts.key_alive(token)
    elif token and (session := await accounts.session(token)) is not None:
        state.actor, state.session, state.alive = _actor(session, state.heard), session, lambda: accounts.alive(token)
    elif not await accounts.exist():
        state.actor, state.alive = Actor(free=True, heard=state.heard), lambda: _free(accounts)
    elif request.scope["path"] != LOGIN:
        return _unknown(request.scope["path"])
    return None


def _actor(session: Session, heard: Heard) -> Actor:
    account = session.account
    return Actor(name=account.name, display=account.display, grants=account.grants, heard=heard)


async def _free(accounts: Accounts) -> bool:
    try:
        return not await accounts.exist()
    except DBAPIError:
        return False


async def _finish(request: Request, outcome: str) -> None:
    begun: tuple[int, Entry] | None = getattr(request.state, "trail", None)
    if begun is None:
        return
    request.state.trail = None
    number, entry = begun
    heard: Heard = request.state.heard
    entry.actor, entry.role = heard.actor or entry.actor, heard.role
    entry.detail, entry.outcome = heard.detail, outcome.strip()
    try:
        await accounts_of(request).trail.finish(number, entry)
    except DBAPIError:
        # The act is done, or refused, and its row is there: it goes on saying "begun".
        _log.warning("the trail's row %d keeps no outcome (%s)", number, outcome, extra={"event": "api.audit_unfinished"})


def _unknown(path: str) -> Response:
    detail = "nobody is logged in: POST /api/session first"
    headers = {"WWW-Authenticate": "Bearer"}
    return problem_answer(401, Reason.NOT_AUTHENTICATED.value, detail, instance=path, headers=headers)


def _reads_only(path: str, name: str) -> Response:
    return problem_answer(403, Reason.NOT_ALLOWED.value, f"key {name} reads and changes nothing", instance=path)


def _unavailable(path: str) -> Response:
    _log.warning(
        "%s: the relational store does not answer", path, extra={"event": "api.store_unavailable", "store": "relational"}
    )
    detail = "the relational store does not answer; try again later"
    return problem_answer(503, Reason.STORE_UNAVAILABLE.value, detail, instance=path, headers={"Retry-After": "2"})
