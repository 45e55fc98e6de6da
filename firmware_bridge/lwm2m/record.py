"""LwM2M payloads as JSON-ready records, and value by value with offsets.

Only SenML names its values whole. A TLV answers a request that a payload alone does not show: its paths then begin
with what it tells, and only resources that mean the same in every object have a type.
"""

from collections.abc import Callable, Sequence
from functools import partial

from firmware_bridge.cursor import Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record
from firmware_bridge.lwm2m.model import Kind
from firmware_bridge.lwm2m.payloads import readings_of_entries, readings_of_tlv
from firmware_bridge.lwm2m.senml import parse_cbor, parse_json, parse_old_json
from firmware_bridge.lwm2m.tlv import parse_tlv
from firmware_bridge.lwm2m.values import Reading, Value, decode_value

__all__ = ["LANGUAGES", "record_of"]

_Read = Callable[[bytes], Sequence[Reading]]


def _tlv(raw: bytes) -> tuple[Reading, ...]:
    return readings_of_tlv(parse_tlv(raw))


def _senml_json(raw: bytes) -> tuple[Reading, ...]:
    return readings_of_entries(parse_json(raw))


def _senml_cbor(raw: bytes) -> tuple[Reading, ...]:
    return readings_of_entries(parse_cbor(raw))


def _old_json(raw: bytes) -> tuple[Reading, ...]:
    return readings_of_entries(parse_old_json(raw))


def record_of(protocol: str, readings: Sequence[Reading]) -> Record:
    """`values` by path, the last where a path is told at several times; `entries` with all that is known of each."""
    return {
        "protocol": protocol,
        "values": {reading.path: _plain(reading) for reading in readings},
        "units": {reading.path: reading.unit for reading in readings if reading.unit},
        "entries": [_entry(reading) for reading in readings],
        "flaws": [
            {"path": reading.path, "reason": reading.flaw, "where": reading.detail}
            for reading in readings
            if reading.flaw is not None
        ],
    }


def _entry(reading: Reading) -> Record:
    said: Record = {"path": reading.path, "value": _plain(reading)}
    row = reading.type
    if row is not None:
        said |= {"name": row.name, "name_zh": row.zh, "type": row.kind}
        if row.note:
            said["note"] = row.note
        if isinstance(reading.value, int) and int(reading.value) in row.meanings:
            said["meaning"] = row.meanings[int(reading.value)]
    elif isinstance(reading.value, bytes):
        said["could_be"] = _guesses(reading.value)
    if reading.unit:
        said["unit"] = reading.unit
    said |= {name: value for name, value in (("sum", reading.sum), ("update_s", reading.update_s)) if value is not None}
    if reading.time_s is not None and (reading.time_s or not reading.relative):
        said["seconds_from_now" if reading.relative else "time_s"] = reading.time_s
    return said


def _plain(reading: Reading) -> object:
    """A value as JSON can write it, bytes as hex."""
    return reading.value.hex() if isinstance(reading.value, bytes) else reading.value


def _guesses(raw: bytes) -> dict[str, Value]:
    """What bytes of an unknown type would be as a text, a whole number, a float."""
    found: dict[str, Value] = {}
    for kind in (Kind.STRING, Kind.INTEGER, Kind.FLOAT):
        try:
            value = decode_value(kind, raw)
        except ParseError:
            continue
        if not isinstance(value, str) or value.isprintable():
            found[kind] = value
    return found


def _describe(raw: bytes, *, protocol: str, read: _Read) -> Record:
    return record_of(protocol, read(raw))


def _explain(raw: bytes, *, read: _Read) -> list[Shown]:
    """Every value; ParseError where the payload cannot be read. Only TLV tells where a value stood: of the others, the whole."""
    return [_shown(reading, len(raw)) for reading in read(raw)]


def _shown(reading: Reading, whole: int) -> Shown:
    name = reading.path if reading.type is None else f"{reading.path} {reading.type.name}"
    value = _plain(reading) if reading.flaw is None else f"{reading.flaw}: {reading.detail}"
    told = f"{value} {reading.unit}" if reading.unit not in {"", "1"} and reading.flaw is None else value
    return Shown(name, reading.at, reading.size or whole, told)


def _language(protocol: str, read: _Read, *spoken: str) -> Language:
    return Language(
        describe=partial(_describe, protocol=protocol, read=read), explain=partial(_explain, read=read), spoken=spoken
    )


LANGUAGES = {
    "lwm2m-tlv": _language("lwm2m-tlv", _tlv),
    "lwm2m-json": _language("lwm2m-json", _old_json, "{"),
    "senml-json": _language("senml-json", _senml_json, "["),
    "senml-cbor": _language("senml-cbor", _senml_cbor),
}
