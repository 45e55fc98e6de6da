"""What a device shouts to everybody: advertising data as a row of length, type, content.

Source: Bluetooth Core Specification, volume 3, part C, clause 11; types from the Assigned Numbers, 2.3.

    01 flags    02 03 16-bit UUIDs    06 07 128-bit UUIDs    08 09 name    0A TX power
    16 20 21 service data behind a 16-, 32-, 128-bit UUID    FF manufacturer data behind the company's 16-bit number

UUIDs are written whole, in small letters; short ones stand in the base UUID.
"""

from collections.abc import Iterator, Mapping

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["MAX_BYTES", "Advertisement", "encode_advertising", "parse_advertising", "service_data", "uuid_of"]

MAX_BYTES = 1650  # the longest extended advertisement, core specification 5.0
_MOST_UUIDS = 64
_BASE = "-0000-1000-8000-00805f9b34fb"
_SERVICE_DATA = {0x16: 2, 0x20: 4, 0x21: 16}
_UUIDS = {0x02: 2, 0x03: 2, 0x04: 4, 0x05: 4, 0x06: 16, 0x07: 16}
_NAMES = frozenset({0x08, 0x09})


class Advertisement(msgspec.Struct, frozen=True, kw_only=True):
    """One advertisement, with its scan response where there was one. `rssi_dbm` is the receiver's, None where it told none."""

    name: str = ""
    service_data: Mapping[str, bytes] = {}
    manufacturer_data: Mapping[int, bytes] = {}
    uuids: tuple[str, ...] = ()
    tx_power_dbm: int | None = None
    rssi_dbm: int | None = None


def uuid_of(short: int) -> str:
    """A 16- or 32-bit UUID written whole."""
    return f"{short:08x}{_BASE}"


def parse_advertising(data: bytes, rssi_dbm: int | None = None) -> Advertisement:
    """The advertising data in `data`. ParseError: oversized, truncated (a structure longer than what is left), bad_length
    (a UUID or number that its structure has no room for); types that are not listed above are passed over."""
    if len(data) > MAX_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(data)} bytes, want at most {MAX_BYTES}", MAX_BYTES)
    name, tx_power_dbm = "", None
    services: dict[str, bytes] = {}
    makers: dict[int, bytes] = {}
    uuids: list[str] = []
    for kind, content, at in _structures(data):
        if kind in _SERVICE_DATA:
            services[_uuid(content, _SERVICE_DATA[kind], at)] = content[_SERVICE_DATA[kind] :]
        elif kind in _UUIDS:
            size = _UUIDS[kind]
            uuids += [_uuid(content[i:], size, at + i) for i in range(0, len(content), size)]
        elif kind in _NAMES:
            name = content.decode("utf-8", errors="replace")
        elif kind == 0x0A:
            tx_power_dbm = int.from_bytes(_sized(content, 1, at)[:1], "little", signed=True)
        elif kind == 0xFF:
            makers[int.from_bytes(_sized(content, 2, at)[:2], "little")] = content[2:]
    return Advertisement(
        name=name,
        service_data=services,
        manufacturer_data=makers,
        uuids=tuple(uuids[:_MOST_UUIDS]),
        tx_power_dbm=tx_power_dbm,
        rssi_dbm=rssi_dbm,
    )


def _structures(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(type, content, where the content begins); a length of zero ends the row early (clause 11)."""
    at = 0
    while at < len(data) and data[at]:
        size = data[at]
        if at + 1 + size > len(data):
            raise ParseError(Reason.TRUNCATED, f"a structure of {size} bytes, {len(data) - at - 1} are left", at)
        yield data[at + 1], data[at + 2 : at + 1 + size], at + 2
        at += 1 + size


def _sized(content: bytes, least: int, at: int) -> bytes:
    if len(content) < least:
        raise ParseError(Reason.BAD_LENGTH, f"{len(content)} bytes, want {least} or more", at)
    return content


def _uuid(content: bytes, size: int, at: int) -> str:
    number = int.from_bytes(_sized(content, size, at)[:size], "little")
    if size < 16:
        return uuid_of(number)
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def service_data(uuid: str, data: bytes) -> bytes:
    """The structure of service data behind a 16-bit UUID that is written whole, as it is on the air (type 16)."""
    return bytes((3 + len(data), 0x16)) + int(uuid[4:8], 16).to_bytes(2, "little") + data


def encode_advertising(name: str = "", service_data: Mapping[int, bytes] | None = None) -> bytes:
    """Advertising data with flags, a name, and service data behind 16-bit UUIDs; for simulators and tests."""
    # LE general discoverable, no BR/EDR: what every sensor says.
    said = [bytes([0x01, 0x06])]
    said += [bytes([0x16]) + short.to_bytes(2, "little") + content for short, content in (service_data or {}).items()]
    said += [b"\x09" + name.encode()] if name else []
    return b"".join(bytes([len(each)]) + each for each in said)
