"""What the alarm engine remembers of a device; stored with the records it led to, so that a restart raises nothing twice."""

from collections.abc import Container, Mapping

import msgspec

from edge_agent.alarms.windows import Slot
from telemetry.records import Value

__all__ = ["DeviceState", "Held", "RuleState", "newest_ns", "pack", "shifted", "unpack"]


class RuleState(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True):
    """One rule of one device.

    `pending_ns` is when the condition began to contradict `active` (a running on-delay or off-delay); `onset_ns`
    names the present or last occurrence, of which `steps` transitions were written, the last at `moved_ns`. The rest but
    the levels is what is remembered of the condition (`edge_agent.alarms.conditions.Memory`). `level` counts the rule's levels
    that have been reached, `turning` says since when each one contradicts that.
    """

    active: bool = False
    uncertain: bool = False
    pending_ns: int | None = None
    onset_ns: int = 0
    moved_ns: int = 0
    steps: int = 0
    held: int = 0
    known: int = 0
    windows: Mapping[int, tuple[Slot, ...]] = {}
    counts: Mapping[int, int] = {}
    there_ns: Mapping[int, int] = {}
    sampled_ns: int = 0
    level: int = 0
    turning: Mapping[int, int] = {}


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A reading that waits for those that may still come before it; values that cannot be believed are None."""

    time_ns: int
    values: Mapping[str, Value]


class DeviceState(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True):
    """All rules of one device; `judged_ns` is the event time up to which readings were judged.

    `behind_ns` has that time for the rules that are not as far: their metrics come in messages of their own. `held` are
    readings that were not yet judged by every rule, in the order of time.
    """

    judged_ns: int = 0
    rules: Mapping[str, RuleState] = {}
    behind_ns: Mapping[str, int] = {}
    held: tuple[Held, ...] = ()

    def rule(self, name: str) -> RuleState:
        """The state of one rule; that of a new one where nothing is remembered."""
        return self.rules.get(name, _NEW)

    def judged_by(self, name: str) -> int:
        """The event time up to which one rule has judged."""
        return self.behind_ns.get(name, self.judged_ns)


_NEW = RuleState()


def shifted(state: DeviceState, by_ns: int, own: Container[str], *, judged: bool) -> DeviceState:
    """The state after the clock that it was judged by has been put right by `by_ns`.

    `own` are the rules judged in the gateway's time, `judged` says whether the readings are. Running delays go on as
    if nothing had happened. An occurrence that is open keeps the name that the cloud knows.
    """
    rules = {name: _shifted(rule, by_ns) if name in own else rule for name, rule in state.rules.items()}
    if not judged:
        return msgspec.structs.replace(state, rules=rules)
    return DeviceState(
        judged_ns=_moved(state.judged_ns, by_ns),
        rules=rules,
        behind_ns={name: _moved(time_ns, by_ns) for name, time_ns in state.behind_ns.items()},
        held=tuple(Held(max(0, held.time_ns + by_ns), held.values) for held in state.held),
    )


def _shifted(rule: RuleState, by_ns: int) -> RuleState:
    moved = msgspec.structs.replace(
        rule,
        pending_ns=None if rule.pending_ns is None else max(0, rule.pending_ns + by_ns),
        moved_ns=_moved(rule.moved_ns, by_ns),
        windows={
            leaf: tuple(msgspec.structs.replace(slot, at_ns=slot.at_ns + by_ns) for slot in slots)
            for leaf, slots in rule.windows.items()
        },
        there_ns={leaf: since_ns + by_ns for leaf, since_ns in rule.there_ns.items()},
        sampled_ns=_moved(rule.sampled_ns, by_ns),
        turning={level: since_ns + by_ns for level, since_ns in rule.turning.items()},
    )
    if rule.active or not rule.onset_ns:
        return moved
    # The next occurrence must not be taken for this one: no name of the new time was ever given out.
    return msgspec.structs.replace(moved, onset_ns=max(0, rule.onset_ns + by_ns), steps=0)


def _moved(time_ns: int, by_ns: int) -> int:
    """A time moved; 0, which stands for never, stays."""
    return max(0, time_ns + by_ns) if time_ns else 0


def newest_ns(state: DeviceState, own: Container[str], *, judged: bool) -> int:
    """The latest time of what `shifted` would move; 0 where there is none."""
    times = [state.judged_ns, *(held.time_ns for held in state.held[-1:])] if judged else [0]
    times += (max(rule.moved_ns, rule.pending_ns or 0) for name, rule in state.rules.items() if name in own)
    return max(times)


_decoder = msgspec.msgpack.Decoder(DeviceState)
_encoder = msgspec.msgpack.Encoder()


def pack(state: DeviceState) -> bytes:
    """The state as the outbox stores it."""
    return _encoder.encode(state)


def unpack(data: bytes) -> DeviceState:
    """The stored state, of this version or an earlier one; msgspec.MsgspecError where it is not one."""
    return _decoder.decode(data)
