"""From a topic and its bytes to a message of the contract, or to why not."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import zstandard

from telemetry import topics
from telemetry.reason import Reason
from telemetry.topics import Channel
from telemetry.wire import (
    Decompress,
    EventsBatch,
    GatewayStatus,
    Hello,
    ReadingsBatch,
    WireError,
    decode_events,
    decode_hello,
    decode_readings,
    decode_status,
)

__all__ = ["MOST_SEQ", "Incoming", "Refusal", "decode", "decompress"]

Incoming = ReadingsBatch | EventsBatch | Hello | GatewayStatus


class Refusal(msgspec.Struct, frozen=True):
    """A whole message that cannot be used. It cannot be acknowledged either, since nobody knows what it held."""

    source: str
    reason: Reason
    detail: str


MOST_SEQ: Final = 2**53
"""No lane comes this far: a million records a second for 285 years."""

_LONGEST_ID: Final = 64
_decompressor = zstandard.ZstdDecompressor()

_DECODERS: Final[Mapping[Channel, Callable[[bytes, Decompress], Incoming]]] = {
    Channel.READINGS: decode_readings,
    Channel.EVENTS: decode_events,
    Channel.HELLO: decode_hello,
    Channel.STATUS: decode_status,
}


def decode(topic: str, payload: bytes) -> Incoming | Refusal | None:
    """The message; None for a topic that is not for the cloud, and for a retained status that was cleared."""
    place = topics.parse(topic)
    if place is None or place[1] not in _DECODERS or (place[1] is Channel.STATUS and not payload):
        return None
    gateway, what = place
    try:
        message = _DECODERS[what](payload, decompress)
    except WireError as error:
        return Refusal(gateway, error.reason, f"{what}: {error.detail}")
    # The broker lets a gateway publish under its own name only; a payload that speaks for another one is forged or misrouted.
    if message.gateway != gateway:
        return Refusal(gateway, Reason.GATEWAY_MISMATCH, f"{what}: speaks for {message.gateway!r}")
    wrong = _unfit(message)
    return message if wrong is None else Refusal(gateway, Reason.BAD_FIELD, f"{what}: {wrong}")


def _unfit(message: Incoming) -> str | None:
    """What no honest gateway says and no store could hold, in words."""
    if isinstance(message, GatewayStatus):
        return None
    if isinstance(message, Hello):
        numbers = [number for span in message.lanes.values() for number in (span.first_unacked, span.next_seq)]
    else:
        numbers = [message.first_seq]
    if not 0 < len(message.epoch) <= _LONGEST_ID:
        return f"an epoch of {len(message.epoch)} characters, want 1 to {_LONGEST_ID}"
    if not all(0 < number <= MOST_SEQ for number in numbers):
        return f"a sequence number outside 1 to {MOST_SEQ}"
    return None


def decompress(data: bytes, limit: int) -> bytes:
    """The content of one zstd frame of at most `limit` bytes; ValueError for anything else."""
    try:
        # The library obeys `max_output_size` only where the frame does not state its size.
        if zstandard.frame_content_size(data) > limit:
            raise ValueError(f"declares more than {limit} bytes")
        return _decompressor.decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
