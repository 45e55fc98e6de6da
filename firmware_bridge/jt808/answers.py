"""Bodies that a platform sends to a terminal, and that a simulated terminal sends to a platform.

Each returns a body; `frames.encode_frame` puts it on the wire. Layouts: JT/T 808-2013 and -2019, clause 8.
"""

import struct
from collections.abc import Sequence

from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.register import REGISTER_SIZES
from telemetry.reason import Reason

__all__ = [
    "authenticate_body",
    "batch_body",
    "general_answer_body",
    "register_answer_body",
    "register_body",
    "resend_request_body",
    "time_answer_body",
]


def general_answer_body(ack_serial: int, ack_message_id: int, result: int = 0) -> bytes:
    """0x8001 and 0x0001: 0 done, 1 failed, 2 wrong message, 3 not supported, 4 alarm confirmed (0x8001 only)."""
    return struct.pack(">HHB", ack_serial, ack_message_id, result)


def register_answer_body(ack_serial: int, result: int, auth_code: str = "") -> bytes:
    """0x8100: 0 done, 1 vehicle registered already, 2 no such vehicle, 3 terminal registered already, 4 no such terminal.
    The code travels only with 0."""
    return struct.pack(">HB", ack_serial, result) + (auth_code.encode("gb18030") if result == 0 else b"")


def resend_request_body(first_serial: int, packets: Sequence[int], version: int) -> bytes:
    """0x8003: the packets that are missing of the message whose first packet had `first_serial`."""
    count = struct.pack(">H" if version == 2019 else ">B", len(packets))
    return struct.pack(">H", first_serial) + count + struct.pack(f">{len(packets)}H", *packets)


def time_answer_body(utc_digits: str) -> bytes:
    """0x8004: `utc_digits` are YYMMDDhhmmss, in UTC and not in GMT+8."""
    return bytes.fromhex(utc_digits)


def register_body(
    *,
    version: int = 2013,
    province: int = 0,
    city: int = 0,
    manufacturer: str = "",
    model: str = "",
    terminal_id: str = "",
    plate_color: int = 0,
    plate: str = "",
) -> bytes:
    """0x0100 with the field sizes of 2011, 2013 or 2019."""
    texts = zip((manufacturer, model, terminal_id), REGISTER_SIZES[version], strict=True)
    body = struct.pack(">HH", province, city) + b"".join(_padded(text, size) for text, size in texts)
    return body + bytes((plate_color,)) + plate.encode("gb18030")


def authenticate_body(auth_code: str, *, version: int = 2013, imei: str = "", software_version: str = "") -> bytes:
    """0x0102: the bare code until 2013; length, code, IMEI 15 and software version 20 in 2019."""
    code = auth_code.encode("gb18030")
    if version != 2019:
        return code
    return bytes((len(code),)) + code + _padded(imei, 15) + _padded(software_version, 20)


def batch_body(locations: Sequence[bytes], *, catch_up: bool = False) -> bytes:
    """0x0704: location bodies, each behind its length."""
    items = b"".join(struct.pack(">H", len(body)) + body for body in locations)
    return struct.pack(">HB", len(locations), int(catch_up)) + items


def _padded(text: str, size: int) -> bytes:
    data = text.encode("gb18030")
    if len(data) > size:
        raise ParseError(Reason.OVERSIZED, f"{text!r} has {len(data)} bytes, want at most {size}")
    return data.ljust(size, b"\0")
