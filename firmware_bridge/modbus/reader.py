"""From a unit's replies to metrics, prepared once for each model and plan: a gateway does this thousands of times a second.

Every number that lies in its registers in plain order is taken out of a block by one `struct` for the whole block; what has
its words or bytes in another order, BCD digits and texts are put in order first. A number that needs nothing but a
scale has a converter of its own; everything else goes through `firmware_bridge.values`, which says what a value means.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence

import msgspec

from device_profiles.model import Profile
from device_profiles.quantities import Metric, MetricType, NumberType, Scaling
from device_profiles.wires.modbus import ONE_BIT, RegisterField
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.layout import FLOATS, in_wire_order
from firmware_bridge.modbus.plan import ReadBlock
from firmware_bridge.numbers import is_sentinel, size_of, unpack
from firmware_bridge.values import Decoded, apply_scaling
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

__all__ = ["RegisterReader"]

_CODES = {
    NumberType.U16: "H",
    NumberType.I16: "h",
    NumberType.U32: "I",
    NumberType.I32: "i",
    NumberType.U64: "Q",
    NumberType.I64: "q",
    NumberType.F32: "f",
    NumberType.F64: "d",
}
_LARGEST = 2.0**64

_Raw = int | float | str | bool | None
_Convert = Callable[[_Raw], Value]
_Place = tuple[int, NumberType]


class _Slot(msgspec.Struct, frozen=True):
    """One field of a block, and how its raw number becomes its metric."""

    metric: str
    convert: _Convert


class _Odd(msgspec.Struct, frozen=True):
    """A field that lies in the block's bytes from `start` to before `end` in an order of its own."""

    field: RegisterField
    start: int
    end: int
    convert: _Convert


class _Part:
    """One block's fields: those that one struct takes out, bits, and the rest."""

    def __init__(self, block: ReadBlock, fields: Sequence[RegisterField], metrics: Mapping[str, Metric]) -> None:
        self.block = block
        self.metrics = tuple(field.metric for field in fields)
        self._is_bits = block.area in ONE_BIT
        plain = [] if self._is_bits else [field for field in fields if _is_plain(field)]
        places = sorted({(field.address, field.type) for field in plain})
        self._layout, taken = _layout(places, block)
        self._slots = tuple(
            (taken[field.address, field.type], _Slot(field.metric, _converter(field, metrics[field.metric])))
            for field in plain
            if (field.address, field.type) in taken
        )
        in_slots = {slot.metric for _, slot in self._slots}
        self._odd = tuple(_odd(field, block, metrics[field.metric]) for field in fields if field.metric not in in_slots)
        self.size = (block.count + 7) // 8 if self._is_bits else 2 * block.count

    def read(self, data: bytes, values: dict[str, Value], flaws: dict[str, Flaw]) -> None:
        """Put every field of the block's data into `values`, what cannot be read into `flaws` as well."""
        numbers = self._layout.unpack(data[: self._layout.size])
        for at, slot in self._slots:
            try:
                values[slot.metric] = slot.convert(numbers[at])
            except ParseError as error:
                values[slot.metric], flaws[slot.metric] = None, Flaw(Quality.BAD, error.reason)
        for odd in self._odd:
            metric = odd.field.metric
            try:
                values[metric] = odd.convert(_bit(data, odd.start) if self._is_bits else _raw(odd, data))
            except ParseError as error:
                values[metric], flaws[metric] = None, Flaw(Quality.BAD, error.reason)


class RegisterReader:
    """Reads the replies to `blocks` as metrics of `profile`, or those of `fields` alone.

    A field that no block holds whole is bad with reason missing.
    """

    def __init__(self, profile: Profile, blocks: Sequence[ReadBlock], fields: Sequence[RegisterField] | None = None) -> None:
        wire = profile.wire.modbus
        if wire is None:
            raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} has no Modbus wire")
        wanted = wire.registers if fields is None else fields
        home = {field.metric: next((block for block in blocks if _holds(block, field)), None) for field in wanted}
        self._order = tuple(field.metric for field in wanted)
        self._homeless = tuple(name for name, block in home.items() if block is None)
        self._parts = tuple(
            _Part(block, [field for field in wanted if home[field.metric] is block], profile.metrics) for block in blocks
        )

    def read(self, data: Mapping[ReadBlock, bytes], why: Mapping[ReadBlock, Reason] | None = None) -> Decoded:
        """The metrics out of each block's data (registers high byte first, bits lowest first, as in a reply). A block that is
        not there or is too short makes its metrics None, bad for the reason in `why`, or missing."""
        values: dict[str, Value] = {}
        flaws: dict[str, Flaw] = {}
        for part in self._parts:
            said = data.get(part.block)
            if said is not None and len(said) >= part.size:
                part.read(said, values, flaws)
                continue
            reason = Reason.MISSING if why is None else why.get(part.block, Reason.MISSING)
            values.update(dict.fromkeys(part.metrics))
            flaws.update(dict.fromkeys(part.metrics, Flaw(Quality.BAD, reason)))
        values.update(dict.fromkeys(self._homeless))
        flaws.update(dict.fromkeys(self._homeless, Flaw(Quality.BAD, Reason.MISSING)))
        return Decoded(values=values, flaws=flaws)


def _holds(block: ReadBlock, field: RegisterField) -> bool:
    start = field.address - block.address
    return block.area is field.area and start >= 0 and start + field.width <= block.count


def _is_plain(field: RegisterField) -> bool:
    one_word = field.width == 1
    ordered = field.byte_order == "big" and (one_word or field.word_order == "big")
    return ordered and not field.charset and field.type in _CODES


def _layout(
    places: Sequence[tuple[int, NumberType]], block: ReadBlock
) -> tuple[struct.Struct, dict[tuple[int, NumberType], int]]:
    """A struct over the block from its start on, and the position of each place in what it unpacks."""
    code, end = ">", 0
    taken: dict[_Place, int] = {}
    for address, kind in places:
        start = 2 * (address - block.address)
        if start < end:
            continue  # lies within another number: read by itself
        code += f"{start - end}x{_CODES[kind]}"
        end = start + size_of(kind)
        taken[address, kind] = len(taken)
    return struct.Struct(code), taken


def _odd(field: RegisterField, block: ReadBlock, metric: Metric) -> _Odd:
    start = field.address - block.address
    convert = _converter(field, metric)
    if field.area in ONE_BIT:
        return _Odd(field, start, start + 1, convert)
    return _Odd(field, 2 * start, 2 * (start + field.width), convert)


def _bit(data: bytes, at: int) -> bool:
    return bool(data[at // 8] >> at % 8 & 1)


def _raw(odd: _Odd, data: bytes) -> _Raw:
    field, found = odd.field, in_wire_order(odd.field, data[odd.start : odd.end])
    if field.charset:
        return _text(field, found)
    if field.type is NumberType.BCD:
        # A pattern that stands for none (FFFF) is no BCD: it is looked at before its digits are.
        pattern = int.from_bytes(found, "big")
        return None if pattern in field.scaling.no_value else unpack(found, field.type)
    if field.type in {NumberType.U8, NumberType.I8}:
        found = found[-1:]
    return unpack(found, field.type)


def _text(field: RegisterField, data: bytes) -> str | None:
    """The text up to its first NUL, without the blanks or FF that units fill the rest with; None where there is none."""
    try:
        said = data.partition(b"\0")[0].rstrip(b"\xff ").decode(field.charset)
    except UnicodeDecodeError as error:
        raise ParseError(Reason.BAD_FIELD, f"{field.metric}: no {field.charset} text: {data.hex()}") from error
    if not said.isprintable():
        raise ParseError(Reason.BAD_FIELD, f"{field.metric}: characters that nobody can read: {data.hex()}")
    return said.strip() or None


def _converter(field: RegisterField, metric: Metric) -> _Convert:
    """What turns the raw number of `field` into `metric`; the same as `apply_scaling` with the sentinels, only prepared."""
    scaling, kind = field.scaling, field.type
    is_number = field.area not in ONE_BIT and not field.charset and kind in _CODES and kind not in FLOATS
    takes = scaling.bit is not None or scaling.bits is not None or bool(scaling.enum) or scaling.invert
    is_bounded = math.isfinite(scaling.scale * _LARGEST + scaling.offset)
    if is_number and not takes and is_bounded and metric.type is MetricType.FLOAT:
        return _scaled(scaling, _patterns(kind, scaling), metric)
    if kind in FLOATS and not field.charset and not takes and metric.type is MetricType.FLOAT:
        return _measured(scaling, metric)

    is_untouched = not takes and not scaling.no_value and scaling.scale == 1 and not scaling.offset
    if is_number and is_untouched and metric.type is MetricType.INTEGER and kind is not NumberType.U64:
        return _as_it_is

    def general(raw: _Raw) -> Value:
        if isinstance(raw, (int, float)) and not isinstance(raw, bool) and is_sentinel(raw, kind, scaling):
            raw = None
        return apply_scaling(raw, scaling, metric)

    return general


def _as_it_is(raw: _Raw) -> Value:
    return raw


def _patterns(kind: NumberType, scaling: Scaling) -> frozenset[int]:
    """Every raw number that stands for none, bit patterns of negative numbers as those numbers."""
    signed = kind in {NumberType.I16, NumberType.I32, NumberType.I64}
    span = 1 << 8 * size_of(kind)
    return scaling.no_value | (frozenset(one - span for one in scaling.no_value) if signed else frozenset())


def _scaled(scaling: Scaling, none: frozenset[int], metric: Metric) -> _Convert:
    name = metric.name
    factor, divisor, offset = _factors(scaling)

    def convert(raw: _Raw) -> Value:
        if raw in none:
            raise ParseError(Reason.NO_VALUE, f"{name}: {raw} stands for no value")
        assert isinstance(raw, int)  # noqa: S101 (what struct gives for an integer's code)
        return raw / divisor + offset if divisor else raw * factor + offset

    def plain(raw: _Raw) -> Value:
        return float(raw)  # type: ignore[arg-type]  # an integer: what struct gives for an integer's code

    return plain if not none and scaling.scale == 1 and not scaling.offset else convert


def _factors(scaling: Scaling) -> tuple[float, int, float]:
    """(factor, divisor or 0, offset): decimal scales divide, as in `firmware_bridge.values`, and by a whole number, so that
    64 bits are rounded once."""
    reciprocal = 1 / scaling.scale if scaling.scale else 0.0
    if abs(scaling.scale) < 1 and abs(reciprocal - round(reciprocal)) < 1e-9 * abs(reciprocal):
        return 1.0, round(reciprocal), scaling.offset
    return float(scaling.scale), 0, scaling.offset


def _measured(scaling: Scaling, metric: Metric) -> _Convert:
    plain = scaling.scale == 1 and not scaling.offset

    def convert(raw: _Raw) -> Value:
        if plain and isinstance(raw, float) and math.isfinite(raw):
            return raw
        return apply_scaling(raw, scaling, metric)

    return convert
