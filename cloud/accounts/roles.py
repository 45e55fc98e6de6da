"""The roles that an account may have, and where: in one district or in all, for one department or for any."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from cloud.workflow.states import ROLE_WORDS, Role
from device_profiles.quantities import Text

__all__ = ["MOST_GRANTS", "AccountRole", "Grant", "check_grants", "grants_from", "post_of", "role_held", "word_of"]

MOST_GRANTS: Final = 20
_NAME: Final = 64


class AccountRole(StrEnum):
    """The posts of `cloud.workflow.states.Role` that a person may hold, and who looks after the accounts."""

    COLLECTOR = "collector"
    OPERATOR = "operator"
    SHIFT_LEAD = "shift_lead"
    DISPATCHER = "dispatcher"
    DEPARTMENT = "department"
    CREW = "crew"
    INSPECTOR = "inspector"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


class Grant(msgspec.Struct, frozen=True):
    """One role of one person. An empty `district` is every one, an empty `department` any."""

    role: AccountRole
    district: str = ""
    department: str = ""

    def covers(self, district: str | None, department: str | None = None) -> bool:
        """Whether it reaches what lies in this district and is this department's; None where that has none to tell of.

        An empty name is a row that no district was found for: only whoever has them all reaches that one.
        """
        here = not self.district or district is None or district == self.district
        return here and (not self.department or department is None or department == self.department)


def role_held(
    grants: Sequence[Grant], allowed: Collection[AccountRole], district: str | None, department: str | None = None
) -> AccountRole | None:
    """The first of the `allowed` roles, in the order of `AccountRole`, that these grants give here; None where none does."""
    held = {grant.role for grant in grants if grant.role in allowed and grant.covers(district, department)}
    return next((role for role in AccountRole if role in held), None)


def post_of(role: AccountRole) -> Role | None:
    """The post in the workflow; None for the admin, who has none."""
    return None if role is AccountRole.ADMIN else Role(role.value)


def word_of(role: AccountRole) -> Text:
    """What people call it."""
    post = post_of(role)
    return Text("系统管理员", "administrator") if post is None else ROLE_WORDS[post]


def check_grants(grants: Sequence[Grant]) -> str | None:
    """What is wrong with the roles of one account, or None."""
    if not 1 <= len(grants) <= MOST_GRANTS:
        return f"{len(grants)} roles: want 1 to {MOST_GRANTS}"
    if len(set(grants)) < len(grants):
        return "a role is given twice"
    for grant in grants:
        if grant.role is AccountRole.ADMIN and (grant.district or grant.department):
            return "the admin looks after the accounts of the whole city: want no district and no department"
        for word in (grant.district, grant.department):
            if len(word) > _NAME or word != word.strip() or not word.isprintable():
                return f"{word[:_NAME]!r}: want at most {_NAME} printable characters"
    return None


def grants_from(rows: Any) -> tuple[Grant, ...]:
    """The roles as the store has them."""
    return msgspec.convert(rows, tuple[Grant, ...])
