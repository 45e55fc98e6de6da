"""CoAP messages, header and options, for showing them (RFC 7252, clause 3). The driver speaks CoAP through aiocoap.

0 version 2, type 2, token length 4 bits | 1 code 3.5 bits | 2 message id 2 | token | options | ff payload
"""

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["OPTIONS", "CoapMessage", "CoapOption", "parse_coap"]

_TYPES = ("CON", "NON", "ACK", "RST")

OPTIONS: dict[int, tuple[str, str]] = {  # RFC 7252 table 4, RFC 7641, RFC 7959, RFC 7967; s text, u uint, x bytes
    1: ("If-Match", "x"),
    3: ("Uri-Host", "s"),
    4: ("ETag", "x"),
    5: ("If-None-Match", "x"),
    6: ("Observe", "u"),
    7: ("Uri-Port", "u"),
    8: ("Location-Path", "s"),
    11: ("Uri-Path", "s"),
    12: ("Content-Format", "u"),
    14: ("Max-Age", "u"),
    15: ("Uri-Query", "s"),
    17: ("Accept", "u"),
    20: ("Location-Query", "s"),
    23: ("Block2", "u"),
    27: ("Block1", "u"),
    28: ("Size2", "u"),
    35: ("Proxy-Uri", "s"),
    39: ("Proxy-Scheme", "s"),
    60: ("Size1", "u"),
    258: ("No-Response", "u"),
}


class CoapOption(msgspec.Struct, frozen=True, kw_only=True):
    """One option; `at` is the offset of its first byte."""

    number: int
    at: int
    raw: bytes

    @property
    def name(self) -> str:
        """Its registered name, or `Option-N`."""
        return OPTIONS.get(self.number, (f"Option-{self.number}", "x"))[0]

    @property
    def value(self) -> int | str:
        """The value as its registration says: a number, a text, or hex digits."""
        kind = OPTIONS.get(self.number, ("", "x"))[1]
        if kind == "u":
            return int.from_bytes(self.raw, "big")
        return self.raw.decode("utf-8", errors="replace") if kind == "s" else self.raw.hex()


class CoapMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `type` is CON, NON, ACK or RST; `code` is written class.detail, as 0.02."""

    type: str
    code: str
    message_id: int
    token: bytes
    options: tuple[CoapOption, ...]
    payload: bytes

    @property
    def content_format(self) -> int | None:
        """The payload's format (50 JSON, 60 CBOR), None where it is not said."""
        return next((int.from_bytes(o.raw, "big") for o in self.options if o.number == 12), None)


def parse_coap(data: bytes) -> CoapMessage:
    """The message in one datagram. ParseError: truncated, unsupported_version, bad_length (token), bad_field."""
    if len(data) < 4:
        raise ParseError(Reason.TRUNCATED, f"{len(data)} bytes, want at least 4", len(data))
    version, kind, token_size = data[0] >> 6, data[0] >> 4 & 3, data[0] & 0x0F
    if version != 1:
        raise ParseError(Reason.UNSUPPORTED_VERSION, f"version {version}, want 1", 0)
    if token_size > 8:
        raise ParseError(Reason.BAD_LENGTH, f"token length {token_size}, want 0 to 8", 0)
    if len(data) < 4 + token_size:
        raise ParseError(Reason.TRUNCATED, f"a token of {token_size} bytes, {len(data) - 4} are left", len(data))
    if data[1] == 0 and len(data) > 4:
        raise ParseError(Reason.BAD_FIELD, "an empty message with something behind its header", 4)  # clause 4.1
    options, payload_at = _options(data, 4 + token_size)
    return CoapMessage(
        type=_TYPES[kind],
        code=f"{data[1] >> 5}.{data[1] & 0x1F:02d}",
        message_id=int.from_bytes(data[2:4], "big"),
        token=data[4 : 4 + token_size],
        options=options,
        payload=data[payload_at:],
    )


def _options(data: bytes, at: int) -> tuple[tuple[CoapOption, ...], int]:
    """The options from `at` on, and where the payload begins."""
    options: list[CoapOption] = []
    number = 0
    while at < len(data):
        start = at
        if data[at] == 0xFF:
            if at + 1 == len(data):
                raise ParseError(Reason.TRUNCATED, "a payload marker and no payload", at)
            return tuple(options), at + 1
        delta, after = _extended(data, start, data[at] >> 4, at + 1)
        size, after = _extended(data, start, data[at] & 0x0F, after)
        if after + size > len(data):
            raise ParseError(Reason.TRUNCATED, f"an option of {size} bytes, {len(data) - after} are left", start)
        number += delta
        if number > 0xFFFF:
            raise ParseError(Reason.BAD_FIELD, f"option number {number}, want at most 65535", start)
        options.append(CoapOption(number=number, at=start, raw=data[after : after + size]))
        at = after + size
    return tuple(options), at


def _extended(data: bytes, start: int, nibble: int, at: int) -> tuple[int, int]:
    """An option's delta or length (clause 3.1): 13 adds one byte, 14 two, 15 is reserved."""
    if nibble < 13:
        return nibble, at
    if nibble == 15:
        raise ParseError(Reason.BAD_FIELD, "option delta or length 15 is reserved", start)
    width = nibble - 12
    if at + width > len(data):
        raise ParseError(Reason.TRUNCATED, "the message ends within an option's head", len(data))
    return int.from_bytes(data[at : at + width], "big") + (13 if nibble == 13 else 269), at + width
