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

__all__ = ["Incoming", "Refusal", "decode", "decompress"]

Incoming = ReadingsBatch | EventsBatch | Hello | GatewayStatus


class Refusal(msgspec.Struct, frozen=True):
    """A whole message that cannot be used. It cannot be acknowledged either, since nobody knows what it held."""

    source: str
    reason: Reason
    detail: str


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
    return message


def decompress(data: bytes, limit: int) -> bytes:
    """The content of one zstd frame of at most `limit` bytes; ValueError for anything else."""
    try:
        # The library obeys `max_output_size` only where the frame does not state its size.
        if zstandard.frame_content_size(data) > limit:
            raise ValueError(f"declares more than {limit} bytes")
        return _decompressor.decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
