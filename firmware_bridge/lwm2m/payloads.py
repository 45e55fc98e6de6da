"""A payload and its content format, read as values by path (LwM2M 1.1 Core, clause 7.4; IANA CoAP content formats)."""

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

from msgspec.structs import replace

from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.model import Kind, ResourceType
from firmware_bridge.lwm2m.paths import Path, format_path, parse_path
from firmware_bridge.lwm2m.registry import type_at, type_of
from firmware_bridge.lwm2m.senml import Entry, encode_cbor, encode_json, parse_cbor, parse_json, parse_old_json
from firmware_bridge.lwm2m.tlv import MAX_BYTES, Tlv, TlvKind, encode_tlv, parse_tlv
from firmware_bridge.lwm2m.units import FACTORS, scaled
from firmware_bridge.lwm2m.values import Reading, Value, decode_text, encode_text, encode_value, fit, in_range, read
from telemetry.reason import Reason

__all__ = ["Format", "decode_payload", "encode_payload", "readings_of_entries", "readings_of_tlv", "tlv_of"]


class Format(IntEnum):
    """Content formats of LwM2M; the `OLD` ones are those of drafts, which devices still send."""

    TEXT = 0
    LINKS = 40
    OPAQUE = 42
    SENML_JSON = 110
    SENML_CBOR = 112
    OLD_TEXT = 1541
    OLD_TLV = 1542
    OLD_JSON = 1543
    TLV = 11542
    JSON = 11543


def decode_payload(path: Path, content_format: int, payload: bytes, *, now_s: float | None = None) -> tuple[Reading, ...]:
    """The values in the answer to a request for `path`; with `now_s` relative times become absolute.

    A value that cannot be used is flawed, the others stand. ParseError: unknown_message (another content format),
    bad_field (a text or opaque payload for more than one resource, a value outside what was asked for), and what the
    format's parser says.
    """
    match content_format:
        case Format.TLV | Format.OLD_TLV:
            return readings_of_tlv(parse_tlv(payload), path)
        case Format.SENML_JSON:
            return _asked(readings_of_entries(parse_json(payload, now_s=now_s)), path)
        case Format.SENML_CBOR:
            return _asked(readings_of_entries(parse_cbor(payload, now_s=now_s)), path)
        case Format.JSON | Format.OLD_JSON:
            return _asked(readings_of_entries(parse_old_json(payload, asked=format_path(path), now_s=now_s)), path)
        case Format.TEXT | Format.OLD_TEXT | Format.OPAQUE:
            return (_single(path, payload, text=content_format != Format.OPAQUE),)
        case _:
            raise ParseError(Reason.UNKNOWN_MESSAGE, f"content format {content_format}, want one of LwM2M's")


def _single(path: Path, payload: bytes, *, text: bool) -> Reading:
    if len(path) < 3:
        raise ParseError(Reason.BAD_FIELD, f"one value for {format_path(path)}, which is no resource")
    if len(payload) > MAX_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(payload)} bytes, want at most {MAX_BYTES}", MAX_BYTES)
    row, name = type_at(path), format_path(path)
    if row is None:
        return Reading(path=name, value=payload, size=len(payload))
    try:
        value = in_range(row, decode_text(row.kind, payload) if text else fit(row.kind, payload))
    except ParseError as error:
        return Reading(path=name, value=None, type=row, unit=row.unit, flaw=error.reason, detail=error.detail, size=len(payload))
    return Reading(path=name, value=value, type=row, unit=row.unit, size=len(payload))


def _asked(readings: tuple[Reading, ...], path: Path) -> tuple[Reading, ...]:
    """All of it, if it lies within what was asked for: another's values must not pass for this one's."""
    for each in readings:
        if parse_path(each.path)[: len(path)] != path:
            raise ParseError(Reason.BAD_FIELD, f"{each.path[:40]} in the answer for {format_path(path)}")
    return readings


def readings_of_tlv(entries: Sequence[Tlv], path: Path | None = None) -> tuple[Reading, ...]:
    """The values of TLV entries that answer for `path`; without it their paths lack what only the request told.

    ParseError: bad_field where an entry does not lie within `path`, or nothing tells its instance.
    """
    return tuple(reading for entry in entries for reading in _of_tlv(entry, _above(entry, path), known=path is not None))


_DEPTH = {TlvKind.OBJECT_INSTANCE: 1, TlvKind.MULTIPLE_RESOURCE: 2, TlvKind.RESOURCE: 2, TlvKind.RESOURCE_INSTANCE: 3}


def _above(entry: Tlv, path: Path | None) -> Path:
    """What stands above an entry: the path asked for, cut where the entry says its own part once more."""
    if path is None:
        return ()
    depth = _DEPTH[entry.kind]
    if len(path) < depth or (len(path) > depth and path[depth] != entry.id):
        raise ParseError(Reason.BAD_FIELD, f"{entry.kind.name.lower()} {entry.id} for {format_path(path)}", entry.at)
    return path[:depth]


def _of_tlv(entry: Tlv, above: Path, *, known: bool) -> Iterator[Reading]:
    steps = (*above, entry.id)
    for part in entry.parts:
        yield from _of_tlv(part, steps, known=known)
    if entry.kind in {TlvKind.OBJECT_INSTANCE, TlvKind.MULTIPLE_RESOURCE}:
        return
    if known:
        row, name = type_at(steps), format_path(steps)
    else:
        # Within a multiple resource the number above is the resource's; an instance that stands alone tells nothing of its type.
        resource_id = entry.id if entry.kind is TlvKind.RESOURCE else (above[-1] if above else None)
        row, name = None if resource_id is None else type_of(None, resource_id), format_path(steps)[1:]
    yield read(name, row, entry.value, at=entry.at, size=entry.size)


def readings_of_entries(entries: Sequence[Entry]) -> tuple[Reading, ...]:
    """The values of resolved records; a name that is no path of LwM2M keeps its value as it came."""
    return tuple(_of_entry(entry) for entry in entries)


def _of_entry(entry: Entry) -> Reading:
    row = _row(entry.name)
    known = Reading(
        path=entry.name,
        value=None,
        type=row,
        unit=entry.unit or (row.unit if row else ""),
        time_s=entry.time_s,
        relative=entry.relative,
        sum=entry.sum,
        update_s=entry.update_s,
    )
    return _with_value(known, entry)


def _with_value(reading: Reading, entry: Entry) -> Reading:
    if entry.value is None:
        return reading if entry.sum is not None else replace(reading, flaw=Reason.NOT_A_NUMBER, detail="not finite")
    if reading.type is None:
        return replace(reading, value=entry.value)
    factor = FACTORS.get((entry.unit, reading.type.unit))
    value, unit = entry.value, reading.unit
    if factor is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
        value, unit = scaled(value, factor, reading.type.kind), reading.type.unit
    try:
        return replace(reading, value=in_range(reading.type, fit(reading.type.kind, value)), unit=unit)
    except ParseError as error:
        return replace(reading, flaw=error.reason, detail=error.detail)


def _row(name: str) -> ResourceType | None:
    try:
        return type_at(parse_path(name))
    except ParseError:
        return None


def tlv_of(path: Path, values: Mapping[Path, Value]) -> bytes:
    """The TLV that answers a read of `path` (an object, an instance or a resource) with `values` by their whole paths.

    ParseError: bad_field (a value outside `path`), unknown_metric (a resource that no table knows), wrong_type, out_of_range.
    """
    instances: dict[int, dict[int, dict[int | None, bytes]]] = {}
    for where, value in values.items():
        if len(where) not in {3, 4} or where[: len(path)] != path:
            raise ParseError(Reason.BAD_FIELD, f"{format_path(where)} in an answer for {format_path(path)}")
        row = type_at(where)
        if row is None:
            raise ParseError(Reason.UNKNOWN_METRIC, f"{format_path(where)}: its type is not known")
        parts = instances.setdefault(where[1], {}).setdefault(where[2], {})
        parts[where[3] if len(where) == 4 else None] = encode_value(row.kind, value)
    built = {number: tuple(_resource(each, parts) for each, parts in found.items()) for number, found in instances.items()}
    if len(path) >= 2:
        return encode_tlv(built.get(path[1], ()))
    return encode_tlv([Tlv(kind=TlvKind.OBJECT_INSTANCE, id=number, parts=parts) for number, parts in built.items()])


def _resource(number: int, parts: Mapping[int | None, bytes]) -> Tlv:
    if None in parts:
        if len(parts) > 1:
            raise ParseError(Reason.BAD_FIELD, f"resource {number} has one value and several")
        return Tlv(kind=TlvKind.RESOURCE, id=number, value=parts[None])
    within = tuple(
        Tlv(kind=TlvKind.RESOURCE_INSTANCE, id=instance, value=value) for instance, value in parts.items() if instance is not None
    )
    return Tlv(kind=TlvKind.MULTIPLE_RESOURCE, id=number, parts=within)


def encode_payload(path: Path, content_format: int, values: Mapping[Path, Value]) -> bytes:
    """The payload that `decode_payload` reads as `values`. ParseError as `tlv_of`; unknown_message: a format not written here."""
    match content_format:
        case Format.TLV | Format.OLD_TLV:
            return tlv_of(path, values)
        case Format.SENML_JSON | Format.SENML_CBOR:
            entries = [Entry(name=format_path(where), value=value, link=_is_link(where)) for where, value in values.items()]
            return encode_json(entries) if content_format == Format.SENML_JSON else encode_cbor(entries)
        case Format.TEXT | Format.OLD_TEXT | Format.OPAQUE if list(values) == [path]:
            row, value = type_at(path), values[path]
            if content_format == Format.OPAQUE and isinstance(value, bytes):
                return value
            if content_format != Format.OPAQUE and row is not None:
                return encode_text(row.kind, value)
            raise ParseError(Reason.WRONG_TYPE, f"{format_path(path)} has no such form")
        case _:
            raise ParseError(Reason.UNKNOWN_MESSAGE, f"content format {content_format} for {len(values)} values")


def _is_link(where: Path) -> bool:
    row = type_at(where)
    return row is not None and row.kind is Kind.OBJLNK
