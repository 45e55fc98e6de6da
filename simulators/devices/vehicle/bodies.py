"""Message bodies that a JT/T 808 terminal writes and reads, straight from the standard's tables.

They are written down here a second time on purpose, apart from the product's codec: a layout that both halves got
wrong in the same way would otherwise pass every round trip.
"""

import struct
from collections.abc import Sequence

import msgspec

__all__ = [
    "ATTRIBUTES",
    "AUTHENTICATE",
    "GENERAL_ANSWER",
    "HEARTBEAT",
    "LOCATION",
    "LOCATION_BATCH",
    "PLATFORM_ANSWER",
    "REGISTER",
    "REGISTER_ANSWER",
    "UPGRADE_RESULT",
    "Answer",
    "authenticate_body",
    "batch_body",
    "general_answer_body",
    "read_answer",
    "register_body",
]

GENERAL_ANSWER, HEARTBEAT, REGISTER, AUTHENTICATE = 0x0001, 0x0002, 0x0100, 0x0102
ATTRIBUTES, UPGRADE_RESULT = 0x0107, 0x0108
LOCATION, LOCATION_BATCH = 0x0200, 0x0704
PLATFORM_ANSWER, REGISTER_ANSWER = 0x8001, 0x8100

# JT/T 808-2013 table 7, -2019 clause 8.8: manufacturer, model, terminal id
_SIZES = {2013: (5, 20, 7), 2019: (11, 30, 30)}
_PROVINCE, _CITY = 32, 500  # GB/T 2260: Jiangsu, Suzhou
_PLATE_YELLOW = 2  # JT/T 697.7: what sanitation lorries carry


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The platform's answer to the message with our `serial`. `auth_code` only in a good answer to a registration."""

    serial: int
    result: int
    auth_code: bytes | None = None


def register_body(version: int, terminal_id: str, plate: str) -> bytes:
    """0x0100 of 2013 or 2019: area, manufacturer, model, terminal id, plate colour, plate in GBK."""
    texts = (b"CNSIM", b"SIM-808", terminal_id.encode("ascii"))
    fixed = b"".join(text[:size].ljust(size, b"\0") for text, size in zip(texts, _SIZES[version], strict=True))
    return struct.pack(">HH", _PROVINCE, _CITY) + fixed + bytes((_PLATE_YELLOW,)) + plate.encode("gbk")


def authenticate_body(version: int, code: bytes, phone: str) -> bytes:
    """0x0102: the bare code in 2013; length, code, IMEI and software version in 2019."""
    if version != 2019:
        return code
    return bytes((len(code),)) + code + phone.rjust(15, "0")[-15:].encode("ascii") + b"1.0".ljust(20, b"\0")


def batch_body(locations: Sequence[bytes]) -> bytes:
    """0x0704 of kind 1, catch-up after a blind area."""
    return struct.pack(">HB", len(locations), 1) + b"".join(struct.pack(">H", len(body)) + body for body in locations)


def general_answer_body(serial: int, message_id: int, result: int) -> bytes:
    """0x0001 to the platform's message `serial`: 0 done, 1 failed, 2 wrong message, 3 not supported."""
    return struct.pack(">HHB", serial, message_id, result)


def read_answer(message_id: int, body: bytes) -> Answer | None:
    """What 0x8001 or 0x8100 says; None for any other message and for a body too short to say it."""
    if message_id == PLATFORM_ANSWER and len(body) >= 5:
        serial, _, result = struct.unpack_from(">HHB", body)
        return Answer(serial=serial, result=result)
    if message_id == REGISTER_ANSWER and len(body) >= 3:
        serial, result = struct.unpack_from(">HB", body)
        return Answer(serial=serial, result=result, auth_code=body[3:] if result == 0 else None)
    return None
