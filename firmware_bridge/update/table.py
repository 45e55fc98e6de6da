"""The update session as a table: what is being done, what is heard, what is done next.

Nothing in it remembers: a device is asked where it stands, and its answer decides. So a cut of either side costs one
question, and a session that begins anew goes on where the last one stopped.
"""

from collections.abc import Mapping
from enum import StrEnum

from firmware_bridge.update.manifest import Manifest
from firmware_bridge.update.standing import Phase, Refusal, Standing

__all__ = ["ENDS", "TABLE", "Action", "Event", "State", "diagram", "event_of"]


class State(StrEnum):
    """What the session is about."""

    ASKING = "asking"
    OFFERING = "offering"
    SENDING = "sending"
    VERIFYING = "verifying"
    STARTING = "starting"
    PROVING = "proving"
    CONFIRMING = "confirming"
    REVERTING = "reverting"
    RETURNING = "returning"
    DONE = "done"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    GAVE_UP = "gave_up"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What was heard: of the device, of the proof that a new image works, of the line, of the operator."""

    WANTS_OFFER = "wants_offer"
    WANTS_CHUNK = "wants_chunk"
    HAS_ALL = "has_all"
    IS_VERIFIED = "is_verified"
    ON_TRIAL = "on_trial"
    RUNS_NEW = "runs_new"
    REFUSES = "refuses"
    FELL_BACK = "fell_back"
    IS_BUSY = "is_busy"
    WELL = "well"
    UNWELL = "unwell"
    SILENT = "silent"
    TIRED = "tired"
    CANCEL = "cancel"


class Action(StrEnum):
    """What is to be done now. PROVE: see whether the new image does the device's work; STOP: the session is over."""

    ASK = "ask"
    OFFER = "offer"
    SEND = "send"
    VERIFY = "verify"
    START = "start"
    PROVE = "prove"
    CONFIRM = "confirm"
    REVERT = "revert"
    STOP = "stop"


Row = tuple[State, Action]
ENDS = frozenset({State.DONE, State.REFUSED, State.ROLLED_BACK, State.GAVE_UP, State.CANCELLED})

# What a device says decides, whatever it was asked.
_SAID: Mapping[Event, Row] = {
    Event.WANTS_OFFER: (State.OFFERING, Action.OFFER),
    Event.WANTS_CHUNK: (State.SENDING, Action.SEND),
    Event.HAS_ALL: (State.VERIFYING, Action.VERIFY),
    Event.IS_VERIFIED: (State.STARTING, Action.START),
    Event.ON_TRIAL: (State.PROVING, Action.PROVE),
    Event.RUNS_NEW: (State.DONE, Action.STOP),
    Event.REFUSES: (State.REFUSED, Action.STOP),
    Event.FELL_BACK: (State.ROLLED_BACK, Action.STOP),
    Event.IS_BUSY: (State.RETURNING, Action.ASK),
}
_ANSWERED = (
    State.ASKING,
    State.OFFERING,
    State.SENDING,
    State.VERIFYING,
    State.STARTING,
    State.CONFIRMING,
    State.REVERTING,
    State.RETURNING,
)
_WORKING = (*_ANSWERED, State.PROVING)

_RULES: Mapping[tuple[State, Event], Row] = {
    # What an earlier session ended with does not end this one: it offers once more.
    (State.ASKING, Event.REFUSES): (State.OFFERING, Action.OFFER),
    (State.ASKING, Event.FELL_BACK): (State.OFFERING, Action.OFFER),
    # The new image has been proved once; that the word of it was lost does not put it in doubt.
    (State.CONFIRMING, Event.ON_TRIAL): (State.CONFIRMING, Action.CONFIRM),
    (State.PROVING, Event.WELL): (State.CONFIRMING, Action.CONFIRM),
    (State.PROVING, Event.UNWELL): (State.REVERTING, Action.REVERT),
    # Going back is not given up for anything but a device that has confirmed already.
    (State.REVERTING, Event.WANTS_OFFER): (State.ROLLED_BACK, Action.STOP),
    (State.REVERTING, Event.REFUSES): (State.ROLLED_BACK, Action.STOP),
    (State.REVERTING, Event.WANTS_CHUNK): (State.REVERTING, Action.REVERT),
    (State.REVERTING, Event.HAS_ALL): (State.REVERTING, Action.REVERT),
    (State.REVERTING, Event.IS_VERIFIED): (State.REVERTING, Action.REVERT),
    (State.REVERTING, Event.ON_TRIAL): (State.REVERTING, Action.REVERT),
    (State.REVERTING, Event.IS_BUSY): (State.REVERTING, Action.ASK),
    (State.REVERTING, Event.SILENT): (State.REVERTING, Action.ASK),
    # Before anything runs, an operator's word just ends it, and what was sent stays for next time.
    (State.ASKING, Event.CANCEL): (State.CANCELLED, Action.STOP),
    (State.OFFERING, Event.CANCEL): (State.CANCELLED, Action.STOP),
    (State.SENDING, Event.CANCEL): (State.CANCELLED, Action.STOP),
}

TABLE: Mapping[tuple[State, Event], Row] = {
    **{(state, event): row for state in _ANSWERED for event, row in _SAID.items()},
    **{(state, Event.SILENT): (State.RETURNING, Action.ASK) for state in _WORKING},
    **{(state, Event.TIRED): (State.GAVE_UP, Action.STOP) for state in _WORKING},
    **{(state, Event.CANCEL): (State.REVERTING, Action.REVERT) for state in _WORKING},
    **_RULES,
}
"""Every pair that can be; a pair that is not here is a fault of ours."""


def event_of(standing: Standing, manifest: Manifest) -> Event:
    """What a device's standing means to the session that brings `manifest`."""
    ours = standing.offered == manifest.version and standing.is_of(manifest)
    match standing.phase:
        case Phase.BUSY:
            return Event.IS_BUSY
        case Phase.EMPTY:
            new = standing.running == manifest.version and standing.is_of(manifest)
            return Event.RUNS_NEW if new else Event.WANTS_OFFER
        case Phase.TRIAL:
            return Event.ON_TRIAL if ours and standing.running == manifest.version else Event.IS_BUSY
        case Phase.REFUSED:
            return _refused(standing, ours=ours)
        case Phase.VERIFIED:
            return Event.IS_VERIFIED if ours else Event.WANTS_OFFER
        case Phase.RECEIVING:
            if not ours:
                return Event.WANTS_OFFER
            return Event.HAS_ALL if standing.next_chunk >= manifest.chunks else Event.WANTS_CHUNK


def _refused(standing: Standing, *, ours: bool) -> Event:
    """`offered` is 0 where the device could not even read the header."""
    if standing.offered and not ours:
        return Event.WANTS_OFFER
    return Event.FELL_BACK if standing.refusal is Refusal.NOT_CONFIRMED else Event.REFUSES


def diagram() -> str:
    """The table as Mermaid draws it: one arrow for each pair of states, the events on it."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, event), (following, _) in TABLE.items():
        arrows.setdefault((state, following), []).append(str(event))
    lines = [f"    {one} --> {other}: {', '.join(events)}" for (one, other), events in arrows.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.ASKING}", *lines])
