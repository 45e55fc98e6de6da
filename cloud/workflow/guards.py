"""Each guard as one question about the case and the deed, and the reason given where the answer is no."""

from collections.abc import Callable, Mapping
from typing import Final

from cloud.workflow.case import Appeal, Asked, Case, Deed, DeviceSays, Policy
from cloud.workflow.states import Role
from cloud.workflow.terms import Guard
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["GUARDS", "REASONS"]

_DAY_NS: Final = 86400 * SECOND_NS

_DESK: Final = frozenset({Role.OPERATOR, Role.SHIFT_LEAD})
"""They sent the task, and may decide for its answer where the row lets them."""

_Question = Callable[[Case, Deed, Policy], bool]


def _hold_is_short_enough(_case: Case, deed: Deed, policy: Policy) -> bool:
    return deed.until_ns is not None and deed.at_ns < deed.until_ns <= deed.at_ns + policy.hold_days * _DAY_NS


def _reopens_in_time(case: Case, deed: Deed, policy: Policy) -> bool:
    return case.closed_ns is not None and deed.at_ns <= case.closed_ns + policy.reopen_days * _DAY_NS


GUARDS: Final[Mapping[Guard, _Question]] = {
    Guard.OWN_TASK: lambda case, deed, _: deed.actor == case.assignee or deed.role in _DESK,
    Guard.REVOKE_FIRST: lambda case, deed, _: deed.actor == case.assignee,
    Guard.A_PERSON_AFTER_A_RETURN: lambda case, deed, _: deed.role is not Role.SYSTEM or not case.returned,
    Guard.NOTHING_ASKED: lambda case, _deed, _: case.asked is Asked.NOTHING,
    Guard.EXTENSION_LEFT: lambda case, _deed, policy: case.extensions < policy.extensions,
    Guard.EXTENSION_ASKED: lambda case, _deed, _: case.asked is Asked.EXTENSION,
    Guard.HOLD_LEFT: lambda case, _deed, policy: case.holds < policy.holds,
    Guard.HOLD_ASKED: lambda case, _deed, _: case.asked is Asked.HOLD,
    Guard.HOLD_SHORT_ENOUGH: _hold_is_short_enough,
    Guard.SOMETHING_ASKED: lambda case, _deed, _: case.asked is not Asked.NOTHING,
    Guard.NOT_ONES_OWN: lambda case, deed, _: deed.actor != case.asked_by,
    Guard.NOT_THE_APPELLANT: lambda case, deed, _: deed.actor != case.appeal_by,
    Guard.HOLD_DATE_CAME: lambda case, deed, _: case.hold_until_ns is not None and deed.at_ns >= case.hold_until_ns,
    Guard.SEEN_DONE: lambda case, deed, _: case.checked or deed.device_says is DeviceSays.CLEAR,
    Guard.DEVICE_AGREES: lambda _case, deed, _: deed.device_says is not DeviceSays.FAULT,
    Guard.DEVICE_CLEAR: lambda _case, deed, _: deed.device_says is DeviceSays.CLEAR,
    Guard.WAS_OVERDUE: lambda case, _deed, _: case.overdue,
    Guard.NO_APPEAL_YET: lambda case, _deed, _: case.appeal is Appeal.NONE,
    Guard.APPEAL_NEW: lambda case, _deed, _: case.appeal is Appeal.NEW,
    Guard.APPEAL_AGREED: lambda case, _deed, _: case.appeal is Appeal.AGREED,
    Guard.APPEAL_OPEN: lambda case, _deed, _: case.appeal in {Appeal.NEW, Appeal.AGREED},
    Guard.OTHER_REVIEWER: lambda case, deed, _: deed.actor != case.first_reviewer,
    Guard.REOPEN_IN_TIME: _reopens_in_time,
}

REASONS: Final[Mapping[Guard, Reason]] = {
    Guard.OWN_TASK: Reason.NOT_ALLOWED,
    Guard.A_PERSON_AFTER_A_RETURN: Reason.NOT_ALLOWED,
    Guard.NOT_ONES_OWN: Reason.NOT_ALLOWED,
    Guard.NOT_THE_APPELLANT: Reason.NOT_ALLOWED,
    Guard.OTHER_REVIEWER: Reason.NOT_ALLOWED,
    Guard.HOLD_SHORT_ENOUGH: Reason.OUT_OF_RANGE,
    Guard.REOPEN_IN_TIME: Reason.EXPIRED,
}
"""Where the table's guard is not about the case's own state (CONFLICT)."""
