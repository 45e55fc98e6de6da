"""The shapes of sessions, accounts and the trail."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from cloud.accounts.roles import MOST_GRANTS
from cloud.api import examples
from cloud.api.schemas import Answer, Body, Printable

__all__ = ["Login", "NewPassword", "NewUser", "SessionInfo", "SessionToken", "TrailPage", "User", "UserChange", "UserPage"]

RoleWord = Literal["collector", "operator", "shift_lead", "dispatcher", "department", "crew", "inspector", "supervisor", "admin"]
Name = Annotated[str, Field(min_length=1, max_length=64), Printable]
Display = Annotated[str, Field(max_length=128), Printable]
# Long enough for anybody, short enough to hash; what is too short for a new one is told by name, not by its shape.
Password = Annotated[str, Field(min_length=1, max_length=256)]
Short = Annotated[str, Field(max_length=64), Printable]

_ROLES: Final = [{"role": "crew", "district": "east", "department": "municipal"}]
_SESSION: Final[dict[str, Any]] = {
    "accounts": True,
    "name": "li.wei",
    "display": "李伟",
    "roles": _ROLES,
    "expires": examples.AT,
}
_USER: Final[dict[str, Any]] = {
    "name": "li.wei",
    "display": "李伟",
    "roles": _ROLES,
    "disabled": False,
    "created": examples.AT,
    "changed": examples.AT,
    "sessions": 1,
}
_SAMPLE: Final = "a sentence of four words"
_SECRET: Final = {"token": "the token, which is told only here"}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"example": fields})


def _body(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": fields})


class RoleInfo(Answer):
    """One role; an empty district is every one, an empty department any."""

    role: RoleWord
    district: str
    department: str


class SessionInfo(Answer):
    """Who asks. `accounts`: whether anybody has one; `name` is null for who is not logged in."""

    model_config = _example(**_SESSION)
    accounts: bool
    name: str | None
    display: str
    roles: list[RoleInfo]
    expires: str | None


class SessionToken(SessionInfo):
    """A new session. `token` is for programs, as `Authorization: Bearer`; a page has the cookie."""

    model_config = _example(**_SESSION, **_SECRET)
    token: str


class Login(Body):
    model_config = _body(name="li.wei", password=_SAMPLE)
    name: Name
    password: Password


class NewPassword(Body):
    """The password that is, and the one that is to be."""

    model_config = _body(old=_SAMPLE, new="another one of four")
    old: Password
    new: Password


class RoleGiven(Body):
    role: RoleWord
    district: Short = ""
    department: Short = ""


Roles = Annotated[list[RoleGiven], Field(min_length=1, max_length=MOST_GRANTS)]


class NewUser(Body):
    """One more account; without `display` people are shown its name."""

    model_config = _body(name="li.wei", display="李伟", password=_SAMPLE, roles=_ROLES)
    name: Name
    display: Display = ""
    password: Password
    roles: Roles


class UserChange(Body):
    """What is to be another way; what is left out stays. A new password, or `disabled`, ends every session of the account."""

    model_config = _body(roles=_ROLES, disabled=False)
    display: Display | None = None
    password: Password | None = None
    roles: Roles | None = None
    disabled: bool | None = None


class User(Answer):
    """An account, and from how many places it is logged in."""

    model_config = _example(**_USER)
    name: str
    display: str
    roles: list[RoleInfo]
    disabled: bool
    created: str
    changed: str
    sessions: int


class UserPage(Answer):
    model_config = _example(items=[_USER], next=None)
    items: list[User]
    next: str | None


class TrailRow(Answer):
    """Who did what to what. `outcome` is the answer's status and reason, or "begun" where the server ended before the act did."""

    id: int
    at: str
    actor: str
    role: str
    action: str
    target: str
    detail: dict[str, Any]
    address: str
    outcome: str


class TrailPage(Answer):
    model_config = _example(
        items=[
            {
                "id": 41,
                "at": examples.AT,
                "actor": "li.wei",
                "role": "operator",
                "action": "acknowledge_alarm",
                "target": "cover-17/cover_open/1763647200123000000",
                "detail": {},
                "address": "127.0.0.1",
                "outcome": "200",
            }
        ],
        next=None,
    )
    items: list[TrailRow]
    next: str | None
