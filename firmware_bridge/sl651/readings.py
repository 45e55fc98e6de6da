"""Elements in a HEX/BCD body: identifier, size and decimals, data (SL 651-2014, clause 6.6.3.2)."""

import msgspec

from firmware_bridge.cursor import Cursor
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.sl651.elements import ELEMENTS, Form
from firmware_bridge.sl651.values import Value, read_value
from telemetry.reason import Reason

__all__ = ["Reading", "identified", "read_element", "read_series", "step_minutes"]

_OWN = 0xFF
_MOST_NAMED = 8
"""Identifiers that a uniform report may name before its data; the standard allows one, stations are found that send two."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One element or parameter: None with its `flaw` where it cannot be read. `observed` is the time it belongs to.

    `id` is the identifier in hex, FFxx for those a province or maker added; `unit` a UCUM code. `series` tells that `value`
    has one entry for each time step. `at` and `size` count bytes of the body, the identifier's among them.
    """

    id: str
    name: str
    name_zh: str | None = None
    ascii: str | None = None
    value: Value | None
    unit: str | None = None
    observed: str | None = None
    series: bool = False
    decimals: int = 0
    raw: bytes = b""
    text: bool = False
    flaw: Refused | None = None
    at: int = 0
    size: int = 0


class _Named(msgspec.Struct, frozen=True):
    """An identifier as it was told: where it stands, and the bytes and decimals of each value."""

    number: int
    id: str
    size: int
    decimals: int
    at: int


def identified(cursor: Cursor) -> tuple[int, str, int, int]:
    """Identifier as number and as text, and its data's bytes and decimals. FF begins one of two bytes."""
    number = cursor.u8("identifier")
    if number == _OWN:
        number = number << 8 | cursor.u8("identifier")
    told = cursor.u8("size")
    return number, f"{number:02X}", told >> 3, told & 7


def _named(cursor: Cursor) -> _Named:
    at = cursor.at
    number, name, size, decimals = identified(cursor)
    element = ELEMENTS.get(number)
    if element is not None and element.form in {Form.RAIN, Form.LEVELS} and cursor.left >= element.size:
        # Annex C fixes these at 12 and 24 bytes; stations are found whose size byte says something else.
        size = element.size
    return _Named(number, name, size, decimals, at)


def step_minutes(data: bytes) -> int | None:
    """The time step ddhhmm in minutes, None where it is no BCD."""
    digits = data.hex()
    return int(digits[:2]) * 1440 + int(digits[2:4]) * 60 + int(digits[4:]) if digits.isdecimal() else None


def read_element(cursor: Cursor, observed: str | None) -> Reading:
    """The next element. ParseError(truncated) where the body ends before its data does."""
    named = _named(cursor)
    return _reading(named, [cursor.take(f"element {named.id}", named.size)], observed, end=cursor.at)


def read_series(cursor: Cursor, observed: str | None) -> list[Reading]:
    """The elements of a uniform report, named once, whose values follow a time step apart (table 30).

    What is left of the body then is no whole value.
    """
    named = [_named(cursor) for _ in range(_group(cursor.data[cursor.at :]))]
    start, whole = cursor.at, sum(each.size for each in named)
    data = cursor.take("series", cursor.left - cursor.left % whole if whole else 0)
    if not data:
        raise ParseError(Reason.TRUNCATED, f"{cursor.left} bytes behind {named[0].id}, want {whole} for each value", start)
    readings: list[Reading] = []
    offset = 0
    for each, following in zip(named, [*named[1:], None], strict=True):
        values = [data[at + offset : at + offset + each.size] for at in range(0, len(data), whole)]
        readings.append(_reading(each, values, observed, end=start + len(data) if following is None else following.at))
        offset += each.size
    return readings


def _group(data: bytes) -> int:
    """How many identifiers `data` begins with: those behind the first are believed where annex C has them with their size,
    and all must share what follows evenly. 1, as the standard has it, where they do not."""
    cursor = Cursor(data)
    whole = 0
    for count in range(1, _MOST_NAMED + 1):
        try:
            named = _named(cursor)
        except ParseError:
            return 1
        element = ELEMENTS.get(named.number)
        if count > 1 and (element is None or element.size != named.size):
            return 1
        whole += named.size
        if whole and cursor.left and not cursor.left % whole:
            return count
    return 1


def _reading(named: _Named, data: list[bytes], observed: str | None, *, end: int) -> Reading:
    element = ELEMENTS.get(named.number)
    values: list[Value | None] = []
    flaw: Refused | None = None
    for each in data:
        try:
            values.append(read_value(element, each, named.decimals))
        except ParseError as error:
            values.append(None)
            flaw = flaw or Refused.of(ParseError(error.reason, error.detail, named.at), each)
    series = len(values) > 1
    return Reading(
        id=named.id,
        name=element.name if element is not None else f"element_{named.id.lower()}",
        name_zh=None if element is None else element.name_zh,
        ascii=None if element is None else element.ascii,
        value=values if series else values[0],  # type: ignore[arg-type]
        unit=None if element is None else element.unit,
        observed=observed,
        series=series,
        decimals=named.decimals,
        raw=b"".join(data),
        flaw=flaw,
        at=named.at,
        size=end - named.at,
    )
