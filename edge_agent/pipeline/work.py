"""What is handed from step to step."""

from collections.abc import Callable, Mapping

import msgspec

from edge_agent.alarms.state import DeviceState
from edge_agent.alarms.zones import Zone
from edge_agent.heard import Heard
from telemetry.reason import Reason
from telemetry.records import Flaw, Reading, Transition, Value

__all__ = ["Doubt", "Forwarded", "Instant", "Memory", "Step", "Work"]


class Doubt(msgspec.Struct, frozen=True):
    """Something that was refused, or counted, on the way: one value, or the whole."""

    reason: Reason
    detail: str


class Forwarded(msgspec.Struct, frozen=True):
    """The last reading of a device that was sent on."""

    time_ns: int
    values: Mapping[str, Value]
    flaws: Mapping[str, Flaw]


class Instant(msgspec.Struct, frozen=True):
    """The device's newest event time as it told it, and every different thing that it said of it."""

    time_ns: int
    said: tuple[Mapping[str, Value], ...]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What the pipeline remembers of one device; only `alarms` outlives a restart."""

    alarms: DeviceState = DeviceState()
    forwarded: Forwarded | None = None
    instant: Instant | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One heard thing on its way.

    `reading` is None before `normalise`, and after it where nothing could be used. `send` is false where the reporting
    policy holds the reading back. `vouched` says whether the gateway's clock may be held against the device's. `zones` are
    the site's places, by name.
    """

    heard: Heard
    memory: Memory = Memory()
    reading: Reading | None = None
    doubts: tuple[Doubt, ...] = ()
    transitions: tuple[Transition, ...] = ()
    send: bool = True
    vouched: bool = True
    zones: Mapping[str, Zone] = {}


Step = Callable[[Work], Work]
