"""What travels: readings, alarm transitions, loss records, commands and their results.

Every struct is frozen and is checked where it is made: a record that exists is valid, and the wiring that tries
to make an impossible one gets a `ContractError`. Ids are strings of 1 to 64 characters out of letters, digits and
``. _ : -``; times are integer nanoseconds since the Unix epoch, UTC; units are the vocabulary's. Every number and every
text has an end, so that what one half may say the other half's stores can hold.
"""

import re
from collections.abc import Mapping
from enum import IntEnum, StrEnum

import msgspec

from telemetry.reason import Reason

__all__ = [
    "Cause",
    "ClockQuality",
    "Command",
    "CommandResult",
    "ContractError",
    "Event",
    "Flaw",
    "Lane",
    "LossRecord",
    "Origin",
    "Outcome",
    "Priority",
    "Quality",
    "Reading",
    "Transition",
    "Value",
    "check_count",
    "check_id",
    "check_seq",
    "check_text",
]

Value = bool | int | float | str | None
"""One metric's value; None means the device said that it has none."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_LATEST_NS = 2**63 - 1
_END = 2**62
_SEQ_END = 2**53
"""No lane comes this far: a million records a second for 285 years. Below it a number survives JSON."""
_LONGEST_NOTE = 2000
_LONGEST_VALUE = 1024
_MOST_VALUES = 64
_LONGEST_ACTOR = 128
_LONGEST_ALARM = 160


class ContractError(ValueError):
    """The product's own code tried to make a record that the contract forbids."""


class Quality(IntEnum):
    """How far a value may be trusted."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class ClockQuality(StrEnum):
    """Who vouches for the gateway's wall clock."""

    SYNCED = "synced"
    """A time source disciplines it, or it agrees with the cloud's."""
    CLOUD = "cloud"
    """Nobody disciplines it; its times were corrected by what the cloud's clock said."""
    UNSYNCED = "unsynced"
    """Nobody does: times may be wrong by years, and are kept as they were."""


class Priority(StrEnum):
    """How soon a person must act (ISA-18.2: the share of each is a target, not a taste)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Lane(StrEnum):
    """An ordered stream from one gateway."""

    EVENTS = "events"
    READINGS = "readings"


class Origin(StrEnum):
    """Which half wrote a transition."""

    EDGE = "edge"
    CLOUD = "cloud"


class Cause(StrEnum):
    """What moved an alarm; the tables of `telemetry.alarm_states` say from where to where."""

    RAISE = "raise"
    RETURN = "return"
    RETURN_LATCHED = "return_latched"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    PRIORITY_RAISED = "priority_raised"
    PRIORITY_LOWERED = "priority_lowered"
    RE_ALARM = "re_alarm"
    BECAME_UNCERTAIN = "became_uncertain"
    BECAME_CERTAIN = "became_certain"
    CONFIG = "config"
    # Of the suppression axis: the cloud's acts, in the log of the alarm itself.
    SHELVE = "shelve"
    SHELVE_ONCE = "shelve_once"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    OUT_OF_SERVICE = "out_of_service"
    RETURN_TO_SERVICE = "return_to_service"


class Outcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


def check_id(value: str, what: str) -> str:
    """`value` itself when it may be an id; ContractError otherwise."""
    if not _ID.fullmatch(value):
        raise ContractError(f"{what} {value!r}: want 1 to 64 of letters, digits and . _ : -, starting with one of the first two")
    return value


def check_text(value: str, what: str, most: int = 64, least: int = 0) -> None:
    """ContractError unless the text has from `least` to `most` characters."""
    if not least <= len(value) <= most:
        raise ContractError(f"{what} {value[:32]!r}: {len(value)} characters, want {least} to {most}")


def check_count(value: int, what: str, least: int = 0) -> None:
    """ContractError unless the number is `least` or more and below 2**62."""
    if not least <= value < _END:
        raise ContractError(f"{what} {value}: want {least} or more, below 2**62")


def check_seq(value: int, what: str, least: int = 1) -> None:
    """ContractError unless the sequence number is `least` or more and below 2**53."""
    if not least <= value < _SEQ_END:
        raise ContractError(f"{what} {value}: want {least} or more, below 2**53")


def _check_values(values: Mapping[str, Value], what: str) -> None:
    if len(values) > _MOST_VALUES:
        raise ContractError(f"{what}: {len(values)} entries, want at most {_MOST_VALUES}")
    for name, value in values.items():
        check_text(name, what, 2 * 64)
        if isinstance(value, str):
            check_text(value, f"{what} {name}", _LONGEST_VALUE)


def _check_time(value: int, what: str) -> None:
    if not 0 < value <= _LATEST_NS:
        raise ContractError(f"{what} {value}: want nanoseconds since the Unix epoch, above 0 and below 2**63")


class Flaw(msgspec.Struct, frozen=True, array_like=True):
    """Why one value is not good."""

    quality: Quality
    reason: Reason


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of one device at one instant.

    `time_ns` is the event time, `received_ns` the gateway's clock when the bytes came in. `values` maps metric
    names to values in the vocabulary's units; `flaws` names the values that are not good, all others are.
    """

    device: str
    profile: str
    profile_version: int
    time_ns: int
    received_ns: int
    values: Mapping[str, Value]
    flaws: Mapping[str, Flaw] = {}

    def __post_init__(self) -> None:
        check_id(self.device, "device")
        check_text(self.profile, "profile", least=1)
        _check_time(self.time_ns, "time_ns")
        _check_time(self.received_ns, "received_ns")
        if not self.flaws.keys() <= self.values.keys():
            raise ContractError(f"{self.device}: flaws of {sorted(self.flaws.keys() - self.values.keys())}, which have no value")

    def quality(self, metric: str) -> Quality:
        """The quality of one metric's value; KeyError where the reading does not hold it."""
        if metric not in self.values:
            raise KeyError(metric)
        flaw = self.flaws.get(metric)
        return Quality.GOOD if flaw is None else flaw.quality


class Transition(msgspec.Struct, frozen=True, kw_only=True, tag="transition", array_like=True):
    """One step of one alarm occurrence, or of the alarm itself: append-only, and harmless when repeated or out of order.

    `alarm` is `device/rule/onset` for a step of an occurrence, `device/rule` for one that begins or ends the suppression
    of all. `(alarm, origin, n)` is unique; `n` counts from 1 for each origin. What they amount to is the fold of the
    transitions in the order of (event_time_ns, origin, n) through the tables of `telemetry.alarm_states`.
    """

    alarm: str
    origin: Origin
    n: int
    device: str
    rule: str
    profile: str
    profile_version: int
    cause: Cause
    priority: Priority
    event_time_ns: int
    recorded_ns: int
    actor: str
    evidence: dict[str, Value] = {}
    note: str = ""

    def __post_init__(self) -> None:
        check_id(self.device, "device")
        _check_time(self.event_time_ns, "event_time_ns")
        _check_time(self.recorded_ns, "recorded_ns")
        check_text(self.alarm, "alarm", _LONGEST_ALARM, least=1)
        check_count(self.n, f"{self.alarm}: transition number", least=1)
        check_count(self.profile_version, f"{self.alarm}: profile version")
        check_text(self.rule, "rule", least=1)
        check_text(self.profile, "profile", least=1)
        check_text(self.actor, "actor", _LONGEST_ACTOR)
        check_text(self.note, "note", _LONGEST_NOTE)
        _check_values(self.evidence, "evidence")


class LossRecord(msgspec.Struct, frozen=True, kw_only=True, tag="loss", array_like=True):
    """An edge's own statement that it dropped the records `seq_from` to `seq_to`, both included, of one lane.

    `open_end` says that nobody can tell how many came after `seq_to`: whatever the epoch numbered is meant. Under
    `Reason.RENUMBERED` nothing was dropped: the records came again in a later epoch, under other numbers.
    """

    lane: Lane
    epoch: str
    seq_from: int
    seq_to: int
    bytes: int
    time_from_ns: int
    time_to_ns: int
    reason: Reason
    open_end: bool = False

    @property
    def count(self) -> int:
        """How many records were dropped."""
        return self.seq_to - self.seq_from + 1

    def __post_init__(self) -> None:
        if not 1 <= self.seq_from <= self.seq_to:
            raise ContractError(f"loss of {self.seq_from} to {self.seq_to}: want 1 <= from <= to")
        check_seq(self.seq_to, "seq_to")
        check_count(self.bytes, "bytes")
        check_text(self.epoch, "epoch", least=1)
        # A loss whose records nobody can read any more has no first time.
        if not 0 <= self.time_from_ns <= _LATEST_NS or not 0 <= self.time_to_ns <= _LATEST_NS:
            raise ContractError(f"loss from {self.time_from_ns} to {self.time_to_ns} ns: want 0 or more, below 2**63")


class Command(msgspec.Struct, frozen=True, kw_only=True, tag="command", array_like=True):
    """One order to one device. `counter` grows for ever per gateway; an older one is a replay."""

    id: str
    gateway: str
    device: str
    action: str
    args: dict[str, Value]
    actor: str
    counter: int
    issued_ns: int
    ttl_s: int

    def __post_init__(self) -> None:
        check_text(self.id, "command", least=1)
        check_id(self.gateway, "gateway")
        check_id(self.device, "device")
        check_text(self.action, "action")
        _check_values(self.args, "args")
        check_text(self.actor, "actor", _LONGEST_ACTOR)
        check_count(self.counter, "counter")
        _check_time(self.issued_ns, "issued_ns")
        check_count(self.ttl_s, "ttl_s")


class CommandResult(msgspec.Struct, frozen=True, kw_only=True, tag="command_result", array_like=True):
    """What became of one command."""

    id: str
    device: str
    outcome: Outcome
    time_ns: int
    reason: Reason | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        check_text(self.id, "command", least=1)
        check_id(self.device, "device")
        _check_time(self.time_ns, "time_ns")
        check_text(self.detail, "detail", _LONGEST_NOTE)


Event = Transition | LossRecord | CommandResult
"""What the events lane carries."""
