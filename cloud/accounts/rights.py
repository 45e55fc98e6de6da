"""Who may do what outside the workflow of cases, whose own table (`cloud.workflow.table`) says who may take which step.

The reference gives the roles and the acts, but not which role does which act on an alarm; what is here is our reading of
ISA-18.2, by which shelving is the operator's, and taking out of service and suppressing want somebody who answers for it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cloud.accounts.roles import AccountRole

__all__ = ["RIGHTS", "Act"]


class Act(StrEnum):
    """What somebody does."""

    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    RE_ALARM = "re_alarm"
    PRIORITY = "priority"
    SHELVE = "shelve"
    SUPPRESS = "suppress"
    OUT_OF_SERVICE = "out_of_service"
    DISARM = "disarm"
    REPORT = "report"
    EVIDENCE = "evidence"
    COMMAND = "command"
    GATEWAYS = "gateways"
    SETTINGS = "settings"
    USERS = "users"
    AUDIT = "audit"


_DESK: Final = frozenset({AccountRole.OPERATOR, AccountRole.SHIFT_LEAD})
_LEADS: Final = frozenset({AccountRole.SHIFT_LEAD, AccountRole.SUPERVISOR})
_FIELD: Final = frozenset({AccountRole.CREW, AccountRole.DEPARTMENT})
_ADMIN: Final = frozenset({AccountRole.ADMIN})
_PEOPLE: Final = frozenset(AccountRole) - _ADMIN

RIGHTS: Final[Mapping[Act, frozenset[AccountRole]]] = {
    Act.ACKNOWLEDGE: _DESK | {AccountRole.DISPATCHER, AccountRole.SUPERVISOR},
    Act.RESET: _DESK | {AccountRole.CREW},
    Act.RE_ALARM: _DESK | {AccountRole.DISPATCHER, AccountRole.SUPERVISOR},
    Act.PRIORITY: _LEADS,
    Act.SHELVE: _DESK,
    Act.SUPPRESS: _LEADS,
    Act.OUT_OF_SERVICE: _LEADS,
    Act.DISARM: _DESK | _FIELD,
    Act.REPORT: frozenset({AccountRole.COLLECTOR, AccountRole.OPERATOR}),
    Act.EVIDENCE: _PEOPLE - {AccountRole.INSPECTOR},
    Act.COMMAND: frozenset({AccountRole.SHIFT_LEAD, AccountRole.DEPARTMENT}),
    Act.GATEWAYS: _ADMIN,
    Act.SETTINGS: _ADMIN | {AccountRole.SHIFT_LEAD},
    Act.USERS: _ADMIN,
    Act.AUDIT: _ADMIN,
}
"""A role that does not stand here does not act. `REPORT` is a person's report; the roles are those of the workflow's row."""
