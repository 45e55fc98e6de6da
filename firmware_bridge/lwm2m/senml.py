"""SenML packs in JSON and CBOR, resolved (RFC 8428), and the older JSON of LwM2M 1.0 (clause 6.4.4).

Base fields of a record hold for it and all that follow; a resolved entry needs none of them.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import cbor2
import msgspec

from firmware_bridge.documents import JSON, parse_document
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.cbor import parse_items
from firmware_bridge.lwm2m.values import Value, from_base64
from telemetry.reason import Reason

__all__ = ["MAX_BYTES", "MAX_RECORDS", "Entry", "encode_cbor", "encode_json", "parse_cbor", "parse_json", "parse_old_json"]

MAX_BYTES = 64 * 1024
MAX_RECORDS = 1024
_MAX_NAME = 256
_ABSOLUTE_FROM = 2**28  # clause 4.5.3: smaller times count from now
_VERSION, _SECONDARY_UNITS = 10, 26  # clause 4.4: what is not above 10 can be read; RFC 9100: 26 adds only units

_LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs"} | {  # clause 6, table 4  # codespell:ignore bu
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd"
}  # fmt: skip
_NUMBERS = {name: label for label, name in _LABELS.items()}
_TEXTS = frozenset({"bn", "bu", "n", "u", "vs", "vlo"})  # codespell:ignore bu
_FIGURES = frozenset({"bver", "bt", "bv", "bs", "v", "s", "t", "ut"})
_VALUES = ("v", "vs", "vb", "vd", "vlo")  # vlo is LwM2M's own: an object link
_OWN = frozenset({"n", "u", "t", "ut", "s", *_VALUES})
_OLD = {"n": "n", "v": "v", "sv": "vs", "bv": "vb", "ov": "vlo", "t": "t"}

_Fields = dict[str, object]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One resolved record. `time_s` counts from 1970 UTC, or from when the message came where `relative`; 0 then is now.

    `value` is None where only a `sum` is told, or a number is not finite.
    """

    name: str
    value: Value | None = None
    link: bool = False
    unit: str = ""
    sum: float | None = None
    time_s: float = 0
    relative: bool = True
    update_s: float | None = None


def parse_json(payload: bytes, *, now_s: float | None = None) -> tuple[Entry, ...]:
    """The resolved records of a JSON pack; with `now_s` relative times become absolute.

    ParseError: oversized, not_json, bad_field, missing (a name, a value), unsupported_version.
    """
    return tuple(_resolved(_json_records(payload), now_s))


def _json_records(payload: bytes) -> list[_Fields]:
    pack = _pack(parse_document(payload, JSON), Reason.NOT_JSON)
    records = [{str(key): value for key, value in each.items()} for each in pack]
    for each in records:
        if isinstance(data := each.get("vd"), str):
            each["vd"] = from_base64(data)
    return records


def parse_cbor(payload: bytes, *, now_s: float | None = None) -> tuple[Entry, ...]:
    """The resolved records of a CBOR pack; ParseError as `parse_json`, not_cbor and truncated."""
    if len(payload) > MAX_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(payload)} bytes, want at most {MAX_BYTES}", MAX_BYTES)
    pack = _pack(parse_items(payload), Reason.NOT_CBOR)
    return tuple(_resolved([_labelled(each) for each in pack], now_s))


def _labelled(fields: Mapping[object, object]) -> _Fields:
    found: _Fields = {}
    for key, value in fields.items():
        name = _LABELS.get(key, str(key)) if isinstance(key, int) else str(key)
        if name in found:
            raise ParseError(Reason.BAD_FIELD, f"{name[:20]} stands there as a label and as a text")
        found[name] = value
    return found


def parse_old_json(payload: bytes, *, asked: str = "", now_s: float | None = None) -> tuple[Entry, ...]:
    """The values of LwM2M 1.0's own JSON: `bn`, `bt`, and `e` with `n`, `v`, `sv`, `bv`, `ov`, `t`; ParseError as above.

    Where no base name is told, names continue the path that was `asked`.
    """
    document = parse_document(payload, JSON)
    if not isinstance(document, dict) or "e" not in document:
        raise ParseError(Reason.BAD_FIELD, "want an object with a list e")
    base = {name: document[name] for name in ("bn", "bt") if name in document}
    if asked:
        base.setdefault("bn", asked)
    entries = _pack(document["e"], Reason.BAD_FIELD)
    records = [{_OLD[str(key)]: value for key, value in each.items() if key in _OLD} for each in entries]
    base_name = str(base.get("bn", ""))
    if base_name and any(each.get("n") for each in records) and not base_name.endswith("/"):
        # The base name is the requested path, here written without the slash that joins it to the names.
        base["bn"] = base_name if all(str(each.get("n", "/")).startswith("/") for each in records) else base_name + "/"
    return tuple(_resolved([base, *records], now_s))


def _pack(document: object, reason: Reason) -> list[dict[object, object]]:
    if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
        raise ParseError(reason, "want a list of records")
    if len(document) > MAX_RECORDS:
        raise ParseError(Reason.OVERSIZED, f"{len(document)} records, want at most {MAX_RECORDS}")
    return document


def _resolved(records: Sequence[_Fields], now_s: float | None) -> Iterator[Entry]:
    base: _Fields = {}
    version: object = None
    for number, fields in enumerate(records):
        _check(fields, number)
        base |= {name: value for name, value in fields.items() if name in _NUMBERS and name.startswith("b")}
        version = _version(fields, version, number)
        if not _OWN.isdisjoint(fields):
            yield _entry(fields, base, now_s, number)


def _check(fields: _Fields, number: int) -> None:
    for name, value in fields.items():
        if name.endswith("_"):  # clause 4.4: whoever does not know it may not read on
            raise ParseError(Reason.BAD_FIELD, f"record {number}: {name[:20]!r} must be understood, and is not")
        fits = (
            (name not in _TEXTS or isinstance(value, str))
            and (name not in _FIGURES or (isinstance(value, (int, float)) and not isinstance(value, bool)))
            and (name != "vb" or isinstance(value, bool))
            and (name != "vd" or isinstance(value, bytes))
        )
        if not fits:
            raise ParseError(Reason.BAD_FIELD, f"record {number}: {name[:20]} is {type(value).__name__}")
    if sum(name in fields for name in _VALUES) > 1:
        raise ParseError(Reason.BAD_FIELD, f"record {number}: more than one value")


def _version(fields: _Fields, before: object, number: int) -> object:
    told = fields.get("bver", before)
    known = told is None or (isinstance(told, int) and (0 < told <= _VERSION or told == _SECONDARY_UNITS))
    if not known:
        raise ParseError(Reason.UNSUPPORTED_VERSION, f"record {number}: version {told}, want at most {_VERSION}")
    if before is not None and told != before:
        raise ParseError(Reason.BAD_FIELD, f"record {number}: version {told} after {before}")
    return told


def _entry(fields: _Fields, base: _Fields, now_s: float | None, number: int) -> Entry:
    name = str(base.get("bn", "")) + str(fields.get("n", ""))
    if not name or len(name) > _MAX_NAME:
        raise ParseError(Reason.MISSING if not name else Reason.OVERSIZED, f"record {number}: a name of {len(name)} characters")
    kind = next((each for each in _VALUES if each in fields), None)
    total = _figure(fields, "s") + _figure(base, "bs") if "s" in fields or "bs" in base else None
    if kind is None and total is None and "bv" not in base:
        raise ParseError(Reason.MISSING, f"record {number}: no value")
    value = fields[kind] if kind is not None else None
    if kind == "v" or (kind is None and total is None):
        value = _figure(fields, "v") + _figure(base, "bv")
    time_s = _figure(base, "bt") + _figure(fields, "t")
    if not math.isfinite(time_s):
        raise ParseError(Reason.BAD_FIELD, f"record {number}: its time is no number")
    relative = time_s < _ABSOLUTE_FROM
    if relative and now_s is not None:
        time_s, relative = now_s + time_s, False
    return Entry(
        name=name,
        value=None if isinstance(value, float) and not math.isfinite(value) else cast("Value | None", value),
        link=kind == "vlo",
        unit=str(fields.get("u", base.get("bu", ""))),  # codespell:ignore bu
        sum=total if total is not None and math.isfinite(total) else None,
        time_s=time_s,
        relative=relative,
        update_s=update if "ut" in fields and math.isfinite(update := _figure(fields, "ut")) else None,
    )


def _figure(fields: _Fields, name: str) -> int | float:
    return cast("int | float", fields.get(name, 0))


def _fields(entry: Entry, now_s: float | None) -> Iterator[tuple[str, object]]:
    yield "n", entry.name
    if entry.unit:
        yield "u", entry.unit
    match entry.value:
        case None:
            pass
        case bool():
            yield "vb", entry.value
        case str():
            yield ("vlo" if entry.link else "vs"), entry.value
        case bytes():
            yield "vd", entry.value
        case _:
            yield "v", entry.value
    if entry.sum is not None:
        yield "s", entry.sum
    time_s = entry.time_s if entry.relative or now_s is None else entry.time_s - now_s
    if time_s:
        yield "t", time_s
    if entry.update_s is not None:
        yield "ut", entry.update_s


def encode_json(entries: Sequence[Entry], *, now_s: float | None = None) -> bytes:
    """A JSON pack without base fields; with `now_s` times are written as seconds from then. ParseError: missing (a value)."""

    def plain(name: str, value: object) -> object:
        return base64.urlsafe_b64encode(cast("bytes", value)).rstrip(b"=").decode() if name == "vd" else value

    return msgspec.json.encode([{n: plain(n, v) for n, v in _fields(_whole(each), now_s)} for each in entries])


def encode_cbor(entries: Sequence[Entry], *, now_s: float | None = None) -> bytes:
    """A CBOR pack; otherwise as `encode_json`."""
    return cbor2.dumps([{_NUMBERS.get(n, n): v for n, v in _fields(_whole(each), now_s)} for each in entries])


def _whole(entry: Entry) -> Entry:
    if entry.value is None and entry.sum is None:
        raise ParseError(Reason.MISSING, f"{entry.name}: neither a value nor a sum")
    return entry
