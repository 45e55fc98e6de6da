"""The last frames of every device, in memory: what an alarm is proved by, and what a device that is watched closely sends on.

Nothing here outlives a restart, and nothing here is waited for.
"""

from collections import OrderedDict, deque

import msgspec

from device_profiles.model import Profile
from edge_agent.heard import Heard
from telemetry.raw_frames import (
    EVIDENCE_FRAME,
    EVIDENCE_TEXTS,
    RAW_FRAME,
    READING_TEXTS,
    RawFrame,
    written_frames,
)
from telemetry.records import Cause, Reading, Transition, Value

__all__ = ["FrameCounts", "FrameRings", "frame_reading"]

_DEVICE_BYTES = 4096
_ALL_BYTES = 1024 * 1024
_ENTRY_BYTES = 64
"""What an entry costs beside its bytes, so that many empty frames are bounded, too."""
_MOST_SOURCE = 128
_PROVED = frozenset({Cause.RAISE, Cause.PRIORITY_RAISED})
"""The steps that somebody may want proved; the others say less than was said before."""


class FrameCounts(msgspec.Struct):
    """`bytes` are held now. `left_out` are bytes that found no room: in a ring, in a transition or in a reading."""

    bytes: int = 0
    devices: int = 0
    left_out: int = 0


class _Entry(msgspec.Struct, frozen=True):
    time_ns: int
    received_ns: int
    source: str
    frames: tuple[RawFrame, ...]

    @property
    def size(self) -> int:
        return _ENTRY_BYTES + sum(len(frame.raw) for frame in self.frames)


class FrameRings:
    """A ring for each device, bounded, and all rings bounded: the device that was silent longest makes room for the others."""

    def __init__(self, device_bytes: int = _DEVICE_BYTES, all_bytes: int = _ALL_BYTES) -> None:
        self._device_bytes = device_bytes
        self._all_bytes = all_bytes
        self._rings: OrderedDict[str, deque[_Entry]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self.counts = FrameCounts()

    def keep(self, heard: Heard, time_ns: int) -> None:
        """Keep the frames that gave a reading with this event time."""
        if not heard.frames:
            return
        entry = _Entry(time_ns, heard.received_ns, heard.source, heard.frames)
        if entry.size > self._device_bytes:
            self.counts.left_out += entry.size - _ENTRY_BYTES
            return
        ring = self._rings.setdefault(heard.device, deque())
        self._rings.move_to_end(heard.device)
        ring.append(entry)
        self._grow(heard.device, entry.size)
        while self._sizes[heard.device] > self._device_bytes:
            self._grow(heard.device, -ring.popleft().size)
        while self.counts.bytes > self._all_bytes:
            self._forget_longest_silent()
        self.counts.devices = len(self._rings)

    def evidence(self, steps: tuple[Transition, ...]) -> tuple[Transition, ...]:
        """The steps, each that raises an alarm with the frames that made it true, where they are still here."""
        return tuple(self._proved(step) if step.cause in _PROVED else step for step in steps)

    def _proved(self, step: Transition) -> Transition:
        ring = self._rings.get(step.device, ())
        entry = next((entry for entry in reversed(ring) if entry.time_ns == step.event_time_ns), None)
        if entry is None:
            return step
        texts, left_out = written_frames(EVIDENCE_FRAME, entry.frames, EVIDENCE_TEXTS)
        self.counts.left_out += left_out
        texts |= _told(EVIDENCE_FRAME, entry.received_ns, entry.source)
        return msgspec.structs.replace(step, evidence={**step.evidence, **texts})

    def _grow(self, device: str, size: int) -> None:
        self._sizes[device] = self._sizes.get(device, 0) + size
        self.counts.bytes += size

    def _forget_longest_silent(self) -> None:
        device, _ = self._rings.popitem(last=False)
        self.counts.bytes -= self._sizes.pop(device)


def frame_reading(heard: Heard, profile: Profile, time_ns: int, counts: FrameCounts) -> Reading | None:
    """The frames of something heard as a record of their own; None where its driver has none."""
    texts, left_out = written_frames(RAW_FRAME, heard.frames, READING_TEXTS)
    counts.left_out += left_out
    if not texts:
        return None
    texts |= _told(RAW_FRAME, heard.received_ns, heard.source)
    return Reading(
        device=heard.device,
        profile=profile.name,
        profile_version=profile.version,
        time_ns=time_ns,
        received_ns=heard.received_ns,
        values=texts,
    )


def _told(name: str, received_ns: int, source: str) -> dict[str, Value]:
    """What is said of the frames beside them."""
    told: dict[str, Value] = {f"{name}.received_ns": received_ns}
    return told | {f"{name}.source": source[:_MOST_SOURCE]} if source else told
