"""From a topic and its bytes to a message of the contract, or to why not."""

from typing import Final

import msgspec
import zstandard

from cloud.series.honest import doubted
from telemetry import topics
from telemetry.encoded import Envelope, envelope
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.topics import Channel
from telemetry.wire import (
    EventsBatch,
    GatewayStatus,
    Hello,
    ReadingsBatch,
    WireError,
    decode_events,
    decode_hello,
    decode_readings,
    decode_status,
    digest,
    encode,
    uncompressed,
)

__all__ = ["Broken", "Delivery", "Greeting", "Incoming", "Refusal", "decode", "decompress"]


class Delivery(msgspec.Struct, frozen=True):
    """A batch and the fingerprint of its bytes, and when it came, by our clock; 0 where nobody looked. Values whose time
    nobody can believe are marked as uncertain in it."""

    batch: ReadingsBatch | EventsBatch
    digest: bytes
    came_ns: int = 0

    @property
    def gateway(self) -> str:
        return self.batch.gateway

    @property
    def size(self) -> int:
        return self.batch.count if isinstance(self.batch, ReadingsBatch) else len(self.batch.events)

    @property
    def last_seq(self) -> int:
        return self.batch.first_seq + self.size - 1


class Broken(msgspec.Struct, frozen=True):
    """A batch whose records can be numbered and not taken; `message` are its bytes, uncompressed."""

    envelope: Envelope
    message: bytes

    @classmethod
    def of(cls, delivery: Delivery, detail: str) -> "Broken":
        """A batch that can be read, and that a store refuses."""
        batch = delivery.batch
        told = Envelope(
            gateway=batch.gateway,
            epoch=batch.epoch,
            lane=Lane.READINGS if isinstance(batch, ReadingsBatch) else Lane.EVENTS,
            first_seq=batch.first_seq,
            count=delivery.size,
            reason=Reason.STORE_REFUSED,
            detail=detail,
        )
        return cls(told, encode(batch))

    @property
    def gateway(self) -> str:
        return self.envelope.gateway


class Greeting(msgspec.Struct, frozen=True):
    """A hello, and how far its gateway's clock was ahead of ours when it came, in ns; its way here makes that less."""

    hello: Hello
    ahead_ns: int

    @property
    def gateway(self) -> str:
        return self.hello.gateway


Incoming = Delivery | Broken | Greeting | GatewayStatus


class Refusal(msgspec.Struct, frozen=True):
    """A whole message that cannot be used. It cannot be acknowledged either, since nobody knows what it held."""

    source: str
    reason: Reason
    detail: str


_decompressor = zstandard.ZstdDecompressor()
_LANES: Final = {Channel.READINGS: Lane.READINGS, Channel.EVENTS: Lane.EVENTS}
_HEARD: Final = frozenset({*_LANES, Channel.HELLO, Channel.STATUS})


def decode(topic: str, payload: bytes, now_ns: int) -> Incoming | Refusal | None:
    """The message; None for a topic that is not for the cloud, and for a retained status that was cleared."""
    place = topics.parse(topic)
    if place is None or place[1] not in _HEARD or (place[1] is Channel.STATUS and not payload):
        return None
    gateway, what = place
    try:
        message = _read(what, uncompressed(payload, decompress), now_ns)
    except WireError as error:
        return Refusal(gateway, error.reason, f"{what}: {error.detail}")
    # The broker lets a gateway publish under its own name only; a payload that speaks for another one is forged or misrouted.
    if message.gateway != gateway:
        return Refusal(gateway, Reason.GATEWAY_MISMATCH, f"{what}: speaks for {message.gateway!r}")
    return message


def _read(what: Channel, message: bytes, now_ns: int) -> Incoming:
    if what is Channel.STATUS:
        return decode_status(message, decompress)
    if what is Channel.HELLO:
        hello = decode_hello(message, decompress)
        return Greeting(hello, hello.sent_ns - now_ns)
    lane = _LANES[what]
    try:
        batch = decode_events(message, decompress) if lane is Lane.EVENTS else decode_readings(message, decompress)
    except WireError as error:
        return Broken(envelope(message, lane, error), message)
    return Delivery(doubted(batch, now_ns) if isinstance(batch, ReadingsBatch) else batch, digest(message), now_ns)


def decompress(data: bytes, limit: int) -> bytes:
    """The content of one zstd frame of at most `limit` bytes; ValueError for anything else."""
    try:
        # The library obeys `max_output_size` only where the frame does not state its size.
        if zstandard.frame_content_size(data) > limit:
            raise ValueError(f"declares more than {limit} bytes")
        return _decompressor.decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
