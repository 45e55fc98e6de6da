"""What is done to an encoded batch without sending it: taken apart, given other times, told by its numbers alone."""

from typing import Final

import msgspec

from telemetry.reason import Reason
from telemetry.records import CommandResult, Event, Lane, LossRecord, Transition, check_id, check_seq, check_text
from telemetry.wire import VERSION, ClockNote, EventsBatch, ReadingGroup, ReadingsBatch, WireError, encode

__all__ = ["Envelope", "envelope", "part", "restamped"]

_GATEWAY_STAMPED_NS: Final = 1_000_000
"""An event time this near to the gateway's own is the gateway's own: no device agrees with a wrong clock by chance."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What can be read of a batch whose records cannot: which records they would have been."""

    gateway: str
    epoch: str
    lane: Lane
    first_seq: int
    count: int
    reason: Reason
    detail: str


class _LooseReadings(msgspec.Struct, frozen=True, array_like=True):
    """A readings batch read no deeper than its numbers."""

    gateway: str
    epoch: str
    first_seq: int
    count: int


class _LooseEvents(msgspec.Struct, frozen=True, array_like=True):
    """An events batch whose events stay bytes."""

    gateway: str
    epoch: str
    first_seq: int
    events: list[msgspec.Raw]
    clock: ClockNote | None = None


_encoder = msgspec.msgpack.Encoder()
_readings = msgspec.msgpack.Decoder(ReadingsBatch)
_events = msgspec.msgpack.Decoder(EventsBatch)
_loose_readings = msgspec.msgpack.Decoder(_LooseReadings)
_loose_events = msgspec.msgpack.Decoder(_LooseEvents)


def envelope(message: bytes, lane: Lane, error: WireError) -> Envelope:
    """Which records an uncompressed batch of a lane would have held, where `error` says why they cannot be read.

    Raises the error itself where not even that can be told.
    """
    try:
        if lane is Lane.READINGS:
            batch = _loose_readings.decode(memoryview(message)[1:])
            gateway, epoch, first_seq, count = batch.gateway, batch.epoch, batch.first_seq, batch.count
        else:
            events = _loose_events.decode(memoryview(message)[1:])
            gateway, epoch, first_seq, count = events.gateway, events.epoch, events.first_seq, len(events.events)
        check_id(gateway, "gateway")
        check_text(epoch, "epoch", least=1)
        check_seq(first_seq, "first_seq")
        check_seq(first_seq + count - 1, "last_seq", least=first_seq)
    except (msgspec.MsgspecError, ValueError) as loose:
        raise error from loose
    return Envelope(
        gateway=gateway, epoch=epoch, lane=lane, first_seq=first_seq, count=count, reason=error.reason, detail=error.detail
    )


def part(message: bytes, lane: Lane, first_seq: int, last_seq: int) -> bytes:
    """The records `first_seq` to `last_seq` of an encoded, uncompressed batch, as a batch of their own.

    Of events it looks at nothing but the numbers, so that a batch with one that nobody can read can still be taken apart.
    The same part has the same bytes each time. Raises ValueError where the batch does not hold these records.
    """
    body = memoryview(message)[1:]
    if lane is Lane.EVENTS:
        events = _loose_events.decode(body)
        low, high = first_seq - events.first_seq, last_seq - events.first_seq + 1
        if not 0 <= low < high <= len(events.events):
            raise ValueError(f"events {first_seq} to {last_seq}: the batch begins at {events.first_seq}")
        cut = msgspec.structs.replace(events, first_seq=first_seq, events=events.events[low:high])
        return bytes((VERSION,)) + _encoder.encode(cut)
    batch = _readings.decode(body)
    low, high = first_seq - batch.first_seq, last_seq - batch.first_seq
    if not 0 <= low <= high < batch.count:
        raise ValueError(f"readings {first_seq} to {last_seq}: the batch begins at {batch.first_seq}")
    groups = [group for whole in batch.groups if (group := _rows_between(whole, low, high)).rows]
    return encode(msgspec.structs.replace(batch, first_seq=first_seq, count=high - low + 1, groups=groups))


def _rows_between(group: ReadingGroup, low: int, high: int) -> ReadingGroup:
    """The rows with offsets `low` to `high`, counted from `low`; devices without a row are left out."""
    kept = [index for index, row in enumerate(group.rows) if low <= row[0] <= high]
    devices = {device: at for at, device in enumerate(dict.fromkeys(group.rows[index][1] for index in kept))}
    places = {index: at for at, index in enumerate(kept)}
    return ReadingGroup(
        group.profile,
        group.version,
        group.metrics,
        tuple(group.devices[device] for device in devices),
        [(row[0] - low, devices[row[1]], *row[2:]) for row in (group.rows[index] for index in kept)],
        [(places[flaw[0]], *flaw[1:]) for flaw in group.flaws if flaw[0] in places],
    )


def restamped(message: bytes, lane: Lane, note: ClockNote) -> bytes:
    """An encoded, uncompressed batch whose times came from a clock that nobody vouched for, with what is known by now.

    Every time that was the gateway's own is moved by `note.shift_ns`; a device's own time stays. The same note gives
    the same bytes.
    """
    body, shift = memoryview(message)[1:], note.shift_ns
    if lane is Lane.EVENTS:
        events = _events.decode(body)
        return encode(msgspec.structs.replace(events, events=[_moved(event, shift) for event in events.events], clock=note))
    batch = _readings.decode(body)
    groups = [
        msgspec.structs.replace(
            group,
            rows=[
                (
                    offset,
                    device,
                    time_ns + shift if abs(time_ns - received_ns) < _GATEWAY_STAMPED_NS else time_ns,
                    received_ns + shift,
                    values,
                )
                for offset, device, time_ns, received_ns, values in group.rows
            ],
        )
        for group in batch.groups
    ]
    return encode(msgspec.structs.replace(batch, groups=groups, clock=note))


def _moved(event: Event, shift_ns: int) -> Event:
    match event:
        case Transition():
            own = abs(event.event_time_ns - event.recorded_ns) < _GATEWAY_STAMPED_NS
            event_time_ns = event.event_time_ns + (shift_ns if own else 0)
            return msgspec.structs.replace(event, event_time_ns=event_time_ns, recorded_ns=event.recorded_ns + shift_ns)
        case CommandResult():
            return msgspec.structs.replace(event, time_ns=event.time_ns + shift_ns)
        case LossRecord():
            return event  # it speaks of other records' times
