"""CoAP messages as LwM2M needs them: written to bytes, answered, asked for their paths and queries (RFC 7252, clause 3)."""

from collections.abc import Iterable

from msgspec.structs import replace

from firmware_bridge.coap import CoapMessage, CoapOption
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = [
    "acknowledge",
    "answer",
    "encode_coap",
    "number_option",
    "option_number",
    "option_texts",
    "reset",
    "text_option",
    "unknown_option",
]

OBSERVE, LOCATION_PATH, URI_PATH, CONTENT_FORMAT, URI_QUERY, ACCEPT = 6, 8, 11, 12, 15, 17
BLOCK2, BLOCK1 = 23, 27
_TYPES = ("CON", "NON", "ACK", "RST")
_UNDERSTOOD = frozenset({3, 7, URI_PATH, URI_QUERY, ACCEPT, BLOCK2, BLOCK1})  # 3 and 7: host and port


def text_option(number: int, value: str) -> CoapOption:
    return CoapOption(number=number, at=0, raw=value.encode())


def number_option(number: int, value: int) -> CoapOption:
    """A number without leading zero bytes: 0 is empty (clause 3.2)."""
    return CoapOption(number=number, at=0, raw=value.to_bytes((value.bit_length() + 7) // 8, "big"))


def option_texts(message: CoapMessage, number: int) -> list[str]:
    """The values of a repeated text option. ParseError: bad_field (not UTF-8)."""
    try:
        return [option.raw.decode("utf-8") for option in message.options if option.number == number]
    except UnicodeDecodeError as error:
        raise ParseError(Reason.BAD_FIELD, f"option {number} is not UTF-8") from error


def option_number(message: CoapMessage, number: int) -> int | None:
    """The value of a number option, None where it is not there."""
    return next((int.from_bytes(option.raw, "big") for option in message.options if option.number == number), None)


def unknown_option(request: CoapMessage) -> int | None:
    """The first option that must be understood and is not (odd numbers, clause 5.4.1), None where there is none."""
    return next((each.number for each in request.options if each.number % 2 and each.number not in _UNDERSTOOD), None)


def answer(request: CoapMessage, code: str, options: Iterable[CoapOption] = ()) -> CoapMessage:
    """The answer within the acknowledgement of a confirmable request; to any other, as it was asked.

    It says again which block of the request it answers, where that came in blocks (RFC 7959, clause 2.3).
    """
    kind = "ACK" if request.type == "CON" else "NON"
    blocks = (each for each in request.options if each.number == BLOCK1)
    return replace(request, type=kind, code=code, options=(*options, *blocks), payload=b"")


def acknowledge(message: CoapMessage) -> CoapMessage:
    """The empty acknowledgement of a confirmable answer or notification."""
    return replace(message, type="ACK", code="0.00", token=b"", options=(), payload=b"")


def reset(message: CoapMessage) -> CoapMessage:
    """Says that nobody has a use for `message`: ends an observation that nobody knows of (RFC 7641, clause 3.6)."""
    return replace(message, type="RST", code="0.00", token=b"", options=(), payload=b"")


def encode_coap(message: CoapMessage) -> bytes:
    """The datagram that `parse_coap` reads as `message`, options in order of number. ParseError: bad_length (token)."""
    if len(message.token) > 8:
        raise ParseError(Reason.BAD_LENGTH, f"a token of {len(message.token)} bytes, want at most 8")
    kind, (upper, lower) = _TYPES.index(message.type), message.code.split(".")
    head = bytes((0x40 | kind << 4 | len(message.token), int(upper) << 5 | int(lower)))
    parts = [head, message.message_id.to_bytes(2, "big"), message.token]
    before = 0
    for option in sorted(message.options, key=lambda each: each.number):
        delta, delta_more = _extended(option.number - before)
        size, size_more = _extended(len(option.raw))
        parts += (bytes((delta << 4 | size,)), delta_more, size_more, option.raw)
        before = option.number
    if message.payload:
        parts += (b"\xff", message.payload)
    return b"".join(parts)


def _extended(value: int) -> tuple[int, bytes]:
    """A delta or length as its nibble and the bytes behind it (clause 3.1)."""
    if value < 13:
        return value, b""
    return (13, bytes((value - 13,))) if value < 269 else (14, (value - 269).to_bytes(2, "big"))
