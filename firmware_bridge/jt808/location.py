"""The location body of JT/T 808: 28 bytes and a tail of additional items (JT/T 808-2013 and -2019, clause 8.18 / 8.12).

0 alarm 4 | 4 status 4 | 8 latitude 4 | 12 longitude 4 | 16 altitude 2 | 18 speed 2 | 20 course 2 | 22 time BCD[6]
"""

import struct
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial

import msgspec

from device_profiles.model import Profile
from device_profiles.quantities import Metric, NumberType, Scaling
from device_profiles.wires.jt808 import Jt808Wire
from device_profiles.wires.jt808_parts import Jt808Part, Word
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.numbers import is_sentinel, pack, size_of, unpack
from firmware_bridge.values import Decoded, Gathering, apply_scaling, undo_scaling
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

__all__ = ["BASE_BYTES", "Location", "decode_location", "encode_location", "encode_values", "parse_location"]

BASE_BYTES = 28
_LAYOUT = struct.Struct(">IIIIhHH")
_FIXED, _SOUTH, _WEST, _SHIFTED = 1 << 1, 1 << 2, 1 << 3, 1 << 5
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (the terminal's own civil time, before its zone is known)


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where a terminal was. Degrees are signed and exact to the wire's 1e-6; the standard's altitude WORD is
    read as signed, for cities below the sea.

    `time` is the terminal's civil time (GMT+8 by the standard), None where its digits are no date: `time_raw` has them.
    `items` are (id, value) in the order sent, repeats included. `flaw` says where the tail stopped making sense;
    everything before it is good.
    """

    alarm: int
    status: int
    latitude: float
    longitude: float
    altitude_m: int
    speed_kmh: float
    course_deg: int
    time: datetime | None
    time_raw: str
    items: tuple[tuple[int, bytes], ...] = ()
    flaw: Refused | None = None

    @property
    def fixed(self) -> bool:
        """Whether the receiver says that it had a fix."""
        return bool(self.status & _FIXED)

    @property
    def on_earth(self) -> bool:
        """Whether latitude and longitude are possible at all."""
        return abs(self.latitude) <= 90 and abs(self.longitude) <= 180


def parse_location(body: bytes, *, base_only: bool = False) -> Location:
    """The location in `body`; ParseError(truncated) below 28 bytes. `base_only` leaves any tail unread."""
    if len(body) < BASE_BYTES:
        raise ParseError(Reason.TRUNCATED, f"a location of {len(body)} bytes, want at least {BASE_BYTES}", len(body))
    alarm, status, latitude, longitude, altitude, speed, course = _LAYOUT.unpack_from(body)
    items, flaw = ((), None) if base_only else _parse_items(body)
    return Location(
        alarm=alarm,
        status=status,
        latitude=(-latitude if status & _SOUTH else latitude) / 1_000_000,
        longitude=(-longitude if status & _WEST else longitude) / 1_000_000,
        altitude_m=altitude,
        speed_kmh=speed / 10,
        course_deg=course,
        time=_civil_time(body[22:28]),
        time_raw=body[22:28].hex(),
        items=items,
        flaw=flaw,
    )


def _civil_time(digits: bytes) -> datetime | None:
    text = digits.hex()
    if not text.isdecimal():
        return None
    year, month, day, hour, minute, second = (int(text[i : i + 2]) for i in range(0, 12, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 (see _EPOCH)
    except ValueError:
        return None


def _parse_items(body: bytes) -> tuple[tuple[tuple[int, bytes], ...], Refused | None]:
    items: list[tuple[int, bytes]] = []
    at = BASE_BYTES
    while at < len(body):
        size = body[at + 1] if at + 1 < len(body) else None
        if size is None or at + 2 + size > len(body):
            detail = f"byte {at}: item {body[at]:#04x} runs past the end"
            return tuple(items), Refused(reason=Reason.TRUNCATED, detail=detail, raw=body[at:])
        items.append((body[at], body[at + 2 : at + 2 + size]))
        at += 2 + size
    return tuple(items), None


def decode_location(profile: Profile, location: Location) -> Decoded:
    """The metrics that the profile's JT/T 808 map makes of `location`, and its time in the profile's zone.

    A position that cannot be is bad (out_of_range); one without a fix, or shifted by the terminal's coordinate
    encryption, is uncertain (no_value, unsupported_encryption); all keep the numbers sent. A time that is no date
    leaves everything else uncertain (implausible_time).
    """
    wire = _wire(profile)
    gathering = Gathering()
    for name, metric in wire.fields.items():
        gathering.add(metric, partial(_field, profile, metric, getattr(location, name)))
    position_flaw = _position_flaw(location)
    if position_flaw is not None:
        for name in {"latitude", "longitude"} & wire.fields.keys():
            gathering.mark(wire.fields[name], position_flaw)
    for bits, word in ((wire.alarm_bits, location.alarm), (wire.status_bits, location.status)):
        for bit, metric in bits.items():
            gathering.add(metric, partial(bool, word >> bit & 1))
    _gather_items(profile, wire, location, gathering)
    if wire.parts:
        _gather_parts(profile, wire, location, gathering)
    if location.time is None:
        gathering.doubt_time()
    return gathering.decoded(_time_ns(location.time, wire.utc_offset_h))


def _position_flaw(location: Location) -> Flaw | None:
    if not location.on_earth:
        return Flaw(Quality.BAD, Reason.OUT_OF_RANGE)
    if not location.fixed:
        return Flaw(Quality.UNCERTAIN, Reason.NO_VALUE)
    if location.status & _SHIFTED:
        return Flaw(Quality.UNCERTAIN, Reason.UNSUPPORTED_ENCRYPTION)
    return None


def _field(profile: Profile, metric: str, value: float) -> Value:
    return apply_scaling(value, Scaling(), profile.metrics[metric])


def _gather_items(profile: Profile, wire: Jt808Wire, location: Location, gathering: Gathering) -> None:
    for number, data in location.items:
        if number in wire.items:
            metric, kind, scaling = wire.items[number]
            gathering.add(metric, partial(_item, profile.metrics[metric], kind, scaling, data))


def _item(metric: Metric, kind: NumberType, scaling: Scaling, data: bytes) -> Value:
    if kind is not NumberType.BCD and len(data) != size_of(kind):
        raise ParseError(Reason.BAD_LENGTH, f"{metric.name}: an item of {len(data)} bytes, want {size_of(kind)}")
    raw = unpack(data, kind)
    return apply_scaling(None if is_sentinel(raw, kind, scaling) else raw, scaling, metric)


def _gather_parts(profile: Profile, wire: Jt808Wire, location: Location, gathering: Gathering) -> None:
    """Parts of a word are always there, those of an item as often as it was sent."""
    items: dict[int, list[bytes]] = {}
    for number, data in location.items:
        items.setdefault(number, []).append(data)
    for part in wire.parts:
        metric = profile.metrics[part.metric]
        if part.word is not None:
            word = location.alarm if part.word is Word.ALARM else location.status
            gathering.add(part.metric, partial(apply_scaling, word, part.scaling, metric))
            continue
        for data in items.get(part.item, ()):
            gathering.add(part.metric, partial(_part, metric, part, data))


def _part(metric: Metric, part: Jt808Part, data: bytes) -> Value:
    end = part.at + size_of(part.type)
    if len(data) < end:
        raise ParseError(Reason.BAD_LENGTH, f"{metric.name}: an item of {len(data)} bytes, want at least {end}")
    return _item(metric, part.type, part.scaling, data[part.at : end])


def _time_ns(time: datetime | None, utc_offset_h: float) -> int | None:
    if time is None:
        return None
    since = time - _EPOCH - timedelta(hours=utc_offset_h)
    return (since.days * 86_400 + since.seconds) * SECOND_NS


def encode_location(
    *,
    latitude: float,
    longitude: float,
    time_ns: int,
    alarm: int = 0,
    status: int = _FIXED,
    altitude_m: int = 0,
    speed_kmh: float = 0.0,
    course_deg: int = 0,
    items: Iterable[tuple[int, bytes]] = (),
    utc_offset_h: float = 8.0,
) -> bytes:
    """A location body. The south and west bits of `status` are set from the signs of `latitude` and `longitude`.

    ParseError(out_of_range) where a number does not fit its field, or the year is not in 2000 to 2099.
    """
    status = status & ~(_SOUTH | _WEST) | (_SOUTH if latitude < 0 else 0) | (_WEST if longitude < 0 else 0)
    degrees = [round(abs(value) * 1_000_000) for value in (latitude, longitude)]
    try:
        base = _LAYOUT.pack(alarm, status, *degrees, altitude_m, round(speed_kmh * 10), course_deg)
        tail = b"".join(bytes((number, len(data))) + data for number, data in items)
    except (struct.error, ValueError) as error:
        raise ParseError(Reason.OUT_OF_RANGE, f"a location field: {error}") from error
    return base + _bcd_time(time_ns, utc_offset_h) + tail


def _bcd_time(time_ns: int, utc_offset_h: float) -> bytes:
    local = _EPOCH + timedelta(seconds=time_ns // SECOND_NS, hours=utc_offset_h)
    if not 2000 <= local.year <= 2099:
        raise ParseError(Reason.OUT_OF_RANGE, f"the year {local.year} has no two-digit form, want 2000 to 2099")
    return bytes.fromhex(local.strftime("%y%m%d%H%M%S"))


def encode_values(profile: Profile, values: Mapping[str, Value], time_ns: int) -> bytes:
    """The location body that `decode_location` reads as `values`; for simulators and tests.

    Metrics left out are zero, or have no item. ParseError where a value has no wire form.
    """
    wire = _wire(profile)
    numbers = {name: values.get(metric) for name, metric in wire.fields.items()}
    items = [
        (number, _item_bytes(profile.metrics[metric], kind, scaling, values[metric]))
        for number, (metric, kind, scaling) in wire.items.items()
        if metric in values
    ]
    words, longer = _encode_parts(profile, wire, values)
    return encode_location(
        latitude=_number(numbers.get("latitude")),
        longitude=_number(numbers.get("longitude")),
        time_ns=time_ns,
        alarm=_word(wire.alarm_bits, values) | words[Word.ALARM],
        status=_word(wire.status_bits, values) | words[Word.STATUS] | (0 if 1 in wire.status_bits else _FIXED),
        altitude_m=round(_number(numbers.get("altitude_m"))),
        speed_kmh=_number(numbers.get("speed_kmh")),
        course_deg=round(_number(numbers.get("course_deg"))),
        items=[*items, *longer],
        utc_offset_h=wire.utc_offset_h,
    )


def _number(value: Value) -> float:
    return value if isinstance(value, (int, float)) else 0.0


def _word(bits: Mapping[int, str], values: Mapping[str, Value]) -> int:
    return sum(1 << bit for bit, metric in bits.items() if values.get(metric))


def _encode_parts(
    profile: Profile, wire: Jt808Wire, values: Mapping[str, Value]
) -> tuple[dict[Word, int], list[tuple[int, bytes]]]:
    """The bits that the parts set in the two words, and the items that they make up, each as long as its last part."""
    words = dict.fromkeys(Word, 0)
    items: dict[int, bytearray] = {}
    for part in wire.parts:
        if part.metric not in values:
            continue
        metric, end = profile.metrics[part.metric], part.at + size_of(part.type)
        if part.word is not None:
            words[part.word] = int(undo_scaling(values[part.metric], part.scaling, metric, words[part.word]))
            continue
        item = items.setdefault(part.item, bytearray())
        item.extend(bytes(max(0, end - len(item))))
        held = int.from_bytes(item[part.at : end], "big")
        item[part.at : end] = _item_bytes(metric, part.type, part.scaling, values[part.metric], held)
    return words, [(number, bytes(data)) for number, data in items.items()]


def _item_bytes(metric: Metric, kind: NumberType, scaling: Scaling, value: Value, onto: int = 0) -> bytes:
    raw = undo_scaling(value, scaling, metric, onto)
    if isinstance(raw, str):
        raise ParseError(Reason.WRONG_TYPE, f"{metric.name}: text has no item form")
    return pack(raw, kind, bcd_size=4)


def _wire(profile: Profile) -> Jt808Wire:
    if profile.wire.jt808 is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} has no JT/T 808 wire")
    return profile.wire.jt808
