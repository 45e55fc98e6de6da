"""Logging in, who one is, another password, logging out."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from cloud.accounts.accounts import Accounts
from cloud.accounts.sessions import LONGEST_S, Session
from cloud.api import account_schemas as schemas
from cloud.api.actor import actor_of
from cloud.api.common import NoQuery
from cloud.api.gate import accounts_of, caller_of, cookie_name, token_of
from cloud.api.problems import ApiProblem, describe
from cloud.api.times import iso
from telemetry.reason import Reason

__all__ = ["Door", "router"]

router = APIRouter(tags=["accounts"])

Door = Annotated[Accounts, Depends(accounts_of)]


@router.post("/session", summary="Log in", response_model=schemas.SessionToken, responses=describe(401, 403, 413, 429, 503))
async def log_in(door: Door, request: Request, response: Response, login: schemas.Login, _: NoQuery) -> dict[str, Any]:
    """A session of seven days at most, which ends after twelve hours without use. A former one of this page ends. 401 says the
    same whether there is no such name or its password is another; 429 how long to wait after too many tries."""
    token, session = await door.log_in(login.name, login.password, caller_of(request), former=token_of(request))
    return _begun(door, response, token, session)


@router.get("/session", summary="Who I am", response_model=schemas.SessionInfo)
async def get_session(door: Door, request: Request, _: NoQuery) -> dict[str, Any]:
    """Answers everybody: a page asks it whether to show the login."""
    return await _shown(door, request.state.session)


@router.delete("/session", summary="Log out", response_model=schemas.SessionInfo, responses=describe(403))
async def log_out(door: Door, request: Request, response: Response, _: NoQuery) -> dict[str, Any]:
    """Here, not elsewhere; streams of the session end within seconds. Whoever is not logged in is answered the same."""
    if request.state.session is not None:
        request.state.heard.actor = request.state.session.account.name
        await door.log_out(request.state.session)
    secure = door.policy.secure
    response.delete_cookie(cookie_name(secure=secure), path="/", secure=secure, httponly=True, samesite="strict")
    return await _shown(door, None)


@router.post(
    "/session/password",
    summary="Change one's own password",
    response_model=schemas.SessionToken,
    responses=describe(401, 403, 413, 429, 503),
)
async def change_password(
    door: Door, request: Request, response: Response, words: schemas.NewPassword, _: NoQuery
) -> dict[str, Any]:
    """Every session of the account ends, and a new one begins here. 403 where the old one is wrong, 422 where the new one is
    not taken: ten characters at least, not the name, and none of those that are guessed first."""
    session: Session | None = request.state.session
    if session is None:
        actor_of(request)
        raise ApiProblem(Reason.NOT_ALLOWED, "who asks has no session, so there is no password to change")
    token, begun = await door.change_password(session, words.old, words.new, caller_of(request))
    return _begun(door, response, token, begun)


def _begun(door: Accounts, response: Response, token: str, session: Session) -> dict[str, Any]:
    secure = door.policy.secure
    response.set_cookie(
        cookie_name(secure=secure), token, max_age=LONGEST_S, path="/", secure=secure, httponly=True, samesite="strict"
    )
    return {**_of(session), "token": token}


async def _shown(door: Accounts, session: Session | None) -> dict[str, Any]:
    if session is not None:
        return _of(session)
    return {"accounts": await door.exist(), "name": None, "display": "", "roles": [], "expires": None}


def _of(session: Session) -> dict[str, Any]:
    account = session.account
    return {
        "accounts": True,
        "name": account.name,
        "display": account.display,
        "roles": msgspec.to_builtins(account.grants),
        "expires": iso(session.expires_ns),
    }
