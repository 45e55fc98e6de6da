"""One pass over the alarm log, in the order of event time: what people were told of, and what became of it.

Whether people were told is decided as `cloud.alarms.announce` does: a raise while the alarm is not suppressed is annunciated,
and so is one that is unacknowledged when its suppression ends; what came and went meanwhile stays in the log only. The
difference: the log is read by event time, announcing goes by when a step arrived.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import msgspec

from cloud.health.definitions import ACK_WITHIN_S, FLEETING_S, STALE_S
from cloud.health.rates import Rates
from cloud.health.stale import StaleDays
from cloud.health.tally import Tally
from cloud.health.waits import Waits
from telemetry.clock import SECOND_NS
from telemetry.records import Priority

__all__ = ["Carried", "Kind", "LogCount", "Step"]


class Kind(IntEnum):
    """What a step of the log means here; other steps are not read."""

    HIDDEN = 0
    """In the alarm's own log: it is suppressed from now on."""
    SHOWN = 1
    """In the alarm's own log: it is suppressed no longer."""
    RAISED = 2
    """It must be seen, and was not to be seen just before."""
    ACKNOWLEDGED = 3
    ENDED = 4
    """The condition is over."""
    AGAIN = 5
    """It must be seen once more."""


Step = tuple[str, int, str, int, str]
"""alarm, `Kind`, priority, event_time_ns, and the desk that it belongs to."""

_MOST_WAITING: Final = 100_000
_HIDDEN, _SHOWN, _RAISED, _ACKNOWLEDGED, _ENDED = map(int, list(Kind)[:5])


class Carried(msgspec.Struct, frozen=True):
    """An occurrence that was active when the report begins."""

    alarm: str
    priority: str
    raised_ns: int
    acknowledged: bool


class _Occurrence(msgspec.Struct):
    """`told_ns` is when people were told first, `shown_ns` since when it is on the list; None where that is not so."""

    own: str
    priority: str
    raised_ns: int
    told_ns: int | None = None
    shown_ns: int | None = None
    counted: bool = False
    acknowledged: bool = False
    stale_day: int = -1


class LogCount:
    """`feed` it every step from `start_ns` on, then `finish`.

    `suppressed` are the alarms that are so when it begins, and since when. `belongs` tells by a step's last entry whether a
    raise is this desk's.
    """

    def __init__(
        self,
        start_ns: int,
        end_ns: int,
        suppressed: Mapping[str, int] = MappingProxyType({}),
        carried: Iterable[Carried] = (),
        belongs: Callable[[str], bool] = lambda desk: True,
    ) -> None:
        self.start_ns, self.end_ns = start_ns, end_ns
        self.rates, self.tally, self.waits, self.stale = Rates(start_ns), Tally(), Waits(), StaleDays(start_ns, end_ns)
        self.mix = dict.fromkeys((priority.value for priority in Priority), 0)
        self.annunciated = self.suppressed = self.given_back = self.said_again = self.fleeting = 0
        self.could_be_acknowledged = self.acknowledged_in_time = self.forgotten = 0
        self.still_stale: list[tuple[str, int]] = []
        """(alarm, since when it is active) of those that are stale and on the list at the end, the oldest first."""
        self._hidden = set(suppressed)
        self._belongs = belongs
        self._active: dict[str, dict[str, _Occurrence]] = {}
        self._waiting: dict[str, _Occurrence] = {}
        for each in carried:
            own = each.alarm.rpartition("/")[0]
            told_ns = None if each.raised_ns >= suppressed.get(own, end_ns) else each.raised_ns
            shown_ns = None if own in self._hidden else each.raised_ns
            held = _Occurrence(own, each.priority, each.raised_ns, told_ns, shown_ns, acknowledged=each.acknowledged)
            self._active.setdefault(own, {})[each.alarm] = held

    def feed(self, step: Step) -> None:
        """The next step by event time."""
        alarm, kind, priority, at_ns, desk = step
        if kind <= _SHOWN:
            self._suppression(alarm, at_ns, is_hidden=kind == _HIDDEN)
            return
        own = alarm.rpartition("/")[0]
        if kind == _RAISED:
            if self._belongs(desk):
                self._raised(own, alarm, priority, at_ns)
        elif kind == _ENDED:
            self._returned(own, alarm, at_ns)
        elif kind == _ACKNOWLEDGED:
            self._acknowledged(own, alarm, at_ns)
        else:
            held = self._active.get(own, {}).get(alarm)
            if held is not None:
                held.acknowledged = False
                self.said_again += own not in self._hidden

    def finish(self) -> None:
        """There are no more steps."""
        self.rates.finish(self.end_ns)
        limit_ns = self.end_ns - STALE_S * SECOND_NS
        for own, occurrences in self._active.items():
            for held in occurrences.values():
                if held.shown_ns is not None and held.raised_ns < limit_ns:
                    self.still_stale.append((own, held.raised_ns))
                self._leave_list(held, self.end_ns)
        self.still_stale.sort(key=lambda found: (found[1], found[0]))

    def _raised(self, own: str, alarm: str, priority: str, at_ns: int) -> None:
        self._waiting.pop(alarm, None)
        held = self._active.setdefault(own, {})[alarm] = _Occurrence(own, priority, at_ns)
        if own in self._hidden:
            self.suppressed += 1
        else:
            self._tell(held, at_ns)

    def _tell(self, held: _Occurrence, at_ns: int) -> None:
        held.told_ns = held.shown_ns = at_ns
        held.counted = True
        self.annunciated += 1
        self.could_be_acknowledged += at_ns <= self.end_ns - ACK_WITHIN_S * SECOND_NS
        self.mix[held.priority] = self.mix.get(held.priority, 0) + 1
        self.rates.add(at_ns)
        self.tally.add(held.own, at_ns)

    def _acknowledged(self, own: str, alarm: str, at_ns: int) -> None:
        held = self._waiting.pop(alarm, None) or self._active.get(own, {}).get(alarm)
        if held is None or held.acknowledged:
            return
        held.acknowledged = True
        if held.counted and held.told_ns is not None:
            wait_ns = at_ns - held.told_ns
            self.waits.add(wait_ns)
            in_time = wait_ns <= ACK_WITHIN_S * SECOND_NS and held.told_ns <= self.end_ns - ACK_WITHIN_S * SECOND_NS
            self.acknowledged_in_time += in_time
            held.counted = False

    def _returned(self, own: str, alarm: str, at_ns: int) -> None:
        occurrences = self._active.get(own, {})
        held = occurrences.pop(alarm, None)
        if held is None:
            return
        if not occurrences:
            del self._active[own]
        self._leave_list(held, at_ns)
        if not held.counted:
            return
        if held.told_ns is not None and at_ns - held.told_ns <= FLEETING_S * SECOND_NS:
            self.fleeting += 1
        # It may still be acknowledged. Where nobody ever does, those that wait longest are let go.
        self._waiting[alarm] = held
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self.forgotten += 1

    def _suppression(self, own: str, at_ns: int, *, is_hidden: bool) -> None:
        occurrences = self._active.get(own, {}).values()
        if is_hidden and own not in self._hidden:
            self._hidden.add(own)
            for held in occurrences:
                self._leave_list(held, at_ns)
        elif not is_hidden and own in self._hidden:
            self._hidden.discard(own)
            for held in occurrences:
                if held.told_ns is None and not held.acknowledged:
                    self.given_back += 1
                    self._tell(held, at_ns)
                elif not held.acknowledged:
                    self.said_again += 1
                held.shown_ns = at_ns

    def _leave_list(self, held: _Occurrence, at_ns: int) -> None:
        if held.shown_ns is not None:
            held.stale_day = self.stale.add(held.raised_ns, held.shown_ns, at_ns, held.stale_day)
            held.shown_ns = None
