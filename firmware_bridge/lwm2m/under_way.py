"""A request that is under way with a device, in blocks where it or its answer is long (RFC 7959, clauses 2.3 and 2.4)."""

from collections.abc import Callable
from typing import Union

import msgspec
from msgspec.structs import replace

from firmware_bridge.coap import CoapMessage
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.lwm2m.blocks import MAX_BYTES, Block, block_of
from firmware_bridge.lwm2m.messages import BLOCK1, BLOCK2, number_option
from firmware_bridge.lwm2m.operations import Request, message_of
from firmware_bridge.lwm2m.paths import format_path
from telemetry.reason import Reason

__all__ = ["UnderWay"]

_BLOCK_BYTES = 1024


class UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """`first` is the first part of an answer in blocks, `payload` all of it so far, `block` the part that is asked for now. A
    payload of our own that is longer than `size` goes in blocks; the one from `at` on is under way, or due where not `sent`."""

    request: Request
    token: bytes
    message_id: int
    first: CoapMessage | None = None
    payload: bytes = b""
    block: int | None = None
    at: int = 0
    size: int = _BLOCK_BYTES
    sent: bool = True

    def message(self, root: str) -> CoapMessage:
        """The message for a device whose paths begin with `root`, with the part of the payload that is due."""
        message = message_of(self.request, root, self.token, self.message_id, self.block)
        payload, end = self.request.payload, self.at + self.size
        if self.at == 0 and len(payload) <= self.size:
            return message
        option = number_option(BLOCK1, self.at // self.size << 4 | (end < len(payload)) << 3 | (self.size.bit_length() - 5))
        return replace(message, payload=payload[self.at : end], options=(*message.options, option))

    def take(self, message: CoapMessage, name: Callable[[], tuple[bytes, int]]) -> Union[CoapMessage, Refused, "UnderWay"]:
        """The whole answer that `message` completes, or how it goes on: with the next part of ours, or of the answer.

        `name` gives token and id of the next message. Refused: bad_field, reassembly_limit.
        """
        try:
            taken, block = block_of(message, BLOCK1), block_of(message, BLOCK2)
        except ParseError as error:
            return Refused.of(error, message.payload)
        if message.code == "2.31" and self.at + self.size < len(self.request.payload):
            # It took this part, and may want smaller ones from here on.
            size = self.size if taken is None else min(self.size, taken.size)
            token, message_id = name()
            return replace(self, token=token, message_id=message_id, at=self.at + self.size, size=size, sent=False)
        if block is None or not message.code.startswith("2."):
            return message
        return self._gather(message, block, name)

    def _gather(
        self, message: CoapMessage, block: Block, name: Callable[[], tuple[bytes, int]]
    ) -> Union[CoapMessage, Refused, "UnderWay"]:
        payload = self.payload + message.payload
        uneven = block.more and len(message.payload) != block.size
        if block.start != len(self.payload) or uneven or len(payload) > MAX_BYTES:
            where = f"{format_path(self.request.path)}: a part at {block.start}"
            detail = f"{where}, want {len(self.payload)}, whole blocks, and at most {MAX_BYTES} in all"
            return Refused(reason=Reason.REASSEMBLY_LIMIT, detail=detail)
        first = message if self.first is None else self.first
        if not block.more:
            return replace(first, payload=payload)
        token, message_id = name()
        number = block.number(len(payload))
        return replace(self, token=token, message_id=message_id, first=first, payload=payload, block=number, sent=False)
