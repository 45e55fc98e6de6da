"""The bytes on the wire: MessagePack behind one byte that says version and compression.

    byte 0      bits 0-6 version (1), bit 7 set when the rest is one zstd frame
    byte 1..    MessagePack, structs as arrays

A readings batch names the profile, its metrics and its devices once per group and then carries rows, so that a
reading of ten values costs ten small MessagePack items and no field name.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from telemetry.reason import Reason
from telemetry.records import (
    ClockQuality,
    Command,
    ContractError,
    Event,
    Flaw,
    Lane,
    Quality,
    Reading,
    Value,
    check_count,
    check_id,
    check_seq,
    check_text,
)

__all__ = [
    "MAX_MESSAGE_BYTES",
    "VERSION",
    "Ack",
    "ClockNote",
    "DeviceDeclaration",
    "Digest",
    "EventsBatch",
    "GatewayStatus",
    "Hello",
    "LaneSpan",
    "ReadingGroup",
    "ReadingsBatch",
    "WireError",
    "compressed",
    "decode_ack",
    "decode_command",
    "decode_events",
    "decode_hello",
    "decode_readings",
    "decode_status",
    "digest",
    "encode",
    "group_readings",
    "spans",
    "uncompressed",
]

VERSION: Final = 1
_COMPRESSED: Final = 0x80
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""No message is larger, before or after decompression; a larger one is refused, not read."""

_MOST_DEVICES: Final = 20_000
_MOST_WORDS: Final = 256
"""Kinds of refusal in one status; there are fewer reasons."""
_MOST_DIGESTS: Final = 64
_DIGEST_BYTES: Final = 16

_T = TypeVar("_T")

Compress = Callable[[bytes], bytes]
Decompress = Callable[[bytes, int], bytes]
"""Takes the compressed bytes and the most it may produce; raises ValueError when it cannot or may not."""


class WireError(ValueError):
    """A message that the contract cannot read; `reason` is the word to count it under."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ReadingGroup(msgspec.Struct, frozen=True, array_like=True):
    """The rows of one profile in a readings batch.

    A row is (offset, device, time_ns, received_ns, values): its sequence number is the batch's `first_seq` plus
    `offset`, its device the one at that index of `devices`, and its values stand in the order of `metrics`. A flaw is
    (row, metric, quality, reason), the first two being indexes.
    """

    profile: str
    version: int
    metrics: tuple[str, ...]
    devices: tuple[str, ...]
    rows: list[tuple[int, int, int, int, list[Value]]]
    flaws: list[tuple[int, int, Quality, Reason]]

    def readings(self) -> Iterator[tuple[int, Reading]]:
        """Each row as (offset, reading): the readable way out, not the fast one."""
        flaws: dict[int, dict[str, Flaw]] = {}
        for row, metric, quality, reason in self.flaws:
            flaws.setdefault(row, {})[self.metrics[metric]] = Flaw(quality, reason)
        for index, (offset, device, time_ns, received_ns, values) in enumerate(self.rows):
            yield (
                offset,
                Reading(
                    device=self.devices[device],
                    profile=self.profile,
                    profile_version=self.version,
                    time_ns=time_ns,
                    received_ns=received_ns,
                    values=dict(zip(self.metrics, values, strict=True)),
                    flaws=flaws.get(index, {}),
                ),
            )


class ClockNote(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """That the times of a batch came from a clock nobody vouched for. Absent where the clock was in order.

    `boot_id` names the boot in which they were stamped. With `ClockQuality.CLOUD` every time that was the gateway's own
    has had `shift_ns` added to it before sending; with `UNSYNCED` nothing is known, and the times are as they were.
    """

    boot_id: str
    quality: ClockQuality
    shift_ns: int = 0


class ReadingsBatch(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Consecutive readings `first_seq` to `first_seq + count - 1` of one gateway's readings lane."""

    gateway: str
    epoch: str
    first_seq: int
    count: int
    groups: list[ReadingGroup]
    clock: ClockNote | None = None


class EventsBatch(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Consecutive events from `first_seq` on of one gateway's events lane."""

    gateway: str
    epoch: str
    first_seq: int
    events: list[Event]
    clock: ClockNote | None = None


class Digest(msgspec.Struct, frozen=True, array_like=True):
    """The fingerprint of the batch that held the records `first_seq` to `last_seq`; see `digest`."""

    first_seq: int
    last_seq: int
    digest: bytes


class LaneSpan(msgspec.Struct, frozen=True, array_like=True):
    """What one lane of an outbox still holds: from the first record not yet acknowledged to the next to be given out.

    Records from `first_kept` on (0: from `first_unacked` on) can still be sent again, also those already acknowledged.
    `digests` are of some batches around `first_unacked`, so that a store that was copied or altered shows.
    """

    first_unacked: int
    next_seq: int
    first_kept: int = 0
    digests: list[Digest] = []


class DeviceDeclaration(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A device as its gateway's configuration states it. `position` is (longitude, latitude), WGS-84 degrees."""

    device: str
    profile: str
    profile_version: int
    kind: str
    name: str = ""
    position: tuple[float, float] | None = None
    component_code: str = ""


class Hello(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a gateway says after each connect, and again whenever its devices change."""

    gateway: str
    epoch: str
    boot_id: str
    agent_version: str
    sent_ns: int
    lanes: dict[Lane, LaneSpan]
    devices: list[DeviceDeclaration]
    clock: ClockQuality = ClockQuality.SYNCED


class Ack(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The cloud's word that records of one lane are committed in their final stores.

    Everything up to and including `cumulative` is, and so is every closed `(from, to)` range above it. `quarantined`
    records, each with its reason, were refused for good and count as done. `credit` is how many records beyond those
    that are done the cloud is willing to hold. Idempotent and monotone: it may be lost, doubled or reordered.

    `answers` is the `sent_ns` of the hello that this answers, 0 where it answers none: only such a word may say that the
    cloud knows less than before. `refused` are closed ranges (from, to, reason) of one batch each that could not be
    taken as a whole: nothing of it is done, and in smaller batches the good records will be. `fenced` tells the gateway
    that this epoch is not its own any more, and why: it must begin a new one.
    """

    gateway: str
    epoch: str
    lane: Lane
    cumulative: int
    ranges: list[tuple[int, int]] = []
    quarantined: list[tuple[int, Reason]] = []
    credit: int = 0
    server_ns: int = 0
    answers: int = 0
    refused: list[tuple[int, int, Reason]] = []
    fenced: Reason | None = None


class GatewayStatus(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a gateway says of itself, retained; the will says `online` false with the rest as it last was."""

    gateway: str
    online: bool
    at_ns: int
    agent_version: str = ""
    epoch: str = ""
    backlog: dict[Lane, int] = {}
    oldest_unacked_ns: int | None = None
    outbox_bytes: int = 0
    devices_expected: int = 0
    devices_heard: int = 0
    refusals: dict[str, int] = {}
    clock: ClockQuality = ClockQuality.SYNCED
    lost: dict[Lane, int] = {}
    outbox_max_bytes: int = 0


_encoder = msgspec.msgpack.Encoder()
_readings = msgspec.msgpack.Decoder(ReadingsBatch)
_events = msgspec.msgpack.Decoder(EventsBatch)
_hello = msgspec.msgpack.Decoder(Hello)
_ack = msgspec.msgpack.Decoder(Ack)
_command = msgspec.msgpack.Decoder(Command)
_status = msgspec.msgpack.Decoder(GatewayStatus)

Message = ReadingsBatch | EventsBatch | Hello | Ack | Command | GatewayStatus


def encode(message: Message, compress: Compress | None = None, above: int = 1024) -> bytes:
    """The message as bytes; compressed when `compress` is given and the MessagePack is longer than `above` bytes."""
    encoded = bytes((VERSION,)) + _encoder.encode(message)
    return encoded if compress is None else compressed(encoded, compress, above)


def compressed(message: bytes, compress: Compress, above: int = 1024) -> bytes:
    """An encoded message with its MessagePack compressed where that is longer than `above` bytes and is not so already."""
    if len(message) - 1 <= above or message[0] != VERSION:
        return message
    return bytes((VERSION | _COMPRESSED,)) + compress(message[1:])


def decode_readings(payload: bytes, decompress: Decompress) -> ReadingsBatch:
    """A readings batch whose every index has been checked; WireError otherwise."""
    return _decode(_readings, payload, decompress, _check_readings)


def decode_events(payload: bytes, decompress: Decompress) -> EventsBatch:
    """An events batch; WireError otherwise."""
    return _decode(_events, payload, decompress, _check_events)


def decode_hello(payload: bytes, decompress: Decompress) -> Hello:
    """A hello; WireError otherwise."""
    return _decode(_hello, payload, decompress, _check_hello)


def decode_ack(payload: bytes, decompress: Decompress) -> Ack:
    """An acknowledgement; WireError otherwise."""
    return _decode(_ack, payload, decompress, _check_ack)


def decode_command(payload: bytes, decompress: Decompress) -> Command:
    """A command; WireError otherwise."""
    return _decode(_command, payload, decompress)


def decode_status(payload: bytes, decompress: Decompress) -> GatewayStatus:
    """A gateway's status; WireError otherwise."""
    return _decode(_status, payload, decompress, _check_status)


def digest(message: bytes) -> bytes:
    """The fingerprint of an uncompressed message: 16 bytes of BLAKE2b."""
    return hashlib.blake2b(message, digest_size=_DIGEST_BYTES).digest()


def group_readings(gateway: str, epoch: str, first_seq: int, readings: Sequence[Reading]) -> ReadingsBatch:
    """The batch that numbers `readings` from `first_seq` on, grouped by profile, version and set of metrics."""
    builders: dict[tuple[str, int, tuple[str, ...]], _GroupBuilder] = {}
    for offset, reading in enumerate(readings):
        key = (reading.profile, reading.profile_version, tuple(reading.values))
        builder = builders.get(key)
        if builder is None:
            builder = builders[key] = _GroupBuilder(*key)
        builder.add(offset, reading)
    return ReadingsBatch(
        gateway=gateway, epoch=epoch, first_seq=first_seq, count=len(readings), groups=[b.build() for b in builders.values()]
    )


class _GroupBuilder:
    def __init__(self, profile: str, version: int, metrics: tuple[str, ...]) -> None:
        self._head = (profile, version, metrics)
        self._devices: dict[str, int] = {}
        self._rows: list[tuple[int, int, int, int, list[Value]]] = []
        self._flaws: list[tuple[int, int, Quality, Reason]] = []

    def add(self, offset: int, reading: Reading) -> None:
        device = self._devices.setdefault(reading.device, len(self._devices))
        if reading.flaws:
            metrics, row = self._head[2], len(self._rows)
            self._flaws += ((row, metrics.index(name), flaw.quality, flaw.reason) for name, flaw in reading.flaws.items())
        self._rows.append((offset, device, reading.time_ns, reading.received_ns, list(reading.values.values())))

    def build(self) -> ReadingGroup:
        return ReadingGroup(*self._head, tuple(self._devices), self._rows, self._flaws)


def uncompressed(payload: bytes, decompress: Decompress) -> bytes:
    """The message as `encode` wrote it before any compression; WireError where it is none of ours."""
    if not payload or len(payload) > MAX_MESSAGE_BYTES:
        raise WireError(Reason.OVERSIZED if payload else Reason.TRUNCATED, f"{len(payload)} bytes")
    if payload[0] & ~_COMPRESSED != VERSION:
        raise WireError(Reason.UNSUPPORTED_VERSION, f"first byte {payload[0]:#04x}, want version {VERSION}")
    if not payload[0] & _COMPRESSED:
        return payload
    try:
        return bytes((VERSION,)) + decompress(payload[1:], MAX_MESSAGE_BYTES)
    except ValueError as error:
        raise WireError(Reason.NOT_MSGPACK, f"not a zstd frame within {MAX_MESSAGE_BYTES} bytes: {error}") from error


def _decode(
    decoder: "msgspec.msgpack.Decoder[_T]", payload: bytes, decompress: Decompress, check: Callable[[_T], None] | None = None
) -> _T:
    plain = uncompressed(payload, decompress)
    try:
        message = decoder.decode(memoryview(plain)[1:])
        if check is not None:
            check(message)
    except (msgspec.MsgspecError, ValueError) as error:
        # msgspec wraps what a record's own check raises.
        broken = isinstance(error, ContractError) or isinstance(error.__cause__, ContractError)
        raise WireError(Reason.BAD_FIELD if broken else Reason.NOT_MSGPACK, str(error)) from error
    return message


def _check_origin(message: ReadingsBatch | EventsBatch | Hello | Ack) -> None:
    check_id(message.gateway, "gateway")
    check_text(message.epoch, "epoch", least=1)


def _check_readings(batch: ReadingsBatch) -> None:
    _check_origin(batch)
    check_seq(batch.first_seq, "first_seq")
    offsets = sorted(row[0] for group in batch.groups for row in group.rows)
    if not offsets or offsets != list(range(batch.count)):
        raise ContractError(f"{len(offsets)} rows: want offsets 0 to {batch.count - 1}, once each")
    for group in batch.groups:
        check_text(group.profile, "profile", least=1)
        width, devices = len(group.metrics), len(group.devices)
        for name in (max(group.metrics, key=len, default=""), max(group.devices, key=len, default="")):
            check_text(name, f"{group.profile}: metric or device")
        if any(len(row[4]) != width or not 0 <= row[1] < devices for row in group.rows):
            raise ContractError(f"{group.profile}: a row with another number of values, or of no declared device")
        if any(not (0 <= row < len(group.rows) and 0 <= metric < width) for row, metric, _, _ in group.flaws):
            raise ContractError(f"{group.profile}: a flaw of a row or metric that is not there")


def _check_events(batch: EventsBatch) -> None:
    _check_origin(batch)
    check_seq(batch.first_seq, "first_seq")
    if not batch.events:
        raise ContractError("no event: want at least one")


def _check_hello(hello: Hello) -> None:
    _check_origin(hello)
    check_text(hello.boot_id, "boot_id")
    check_text(hello.agent_version, "agent_version")
    for span in hello.lanes.values():
        check_seq(span.first_unacked, "first_unacked")
        check_seq(span.next_seq, "next_seq")
        check_seq(span.first_kept, "first_kept", least=0)
        if len(span.digests) > _MOST_DIGESTS:
            raise ContractError(f"{len(span.digests)} digests: want at most {_MOST_DIGESTS}")
        for each in span.digests:
            check_seq(each.first_seq, "digest from")
            check_seq(each.last_seq, "digest to", least=each.first_seq)
            if len(each.digest) != _DIGEST_BYTES:
                raise ContractError(f"a digest of {len(each.digest)} bytes: want {_DIGEST_BYTES}")
    if len(hello.devices) > _MOST_DEVICES:
        raise ContractError(f"{len(hello.devices)} devices: want at most {_MOST_DEVICES}")
    for declared in hello.devices:
        check_id(declared.device, "device")
        check_text(declared.profile, "profile", least=1)
        check_text(declared.kind, "kind")
        check_text(declared.name, "name", 200)
        check_text(declared.component_code, "component_code", 32)
        check_count(declared.profile_version, "profile_version")
        if declared.position is not None:
            longitude, latitude = declared.position
            # NaN compares false and so is refused, too.
            if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
                raise ContractError(f"{declared.device}: position {declared.position}, want longitude and latitude in degrees")


def _check_ack(ack: Ack) -> None:
    _check_origin(ack)
    check_count(ack.cumulative, "cumulative")
    check_count(ack.credit, "credit")
    for low, high in ack.ranges:
        check_count(low, "range from", least=1)
        check_count(high, "range to", least=low)
    for seq, _ in ack.quarantined:
        check_count(seq, "quarantined", least=1)
    for low, high, _ in ack.refused:
        check_seq(low, "refused from")
        check_seq(high, "refused to", least=low)


def _check_status(status: GatewayStatus) -> None:
    check_id(status.gateway, "gateway")
    check_text(status.epoch, "epoch")
    check_text(status.agent_version, "agent_version")
    if len(status.refusals) > _MOST_WORDS:
        raise ContractError(f"{len(status.refusals)} kinds of refusal: want at most {_MOST_WORDS}")
    for word in status.refusals:
        check_text(word, "refusal")
    counts = {"outbox_bytes": status.outbox_bytes, "expected": status.devices_expected, "heard": status.devices_heard}
    counts["outbox_max_bytes"] = status.outbox_max_bytes
    for what, count in (*counts.items(), *status.backlog.items(), *status.lost.items(), *status.refusals.items()):
        check_count(count, what)


def spans(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Sorted closed ranges that cover exactly `seqs`."""
    ranges: list[tuple[int, int]] = []
    for seq in sorted(set(seqs)):
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges
