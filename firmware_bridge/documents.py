"""JSON and CBOR documents, read by path: what devices post over CoAP and publish over MQTT.

A parser here takes any bytes at all and either returns plain dicts, lists, numbers, texts, booleans and None within
bounds, or raises ParseError.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, NoReturn, cast

import cbor2

from device_profiles.model import Profile
from device_profiles.quantities import Metric
from device_profiles.wires.documents import DocumentField, TimeField, TimeUnit
from firmware_bridge.errors import ParseError
from firmware_bridge.values import Decoded, Gathering, apply_scaling, undo_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = [
    "CBOR",
    "JSON",
    "MAX_BYTES",
    "MAX_DEPTH",
    "decode_document",
    "encode_document",
    "follow",
    "identity",
    "parse_document",
    "read_time",
]

JSON, CBOR = 50, 60  # IANA CoAP Content-Formats
MAX_BYTES = 64 * 1024
MAX_DEPTH = 16
_MAX_DIGITS = 64  # no sensor counts further; Python itself refuses to read 4,300 digits, with another error
_NS = 1_000_000_000
_LATEST_MS = 2**63 // 1_000_000
_Path = Sequence[str | int]


def parse_document(payload: bytes, content_format: int) -> object:
    """The document in `payload` (content format 50 JSON or 60 CBOR).

    ParseError: oversized (bytes or nesting), not_json or not_cbor (duplicate keys, NaN and trailing bytes included),
    unknown_message for any other content format.
    """
    if len(payload) > MAX_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(payload)} bytes, want at most {MAX_BYTES}", MAX_BYTES)
    if content_format == JSON:
        return _parse_json(payload)
    if content_format == CBOR:
        return _parse_cbor(payload)
    raise ParseError(Reason.UNKNOWN_MESSAGE, f"content format {content_format}, want {JSON} (JSON) or {CBOR} (CBOR)")


def _parse_json(payload: bytes) -> object:
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(Reason.NOT_JSON, "not UTF-8", error.start) from error
    _check_json_depth(payload)
    try:
        document = json.loads(
            text, object_pairs_hook=_no_twins, parse_constant=_no_constant, parse_int=_whole, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise ParseError(Reason.NOT_JSON, error.msg, len(text[: error.pos].encode())) from error
    if "\\ud" in text.lower():
        _check_surrogates(document)
    return cast("object", document)


def _check_surrogates(document: object) -> None:
    """Half a surrogate pair may be written as an escape, but is no text that anything else could store."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ParseError(Reason.NOT_JSON, "half a surrogate pair in a text") from error


def _check_json_depth(payload: bytes) -> None:
    """Refuse nesting before the parser recurses into it; brackets within strings do not count."""
    depth, in_string, skip = 0, False, False
    for at, byte in enumerate(payload):
        if skip:
            skip = False
        elif in_string:
            skip, in_string = byte == 0x5C, byte != 0x22
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ParseError(Reason.OVERSIZED, f"nested deeper than {MAX_DEPTH}", at)
        elif byte in b"]}":
            depth -= 1


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twin = next(key for key, _ in pairs if sum(k == key for k, _ in pairs) > 1)
        raise ParseError(Reason.NOT_JSON, f"the key {twin[:40]!r} stands there twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ParseError(Reason.NOT_JSON, f"{name} is no JSON number")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ParseError(Reason.NOT_JSON, f"a whole number of {len(digits)} digits, want at most {_MAX_DIGITS}")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ParseError(Reason.NOT_JSON, f"{digits[:40]} is beyond what a float holds")
    return value


def _parse_cbor(payload: bytes) -> object:
    end = _skip_item(payload, 0, 0)
    if end != len(payload):
        raise ParseError(Reason.NOT_CBOR, f"{len(payload) - end} bytes after the document", end)
    try:
        return cast("object", cbor2.loads(payload, max_depth=MAX_DEPTH + 1, allow_duplicate_keys=False))
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise ParseError(Reason.NOT_CBOR, str(error)[:120] or type(error).__name__) from error


def _skip_item(data: bytes, at: int, depth: int) -> int:
    """The offset behind the data item at `at` (RFC 8949, clause 3).

    Looked through before the library sees it: lengths within the payload, bounded nesting, no tags (they would
    make dates, bignums and cyclic structures out of a sensor's bytes).
    """
    if depth > MAX_DEPTH:
        raise ParseError(Reason.OVERSIZED, f"nested deeper than {MAX_DEPTH}", at)
    major, argument, after = _head(data, at)
    if major == 6:
        raise ParseError(Reason.NOT_CBOR, "a tag; want plain numbers, texts, lists and maps", at)
    if major in {0, 1, 7}:
        return after
    if argument is None:
        return _skip_indefinite(data, at, depth, major)
    if major in {2, 3}:
        if after + argument > len(data):
            raise ParseError(Reason.TRUNCATED, f"a string of {argument} bytes, but {len(data) - after} are left", at)
        return after + argument
    for _ in range(argument * (major - 3)):
        after = _skip_item(data, after, depth + 1)
    return after


def _skip_indefinite(data: bytes, at: int, depth: int, major: int) -> int:
    after, count = at + 1, 0
    while data[after : after + 1] != b"\xff":
        if major in {2, 3} and (_head(data, after)[0] != major or _head(data, after)[1] is None):
            raise ParseError(Reason.NOT_CBOR, "a string's part is not a string of the same kind", after)
        after = _skip_item(data, after, depth + 1)
        count += 1
    if major == 5 and count % 2:
        raise ParseError(Reason.NOT_CBOR, "a map ends between a key and its value", after)
    return after + 1


def _head(data: bytes, at: int) -> tuple[int, int | None, int]:
    """Major type, argument (None for indefinite length) and the offset behind the head of the item at `at`."""
    if at >= len(data):
        raise ParseError(Reason.TRUNCATED, "the document ends within an item", at)
    major, info = data[at] >> 5, data[at] & 0x1F
    if info < 24:
        return major, info, at + 1
    if info == 31 and major in {2, 3, 4, 5}:
        return major, None, at + 1
    if info > 27:
        raise ParseError(Reason.NOT_CBOR, f"additional information {info}", at)
    width = 1 << (info - 24)
    if at + 1 + width > len(data):
        raise ParseError(Reason.TRUNCATED, "the document ends within an item's head", len(data))
    return major, int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def decode_document(profile: Profile, fields: Sequence[DocumentField], time: TimeField | None, document: object) -> Decoded:
    """The metrics that `fields` find in `document`.

    A path that leads nowhere leaves its metric out of the values (a device need not say everything every time); null is
    a bad value with reason no_value. Where no time is told the receiver's clock counts; where one is told that cannot be
    read, that leaves every value uncertain (implausible_time).
    """
    gathering = Gathering()
    for field in fields:
        try:
            raw = follow(document, field.path)
        except LookupError:
            continue
        gathering.add(field.metric, _reader(raw, field, profile.metrics[field.metric]))
    time_ns = None if time is None else read_time(document, time)
    if time is not None and time_ns is None and _tells(document, time.path):
        gathering.doubt_time()
    return gathering.decoded(time_ns)


def _tells(document: object, path: _Path) -> bool:
    """Whether something other than null stands at `path`."""
    try:
        return follow(document, path) is not None
    except LookupError:
        return False


def _reader(raw: object, field: DocumentField, metric: Metric) -> Callable[[], Value]:
    if field.words and isinstance(raw, str):
        return lambda: _meaning(raw, field)
    return lambda: apply_scaling(raw, field.scaling, metric)


def _meaning(word: str, field: DocumentField) -> Value:
    if word not in field.words:
        raise ParseError(Reason.NOT_IN_ENUM, f"{field.metric}: {word[:40]!r} is none of {list(field.words)}")
    return field.words[word]


def follow(document: object, path: _Path) -> object:
    """What `path` leads to; LookupError where it leads nowhere."""
    here = document
    for step in path:
        in_list = isinstance(here, list) and isinstance(step, int) and step >= 0
        if not (in_list or isinstance(here, dict)):
            raise LookupError(step)
        here = cast("Any", here)[step]
    return here


def read_time(document: object, field: TimeField) -> int | None:
    """The document's event time in nanoseconds since the Unix epoch, or None where it tells none that can be read."""
    try:
        raw = follow(document, field.path)
    except LookupError:
        return None
    if field.unit is TimeUnit.ISO8601:
        return _iso_ns(raw, field.zone_minutes) if isinstance(raw, str) else None
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        return None
    milliseconds = raw * (1000 if field.unit is TimeUnit.SECONDS else 1)
    return round(milliseconds) * 1_000_000 if 0 < milliseconds < _LATEST_MS else None


def _iso_ns(text: str, zone_minutes: int | None) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        if zone_minutes is None:
            return None
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=zone_minutes)))
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    whole = (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1000
    return whole if 0 < whole < 2**63 else None


def encode_document(
    profile: Profile, fields: Sequence[DocumentField], time: TimeField | None, values: Mapping[str, Value], time_ns: int | None
) -> object:
    """The document that `decode_document` reads as `values`, as dicts and lists; for simulators and tests.

    Only metrics in `values` are written; None becomes null where the field has no sentinel. ParseError where a value
    has no wire form.
    """
    document: dict[str | int, Any] = {}
    for field in fields:
        if field.metric in values:
            onto = _word_at(document, field.path)
            raw = _raw(values[field.metric], field, profile.metrics[field.metric], onto)
            if not field.path:
                return raw
            _place(document, field.path, raw)
    if time is not None and time_ns is not None:
        _place(document, time.path, _time_text(time_ns, time))
    return document


def _raw(value: Value, field: DocumentField, metric: Metric, onto: int) -> object:
    for word, meaning in field.words.items():
        if meaning == value and isinstance(meaning, bool) == isinstance(value, bool):
            return word
    return None if value is None and not field.scaling.no_value else undo_scaling(value, field.scaling, metric, onto)


def _word_at(document: object, path: _Path) -> int:
    try:
        found = follow(document, path)
    except LookupError:
        return 0
    return found if isinstance(found, int) else 0


def _time_text(time_ns: int, field: TimeField) -> int | float | str:
    if field.unit is TimeUnit.ISO8601:
        moment = datetime.fromtimestamp(time_ns / _NS, UTC)
        if field.zone_minutes is None:
            return moment.isoformat(timespec="milliseconds")
        # A device that names no zone writes whole seconds of its own clock.
        return moment.astimezone(timezone(timedelta(minutes=field.zone_minutes))).strftime("%Y-%m-%dT%H:%M:%S")
    if field.unit is TimeUnit.MILLISECONDS:
        return time_ns // 1_000_000
    return time_ns // _NS if time_ns % _NS == 0 else time_ns / _NS


def _place(document: dict[str | int, Any], path: _Path, value: object) -> None:
    here: Any = document
    for step, following in pairwise((*path, None)):
        assert step is not None  # noqa: S101 (only the last of the pairs ends in None)
        leaf = value if following is None else ([] if isinstance(following, int) else {})
        if isinstance(here, list):
            here.extend([None] * (int(step) + 1 - len(here)))
            if following is None or here[int(step)] is None:
                here[int(step)] = leaf
        elif following is None:
            here[step] = leaf
        else:
            here.setdefault(step, leaf)
        here = here[step]


def identity(document: object, path: _Path) -> str | None:
    """Who the document says it is from, as text; None where it does not say."""
    try:
        found = follow(document, path)
    except LookupError:
        return None
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        return None
    return str(found) or None
