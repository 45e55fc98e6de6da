"""One update of one device: the table, its bounds, and what came of it."""

import msgspec

from firmware_bridge.update.package import Package
from firmware_bridge.update.standing import Refusal, Standing
from firmware_bridge.update.table import ENDS, TABLE, Action, Event, State, event_of
from telemetry.reason import Reason

__all__ = ["Ending", "Limits", "Session"]

# How far each answer is on the way; those that are not here say nothing of it.
_PLACES = {
    Event.WANTS_OFFER: 0,
    Event.WANTS_CHUNK: 1,
    Event.HAS_ALL: 2,
    Event.IS_VERIFIED: 3,
    Event.ON_TRIAL: 4,
    Event.RUNS_NEW: 5,
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`tries` in a row without a step forward, `setbacks` in all (a device that has lost what it had) end a session."""

    tries: int = 10
    setbacks: int = 5


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a session ended. `reason` and `detail` say why it is not `done`; None and "" where it is."""

    state: State
    reason: Reason | None = None
    detail: str = ""


class Session:
    """Leads one device to `package`, sans-IO: do `action`, say what came of it, until `ending` is there.

    `chunk` is the first chunk to send where `action` is SEND. Every call moves to the next action; the number of actions
    is bounded by the chunks and the limits.
    """

    def __init__(self, package: Package, limits: Limits | None = None) -> None:
        self.package = package
        self.state = State.ASKING
        self.action = Action.ASK
        self.chunk = 0
        self.ending: Ending | None = None
        self._limits = limits or Limits()
        self._tries = 0
        self._setbacks = 0
        self._place = (-1, 0)
        self._why: tuple[Reason, str] = (Reason.TIMEOUT, "nothing was heard of the device")

    def heard(self, standing: Standing) -> None:
        """The device answered, and says where it stands."""
        event = event_of(standing, self.package.manifest)
        self.chunk = standing.next_chunk if event is Event.WANTS_CHUNK else self.chunk
        if event in {Event.REFUSES, Event.FELL_BACK} and self.state is not State.REVERTING:
            self._why = (standing.refusal.reason, standing.refusal.words)
        self._step(Event.TIRED if self._is_too_much(event, standing) else event)

    def silent(self, reason: Reason, detail: str) -> None:
        """Nothing came back, or nothing that can be read."""
        self._tries += 1
        self._why = (reason, detail)
        self._step(Event.TIRED if self._tries > self._limits.tries else Event.SILENT)

    def proved(self, *, well: bool, detail: str = "") -> None:
        """Whether the device does its work with the new image; `detail` says what is wrong."""
        if not well:
            self._why = (Reason.DEVICE_EXCEPTION, detail or Refusal.NOT_CONFIRMED.words)
        self._step(Event.WELL if well else Event.UNWELL)

    def cancel(self) -> None:
        """The operator wants no more of it; harmless when the session is over."""
        if self.ending is None:
            self._why = (Reason.INTERRUPTED, "cancelled")
            self._step(Event.CANCEL)

    def _is_too_much(self, event: Event, standing: Standing) -> bool:
        if event in {Event.REFUSES, Event.FELL_BACK}:
            return False
        place = (_PLACES.get(event, self._place[0]), standing.next_chunk if event is Event.WANTS_CHUNK else 0)
        if event not in _PLACES or place == self._place:
            self._tries += 1
            said = f"the device says {event} again and again"
        elif place < self._place:
            self._setbacks += 1
            said = f"the device lost what it had {self._setbacks} times"
        else:
            self._tries = 0
            said = ""
        self._place = place if event in _PLACES else self._place
        too_much = self._tries > self._limits.tries or self._setbacks > self._limits.setbacks
        if too_much:
            self._why = (Reason.DEVICE_EXCEPTION, said)
        return too_much

    def _step(self, event: Event) -> None:
        self.state, self.action = TABLE[self.state, event]
        if self.state in ENDS:
            reason, detail = (None, "") if self.state is State.DONE else self._why
            self.ending = Ending(state=self.state, reason=reason, detail=detail)
