"""Any bytes as a CoAP datagram, and as the options and payload behind a header that is right."""

import json

from firmware_bridge.coap import CoapMessage, parse_coap
from firmware_bridge.describe import LANGUAGES
from firmware_bridge.errors import ParseError

HEADS = (
    b"",
    b"\x40\x02\x12\x34",
    b"\x52\x45\xbe\xef\xab\xcd",
    b"\x68\x84\x00\x01TOKEN678",
    b"\x40\x02\x12\x34\xb1t\x05cover\xff",
)


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError; every byte of a datagram belongs to its header, one option or the payload."""
    for head in HEADS:
        raw = head + data
        try:
            message = parse_coap(raw)
        except ParseError as error:
            assert error.at is None or 0 <= error.at <= len(raw)  # noqa: PT017 (either outcome is right)
        else:
            _whole(raw, message)
        try:
            json.dumps(LANGUAGES["coap"].describe(raw), allow_nan=False)
            shown = LANGUAGES["coap"].explain(raw)
        except ParseError:
            continue
        assert all(0 <= field.at <= field.at + field.size <= len(raw) for field in shown)


def _whole(raw: bytes, message: CoapMessage) -> None:
    assert raw.endswith(message.payload)
    at = 4 + len(message.token)
    for option in message.options:
        assert option.at == at, "a gap between options"
        head = 1 + sum({13: 1, 14: 2}.get(nibble, 0) for nibble in (raw[at] >> 4, raw[at] & 0x0F))
        assert raw[at + head : at + head + len(option.raw)] == option.raw
        at += head + len(option.raw)
    assert at + bool(message.payload) + len(message.payload) == len(raw)
