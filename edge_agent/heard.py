"""What stands between a driver and the rest of the agent: what it heard, and where it takes it."""

from enum import StrEnum
from typing import Protocol

import msgspec

from device_profiles.model import Profile
from edge_agent.config import DeviceConfig
from firmware_bridge.values import Decoded
from telemetry.clock import Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["Heard", "Inlet", "Verdict"]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver heard from one device at one instant; `received_ns` is the wall clock when its bytes were whole.

    `awaited` says that somebody waits for the verdict, a device for its answer; what nobody waits for, as a polled
    register's content, goes to the disk with the next group of readings. Alarms that it raises go at once in any case.
    `frames` are the bytes that it was read from, where the driver sees them, without secrets; `source` is who sent them, as an
    address of the transport.
    """

    device: str
    profile: Profile
    received_ns: int
    decoded: Decoded
    awaited: bool = True
    frames: tuple[RawFrame, ...] = ()
    source: str = ""


class Verdict(StrEnum):
    """What became of something heard; a device that waits for an answer is answered by it."""

    COMMITTED = "committed"
    """The outbox has it on disk."""
    HELD_BACK = "held_back"
    """Nothing in it was worth sending by the profile's reporting policy; it was judged all the same."""
    REFUSED = "refused"
    """Nothing in it could be used; it was counted."""


class Inlet(Protocol):
    """The one door through which drivers hand over what they hear."""

    @property
    def clock(self) -> Clock:
        """The agent's clock; drivers read no other."""
        ...

    async def accept(self, heard: Heard) -> Verdict:
        """Take one reading; returns after the outbox committed it, or after it was held back or refused. Where nobody awaits the
        verdict, it returns once there was room, with the verdict that the reading will have.

        Waits while the agent is busy: a driver that awaits this is slowed down, never dropped. A driver that may not
        be slowed down must bound what it starts itself.
        """
        ...

    def refuse(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        """Count bytes that could not be used; logged at a bounded rate and shown in the status.

        `source` is a device id where it is known, otherwise the link's name or the peer's address. `raw` is shown in
        hex, cut short; keep secrets (authentication codes) out of it.
        """
        ...

    def admit(self, device: DeviceConfig) -> None:
        """Declare to the cloud a device that a listener let in by itself."""
        ...
