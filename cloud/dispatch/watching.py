"""Early warning and supervision (预警督办): which running clocks of cases need an eye on them, for a list on a page."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from cloud.clocks.calendar import WorkCalendar
from cloud.clocks.clock import Timer, reckon, warnings
from cloud.workflow.states import Clock
from device_profiles.quantities import Text

__all__ = ["STANDING_WORDS", "WARN_AT", "Standing", "Watched", "standing", "to_watch", "watched"]

WARN_AT: Final = "0.8"
"""The fraction of a limit from which a clock is on the list; no standard sets it."""


class Standing(StrEnum):
    """How a running clock stands, the most urgent last."""

    FINE = "fine"
    WARNING = "warning"
    """`WARN_AT` of its time, or more, has run."""
    OVERDUE = "overdue"
    SUPERVISED = "supervised"
    """A supervisor has taken the case up (督办), overdue or not."""


STANDING_WORDS: Final[Mapping[Standing, Text]] = {
    Standing.FINE: Text("正常", "in time"),
    Standing.WARNING: Text("预警", "due soon"),
    Standing.OVERDUE: Text("超期", "overdue"),
    Standing.SUPERVISED: Text("督办", "under supervision"),
}

_URGENT: Final = tuple(reversed(Standing))


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One running clock of a case. Amounts are of the clock's own kind of time, extensions within the limit; `left_ns` is below 0
    where it is exceeded. `deadline_ns` is None while a hold keeps it from coming."""

    case_id: int
    clock: Clock
    standing: Standing
    deadline_ns: int | None
    limit_ns: int
    spent_ns: int
    left_ns: int
    late: bool


def standing(now_ns: int, *, warn_ns: int | None, deadline_ns: int | None, supervised: bool) -> Standing:
    """How a clock stands that warns and ends at these instants, None for one that cannot be told yet.

    The deadline itself is still in time, as in `cloud.clocks.clock.reckon`; the warning begins at its very instant.
    """
    if supervised:
        return Standing.SUPERVISED
    if deadline_ns is not None and now_ns > deadline_ns:
        return Standing.OVERDUE
    if warn_ns is not None and now_ns >= warn_ns:
        return Standing.WARNING
    return Standing.FINE


def watched(
    case_id: int, clock: Clock, timer: Timer, calendar: WorkCalendar, *, now_ns: int, supervised: bool, warn_at: str = WARN_AT
) -> Watched:
    """A running clock as it stands now; `warn_at` is of the time that really runs, also where the limit counts whole days.

    ClockError as `reckon`: a limit that never ends, another calendar than the timer's.
    """
    now = reckon(timer, calendar, now_ns)
    limit_ns = timer.limit_ns + sum(timer.extensions_ns)
    [warn_ns] = warnings(timer.start_ns, limit_ns, timer.kind, calendar, timer.holds, fractions=[warn_at])
    return Watched(
        case_id=case_id,
        clock=clock,
        standing=standing(now_ns, warn_ns=warn_ns, deadline_ns=now.deadline_ns, supervised=supervised),
        deadline_ns=now.deadline_ns,
        limit_ns=limit_ns,
        spent_ns=now.spent_ns,
        left_ns=now.left_ns,
        late=now.late,
    )


def to_watch(clocks: Iterable[Watched], only: Standing | None = None) -> list[Watched]:
    """Those that need an eye: supervised, then overdue, then due soon, each by deadline, or `only` one of these.

    A clock without a deadline comes last of its kind; the case's number decides between equals.
    """
    listed = [each for each in clocks if each.standing is only or (only is None and each.standing is not Standing.FINE)]
    return sorted(listed, key=_urgency)


def _urgency(each: Watched) -> tuple[int, bool, int, int]:
    return _URGENT.index(each.standing), each.deadline_ns is None, each.deadline_ns or 0, each.case_id
