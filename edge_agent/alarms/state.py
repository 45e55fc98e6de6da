"""What the alarm engine remembers of a device; stored with the records it led to, so that a restart raises nothing twice."""

from collections.abc import Container, Mapping

import msgspec

__all__ = ["DeviceState", "RuleState", "newest_ns", "pack", "shifted", "unpack"]


class RuleState(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True):
    """One rule of one device.

    `pending_ns` is when the condition began to contradict `active` (a running on-delay or off-delay); `onset_ns`
    names the present or last occurrence, of which `steps` transitions were written, the last at `moved_ns`. `held` and
    `known` are what is remembered of the condition (`edge_agent.alarms.conditions.Memory`).
    """

    active: bool = False
    uncertain: bool = False
    pending_ns: int | None = None
    onset_ns: int = 0
    moved_ns: int = 0
    steps: int = 0
    held: int = 0
    known: int = 0


class DeviceState(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """All rules of one device; `judged_ns` is the event time of the newest reading judged."""

    judged_ns: int = 0
    rules: Mapping[str, RuleState] = {}

    def rule(self, name: str) -> RuleState:
        """The state of one rule; that of a new one where nothing is remembered."""
        return self.rules.get(name, RuleState())


def shifted(state: DeviceState, by_ns: int, own: Container[str], *, judged: bool) -> DeviceState:
    """The state after the clock that it was judged by has been put right by `by_ns`.

    `own` are the rules judged in the gateway's time, `judged` says whether the readings are. Running delays go on as
    if nothing had happened. An occurrence that is open keeps the name that the cloud knows.
    """
    return DeviceState(
        judged_ns=max(0, state.judged_ns + by_ns) if judged and state.judged_ns else state.judged_ns,
        rules={name: _shifted(rule, by_ns) if name in own else rule for name, rule in state.rules.items()},
    )


def _shifted(rule: RuleState, by_ns: int) -> RuleState:
    moved = msgspec.structs.replace(
        rule,
        pending_ns=None if rule.pending_ns is None else max(0, rule.pending_ns + by_ns),
        moved_ns=max(0, rule.moved_ns + by_ns) if rule.moved_ns else 0,
    )
    if rule.active or not rule.onset_ns:
        return moved
    # The next occurrence must not be taken for this one: no name of the new time was ever given out.
    return msgspec.structs.replace(moved, onset_ns=max(0, rule.onset_ns + by_ns), steps=0)


def newest_ns(state: DeviceState, own: Container[str], *, judged: bool) -> int:
    """The latest time of what `shifted` would move; 0 where there is none."""
    times = [state.judged_ns if judged else 0]
    times += (max(rule.moved_ns, rule.pending_ns or 0) for name, rule in state.rules.items() if name in own)
    return max(times)


_decoder = msgspec.msgpack.Decoder(DeviceState)
_encoder = msgspec.msgpack.Encoder()


def pack(state: DeviceState) -> bytes:
    """The state as the outbox stores it."""
    return _encoder.encode(state)


def unpack(data: bytes) -> DeviceState:
    """The stored state; msgspec.MsgspecError where it is not one."""
    return _decoder.decode(data)
