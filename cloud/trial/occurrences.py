"""From the transitions of one rule and device to its occurrences."""

from collections.abc import Iterable, Sequence

import msgspec

from cloud.alarms.acts import RANK
from telemetry.records import Cause, Priority, Transition

__all__ = ["Occurrence", "Occurrences", "overlapping"]

_ENDS = frozenset({Cause.RETURN, Cause.RETURN_LATCHED, Cause.CONFIG})


class Occurrence(msgspec.Struct, kw_only=True):
    """One time that the rule was true. `returned_ns` is None where it still is at the end; `priority` is the highest it had.

    `uncertain` says that for a part of the time nobody knew. `also_today` tells whether today's rule was true at any of that
    time; None where there is no such rule.
    """

    alarm: str
    device: str
    raised_ns: int
    returned_ns: int | None = None
    priority: Priority
    uncertain: bool = False
    also_today: bool | None = None


class Occurrences:
    """Of one device, in the order of their raises; at most `most`, then it is `full` and takes no more."""

    def __init__(self, most: int) -> None:
        self.found: list[Occurrence] = []
        self.full = False
        self._most = most

    def take(self, steps: Iterable[Transition]) -> None:
        for step in steps:
            last = self.found[-1] if self.found else None
            if step.cause is Cause.RAISE:
                self._begin(step, last)
            elif last is None or last.alarm != step.alarm:
                continue
            elif step.cause in _ENDS:
                last.returned_ns = step.event_time_ns
            elif step.cause is Cause.BECAME_UNCERTAIN:
                last.uncertain = True
            elif RANK[step.priority] > RANK[last.priority]:
                last.priority = step.priority

    def _begin(self, step: Transition, last: Occurrence | None) -> None:
        if last is not None and last.alarm == step.alarm:
            # It came and went within one instant, and came again.
            last.returned_ns = None
        elif len(self.found) >= self._most:
            self.full = True
        else:
            new = Occurrence(alarm=step.alarm, device=step.device, raised_ns=step.event_time_ns, priority=step.priority)
            self.found.append(new)


def overlapping(ours: Sequence[Occurrence], theirs: Sequence[Occurrence], end_ns: int) -> None:
    """Note in each of ours whether any of theirs was true at the same time; both in the order of their raises."""
    first = 0
    for each in ours:
        # Of one device and rule none begins before the one before it has ended.
        while first < len(theirs) and (theirs[first].returned_ns or end_ns) < each.raised_ns:
            first += 1
        each.also_today = first < len(theirs) and theirs[first].raised_ns <= (each.returned_ns or end_ns)
