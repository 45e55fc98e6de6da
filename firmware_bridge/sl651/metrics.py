"""From the elements of a report to the metrics of a profile, and back (SL 651-2014, annex C; clause 6.6.4).

An item of a profile is an element's ASCII name, or for those that a province or maker added their identifier, FFxx. A
report tells several instants: each element has the observation time that stands before it, and the values of a series
follow one another from that time on, five minutes apart in the hour's series (DRP, DRZ1 to DRZ8) and the told step apart
in a uniform report. So an hourly report whose series begin at 10:05 ends them at 11:00.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone

import msgspec
from msgspec.structs import replace

from device_profiles.model import Profile
from device_profiles.wires.sl651 import Sl651Wire
from firmware_bridge.errors import ParseError
from firmware_bridge.items import decode_items, encode_items
from firmware_bridge.sl651.body import Body
from firmware_bridge.sl651.elements import BY_ASCII, ELEMENTS, Form
from firmware_bridge.sl651.readings import Reading
from firmware_bridge.sl651.values import Value as Raw
from firmware_bridge.values import Decoded
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

__all__ = ["decode_report", "element_values", "zone_of"]

_SERIES_MINUTES = 5
_MOST_VALUES = 10_000
_UNTIMED = Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)


class _Instant(msgspec.Struct):
    """What a report says of one instant, by item."""

    items: dict[str, object] = {}
    unreadable: dict[str, Reason] = {}


def decode_report(profile: Profile, body: Body) -> tuple[Decoded, ...]:
    """One reading for each instant of which the report says something that the profile names, the earliest first.

    Elements whose own time is missing or cannot be read have the time of sending and are uncertain; where that is none
    either, the reading has no time. What cannot be read is a bad value.

    ParseError(oversized) for more than 10,000 values: a month of five minutes has 9,000.
    """
    wire = _wire(profile)
    zone = zone_of(profile)
    wanted = {field.item for field in wire.items}
    instants: dict[tuple[datetime | None, bool], _Instant] = {}
    if sum(len(each.value) for each in body.readings if isinstance(each.value, list)) > _MOST_VALUES:
        raise ParseError(Reason.OVERSIZED, f"a report of more than {_MOST_VALUES} values")
    for reading in body.readings:
        name = reading.ascii or reading.id
        if name not in wanted:
            continue
        told = reading.observed or body.sent
        start = None if told is None else datetime.fromisoformat(told).replace(tzinfo=zone)
        for minutes, raw in _entries(reading, body.step_minutes):
            at = start and start + timedelta(minutes=minutes or 0)
            instant = instants.setdefault((at, reading.observed is not None and minutes is not None), _Instant())
            instant.items[name] = raw
            if reading.flaw is not None and raw is None:
                instant.unreadable[name] = reading.flaw.reason
    return tuple(_decoded(profile, wire, at, instants[at, dated], dated=dated) for at, dated in sorted(instants, key=_when))


def _when(key: tuple[datetime | None, bool]) -> tuple[datetime, bool]:
    return key[0] or datetime.max.replace(tzinfo=UTC), key[1]


def _decoded(profile: Profile, wire: Sl651Wire, at: datetime | None, instant: _Instant, *, dated: bool) -> Decoded:
    time_ns = None if at is None else (at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
    decoded = decode_items(profile, wire.items, instant.items, time_ns=time_ns, unreadable=instant.unreadable)
    flaws = decoded.flaws if dated else dict.fromkeys(decoded.values, _UNTIMED) | decoded.flaws
    # Of decimal fractions, what stands beyond nine digits was made by scaling.
    values = {name: round(value, 9) if isinstance(value, float) else value for name, value in decoded.values.items()}
    return replace(decoded, values=values, flaws=flaws)


def _entries(reading: Reading, step_minutes: int | None) -> Iterator[tuple[int | None, object]]:
    """Each value of an element, and how many minutes behind its observation time; None where nobody told the step."""
    form = _form(reading)
    if form is Form.STATUS:
        yield 0, _status_word(reading)
        return
    if not (reading.series and isinstance(reading.value, list)):
        yield from _within(form, reading.value)
        return
    for number, value in enumerate(reading.value):
        for minutes, raw in _within(form, value):
            yield None if step_minutes is None else number * step_minutes + minutes, raw


def _within(form: Form, value: object) -> Iterator[tuple[int, object]]:
    if form in {Form.RAIN, Form.LEVELS} and isinstance(value, list):
        yield from ((number * _SERIES_MINUTES, each) for number, each in enumerate(value))
    else:
        yield 0, value


def _form(reading: Reading) -> Form:
    element = ELEMENTS.get(int(reading.id, 16)) if not reading.text else BY_ASCII.get(reading.ascii or "")
    return Form.NUMBER if element is None else element.form


def _status_word(reading: Reading) -> int | None:
    """The status as the number whose bits a profile takes; as sent, so that a door's bit is 0 when it is open."""
    if reading.flaw is not None:
        return None
    return int(reading.raw, 16) if reading.text else int.from_bytes(reading.raw, "big")


def zone_of(profile: Profile) -> timezone:
    """The zone that a station's times are told in."""
    return timezone(timedelta(hours=_wire(profile).utc_offset_h))


def element_values(profile: Profile, values: Mapping[str, Value]) -> dict[str, Raw | None]:
    """The elements, by the names that `reports.report` takes, that `decode_report` reads as `values`; for simulated stations.

    Series are left out: they are of other instants. ParseError where a value has no wire form, or the profile's item is no
    element of annex C.
    """
    elements: dict[str, Raw | None] = {}
    for item, raw in encode_items(profile, _wire(profile).items, values).items():
        element = BY_ASCII.get(item)
        if element is None:
            raise ParseError(Reason.UNKNOWN_METRIC, f"{item} is no element of annex C")
        if element.form in {Form.NUMBER, Form.STATUS}:
            elements[element.name] = raw
    return elements


def _wire(profile: Profile) -> Sl651Wire:
    if profile.wire.sl651 is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"profile {profile.name} does not speak SL 651")
    return profile.wire.sl651
