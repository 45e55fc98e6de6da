"""The memory of a simulated bootloader: flash whose every write may be the last before the power goes."""

import struct
import zlib

import msgspec

from firmware_bridge.update.standing import Phase, Refusal

__all__ = ["BootRecord", "Flash", "Power", "PowerCutError"]


class PowerCutError(Exception):
    """The supply went away; nothing but the flash is left."""


class Power:
    """A supply that holds for `steps` writes and then fails within the next one; None holds for ever."""

    def __init__(self, steps: int | None = None) -> None:
        self.steps = steps
        self.used = 0

    def spent(self) -> bool:
        """Count one write; True where the supply fails within it."""
        self.used += 1
        return self.steps is not None and self.used > self.steps


class BootRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a bootloader remembers. `active` is the slot of the confirmed image (0 or 1), `counter` the highest version
    that was ever confirmed, `trials` the boots of an unconfirmed image so far."""

    sequence: int = 0
    active: int = 0
    counter: int = 0
    phase: Phase = Phase.EMPTY
    refusal: Refusal = Refusal.NONE
    trials: int = 0
    next_chunk: int = 0


_RECORD = struct.Struct(">IBIBBBI")
_COPY_BYTES = _RECORD.size + 4


class Flash:
    """Two slots for images with their headers, and a boot record in two copies, of which the older is always written.

    A write that the power interrupts leaves its first half. `slots` may be looked at by whoever checks a boot.
    """

    def __init__(self, slot_bytes: int) -> None:
        self.power = Power()
        self.slots = (bytearray(b"\xff" * slot_bytes), bytearray(b"\xff" * slot_bytes))
        self._copies = (bytearray(b"\xff" * _COPY_BYTES), bytearray(b"\xff" * _COPY_BYTES))

    def write(self, slot: int, at: int, data: bytes) -> None:
        """Put `data` into a slot."""
        self._put(self.slots[slot], at, data)

    def note(self, record: BootRecord) -> None:
        """Put a record where the older copy is, with the next sequence number."""
        now = self.record()
        body = _RECORD.pack(
            now.sequence + 1, record.active, record.counter, record.phase, record.refusal, record.trials, record.next_chunk
        )
        self._put(self._copies[(now.sequence + 1) % 2], 0, body + zlib.crc32(body).to_bytes(4, "big"))

    def record(self) -> BootRecord:
        """The newer of the two copies that are whole; a new chip has none and gets the record of one."""
        found = [read for copy in self._copies if (read := _read(bytes(copy))) is not None]
        return max(found, key=lambda record: record.sequence, default=BootRecord())

    def _put(self, memory: bytearray, at: int, data: bytes) -> None:
        if self.power.spent():
            half = data[: len(data) // 2]
            memory[at : at + len(half)] = half
            raise PowerCutError
        memory[at : at + len(data)] = data


def _read(copy: bytes) -> BootRecord | None:
    body, check = copy[: _RECORD.size], copy[_RECORD.size :]
    if zlib.crc32(body).to_bytes(4, "big") != check:
        return None
    sequence, active, counter, phase, refusal, trials, next_chunk = _RECORD.unpack(body)
    return BootRecord(
        sequence=sequence,
        active=active,
        counter=counter,
        phase=Phase(phase),
        refusal=Refusal(refusal),
        trials=trials,
        next_chunk=next_chunk,
    )
