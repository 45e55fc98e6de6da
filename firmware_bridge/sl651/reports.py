"""Frames to send: a simulated station's reports, and the centre's answers and questions (SL 651-2014, clause 6.6.4)."""

from collections.abc import Mapping, Sequence

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.sl651.elements import ELEMENTS, Element, Form
from firmware_bridge.sl651.frames import ENQ, EOT, ETB, ETX, MAX_BODY_BYTES, Frame, encode_frame
from firmware_bridge.sl651.values import Value, write_text, write_value
from telemetry.reason import Reason

__all__ = ["Elements", "Station", "answer", "ask", "ask_elements", "keep_alive", "packets", "report", "reports", "set_clock"]


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks: addresses and password in hex digits, the class of annex A, and whether in the ASCII encoding."""

    address: str
    centre: str = "01"
    password: str = "0000"  # noqa: S105 (what a station has before it is given one)
    station_class: int = 0x48
    text: bool = False


def keep_alive(station: Station, serial: int, sent: str) -> bytes:
    """A station is still there; nobody answers. `sent` is ISO 8601 civil time with seconds."""
    return _up(station, 0x2F, _head(serial, sent, text=station.text))


Elements = Mapping[str, Value | None]
"""Values of elements by their names; None for one that is missing."""


def report(station: Station, function: int, values: Elements, *, serial: int, sent: str, observed: str) -> bytes:
    """A report of elements, all of the time `observed` (to the minute).

    ParseError: unknown_metric for a name that annex C does not have, and what `write_value` and `encode_frame` raise.
    """
    return reports(station, function, {observed: values}, serial=serial, sent=sent)


def reports(station: Station, function: int, instants: Mapping[str, Elements], *, serial: int, sent: str) -> bytes:
    """A report of several instants: elements by the time that they were observed at, a series by that of its first value.

    ParseError as `report`.
    """
    address = station.address.rjust(10, "0")
    head = _head(serial, sent, text=station.text)
    if station.text:
        mark = f"ST {address} {chr(station.station_class)} ".encode()
    else:
        mark = b"\xf1\xf1" + bytes.fromhex(address) + bytes((station.station_class,))
    told = (_instant(_digits(observed, 10), values, text=station.text) for observed, values in instants.items())
    return _up(station, function, head + mark + b"".join(told))


def _instant(stamp: str, values: Elements, *, text: bool) -> bytes:
    elements = [(_element(name), value) for name, value in values.items()]
    if text:
        words = "".join(f"{element.ascii} {write_text(element, value)} " for element, value in elements)
        return f"TT {stamp} {words}".encode()
    body = b"".join(bytes((element.id, _size_byte(element))) + write_value(element, value) for element, value in elements)
    return b"\xf0\xf0" + bytes.fromhex(stamp) + body


def packets(station: Station, function: int, body: bytes, most: int = MAX_BODY_BYTES - 6) -> list[bytes]:
    """`body` in as many frames as it takes, `most` bytes of it in each; one frame that fits is no packet."""
    parts = [body[at : at + most] for at in range(0, len(body), most)] or [b""]
    if len(parts) == 1:
        return [_up(station, function, body)]
    last = len(parts)
    return [
        _frame(station, function, part, ETX if number == last else ETB, up=True, packet=(last, number))
        for number, part in enumerate(parts, 1)
    ]


def answer(frame: Frame, serial: int, sent: str, *, end: int = EOT) -> bytes:
    """The centre's answer to a station's frame: EOT or ESC when all is well, ACK to go on, NAK to have it sent again."""
    station = Station(address=frame.station, centre=frame.centre, password=frame.password, text=frame.text)
    return _down(station, frame.function, _head(serial, sent, text=frame.text), end)


def ask(station: Station, function: int, serial: int, sent: str) -> bytes:
    """The centre asks for what needs no more words: realtime values, version, status, events, clock."""
    return _down(station, function, _head(serial, sent, text=station.text), ENQ)


def set_clock(station: Station, serial: int, now: str) -> bytes:
    """The centre sets the station's clock to the time the frame is sent."""
    return ask(station, 0x4A, serial, now)


def ask_elements(station: Station, serial: int, sent: str, names: Sequence[str]) -> bytes:
    """The centre asks for some elements by their names; HEX/BCD only."""
    if station.text:
        raise ParseError(Reason.WRONG_TYPE, "the question for elements in ASCII is not at hand")
    asked = b"".join(bytes((element.id, _size_byte(element))) for element in map(_element, names))
    return _down(station, 0x3A, _head(serial, sent, text=False) + asked, ENQ)


def _element(name: str) -> Element:
    found = next((element for element in ELEMENTS.values() if element.name == name), None)
    if found is None:
        raise ParseError(Reason.UNKNOWN_METRIC, f"no element {name!r}")
    return found


def _size_byte(element: Element) -> int:
    """Size and decimals in one byte; the series' decimals are fixed and not told, as stations send it."""
    return element.size << 3 | (element.decimals if element.form is Form.NUMBER else 0)


def _head(serial: int, sent: str, *, text: bool) -> bytes:
    digits = _digits(sent, 12)
    return f"{serial & 0xFFFF:04X}{digits}".encode() if text else (serial & 0xFFFF).to_bytes(2, "big") + bytes.fromhex(digits)


def _digits(time: str, size: int) -> str:
    """YYMMDDhhmm[ss] of an ISO 8601 time."""
    digits = "".join(filter(str.isdecimal, time)).removeprefix("20")[:size]
    if len(digits) != size or not digits.isascii():
        raise ParseError(Reason.WRONG_TYPE, f"time {time!r}, want ISO 8601 with {'seconds' if size == 12 else 'minutes'}")
    return digits


def _up(station: Station, function: int, body: bytes) -> bytes:
    return _frame(station, function, body, ETX, up=True)


def _down(station: Station, function: int, body: bytes, end: int) -> bytes:
    return _frame(station, function, body, end, up=False)


def _frame(station: Station, function: int, body: bytes, end: int, *, up: bool, packet: tuple[int, int] | None = None) -> bytes:
    return encode_frame(
        function,
        body,
        station=station.address,
        centre=station.centre,
        password=station.password,
        up=up,
        end=end,
        packet=packet,
        text=station.text,
    )
