"""What the alarm engine remembers of a device; stored with the records it led to, so that a restart raises nothing twice."""

from collections.abc import Mapping

import msgspec

__all__ = ["DeviceState", "RuleState", "pack", "unpack"]


class RuleState(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True):
    """One rule of one device.

    `pending_ns` is when the condition began to contradict `active` (a running on-delay or off-delay); `onset_ns`
    names the present or last occurrence, of which `steps` transitions were written, the last at `moved_ns`. `held`
    is the deadbands' memory (`edge_agent.alarms.conditions.evaluate`).
    """

    active: bool = False
    uncertain: bool = False
    pending_ns: int | None = None
    onset_ns: int = 0
    moved_ns: int = 0
    steps: int = 0
    held: int = 0


class DeviceState(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """All rules of one device; `judged_ns` is the event time of the newest reading judged."""

    judged_ns: int = 0
    rules: Mapping[str, RuleState] = {}

    def rule(self, name: str) -> RuleState:
        """The state of one rule; that of a new one where nothing is remembered."""
        return self.rules.get(name, RuleState())


_decoder = msgspec.msgpack.Decoder(DeviceState)
_encoder = msgspec.msgpack.Encoder()


def pack(state: DeviceState) -> bytes:
    """The state as the outbox stores it."""
    return _encoder.encode(state)


def unpack(data: bytes) -> DeviceState:
    """The stored state; msgspec.MsgspecError where it is not one."""
    return _decoder.decode(data)
