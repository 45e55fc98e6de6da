"""Payloads in several messages (RFC 7959): a number of 20 bits, whether more follow, and the size of a block.

Block1 is of a request's payload, Block2 of an answer's | number 4 to 20 bits | more 1 bit | size exponent 3 bits
"""

from collections import OrderedDict

import msgspec

from firmware_bridge.coap import CoapMessage
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.messages import BLOCK1, URI_PATH, URI_QUERY, answer, option_number
from telemetry.reason import Reason

__all__ = ["MAX_BYTES", "Assembly", "Block", "block_of"]

MAX_BYTES = 64 * 1024
_MOST = 16
_EXCHANGE_S = 247.0


class Block(msgspec.Struct, frozen=True):
    """One block's place: it begins at byte `start`, blocks are `size` bytes long, `more` say that it is not the last."""

    start: int
    size: int
    more: bool

    def number(self, start: int) -> int:
        """The option's value for the block that begins at `start`, the last as far as is known."""
        return (start // self.size) << 4 | (self.size.bit_length() - 5)


def block_of(message: CoapMessage, option: int) -> Block | None:
    """What the option (23 or 27) says, None where it is not there. ParseError: bad_field (the reserved size)."""
    value = option_number(message, option)
    if value is None:
        return None
    if value & 7 == 7:
        raise ParseError(Reason.BAD_FIELD, "a block of the reserved size")
    size = 16 << (value & 7)
    return Block(start=(value >> 4) * size, size=size, more=bool(value & 8))


class _Parts(msgspec.Struct, kw_only=True):
    at_s: float
    payload: bytes
    message_id: int
    whole: CoapMessage | None = None


class Assembly:
    """Requests that come in blocks: at most 16 at a time, 64 KiB each; the oldest is forgotten for a new one."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, tuple[tuple[int, bytes], ...]], _Parts] = OrderedDict()

    def take(self, message: CoapMessage, peer: str, now_s: float) -> tuple[CoapMessage | None, CoapMessage | None]:
        """The whole request, or else what to answer to this part of it: 2.31 (more), 4.08 (a part is missing), 4.13 (too long).

        A request without blocks is whole. ParseError: bad_field.
        """
        block = block_of(message, BLOCK1)
        if block is None or (block.start == 0 and not block.more):
            return message, None
        key = (peer, tuple((o.number, o.raw) for o in message.options if o.number in {URI_PATH, URI_QUERY}))
        parts = self._open.get(key)
        if parts is not None and (
            now_s - parts.at_s > _EXCHANGE_S or (block.start == 0 and parts.message_id != message.message_id)
        ):
            parts = None
        if parts is not None and parts.message_id == message.message_id:  # said once more
            return (parts.whole, None) if parts.whole else (None, answer(message, "2.31"))
        if (0 if parts is None else len(parts.payload)) != block.start or (parts is not None and parts.whole is not None):
            return None, answer(message, "4.08")
        payload = (b"" if parts is None else parts.payload) + message.payload
        if len(payload) > MAX_BYTES or (block.more and len(message.payload) != block.size):
            self._open.pop(key, None)
            return None, answer(message, "4.13" if len(payload) > MAX_BYTES else "4.00")
        whole = None if block.more else msgspec.structs.replace(message, payload=payload)
        self._open[key] = _Parts(at_s=now_s, payload=payload, message_id=message.message_id, whole=whole)
        self._open.move_to_end(key)
        if len(self._open) > _MOST:
            self._open.popitem(last=False)
        return (whole, None) if whole else (None, answer(message, "2.31"))
