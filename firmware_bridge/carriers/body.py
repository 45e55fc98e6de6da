"""The JSON body of a push, read within bounds, and its fields as carriers write them."""

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

from firmware_bridge.carriers.messages import Point
from firmware_bridge.documents import JSON, parse_document
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = [
    "MAX_POINTS",
    "Fields",
    "basic_time_ns",
    "epoch_ns",
    "fields",
    "from_base64",
    "imei",
    "number",
    "read_body",
    "text",
    "walk",
]

Fields = dict[str, object]

MAX_POINTS = 4096
"""Values that one push may hold. The body itself is bounded by `documents.MAX_BYTES`."""

_LATEST_NS = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_body(body: bytes) -> Fields:
    """The object in `body`. ParseError: oversized, not_json, wrong_type (no object)."""
    return fields(parse_document(body, JSON), "the body")


def fields(value: object, name: str) -> Fields:
    """`value` as an object. ParseError: missing, wrong_type."""
    if value is None:
        raise ParseError(Reason.MISSING, f"no {name}")
    if not isinstance(value, dict):
        raise ParseError(Reason.WRONG_TYPE, f"{name} is {type(value).__name__}, want an object")
    return cast("Fields", value)


def text(value: object) -> str | None:
    """A name or number as text; None for what is absent, empty, or the word "undefined" that platforms put there."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    said = str(value).strip()
    return said if said and said != "undefined" else None


def number(value: object) -> int | None:
    """A whole number, or one in decimal digits; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def imei(*values: object) -> str | None:
    """The first of `values` that is the 15 digits of an IMEI."""
    return next((said for said in map(text, values) if said and len(said) == 15 and said.isascii() and said.isdigit()), None)


def epoch_ns(value: object, unit_ns: int, name: str) -> int | None:
    """A time counted in units of `unit_ns` since the epoch, None where there is none. ParseError: bad_field, implausible_time."""
    if value is None or value == "":
        return None
    count = number(value)
    if count is None:
        raise ParseError(Reason.BAD_FIELD, f"{name} {value!r:.40}, want a whole number")
    if not 0 <= count * unit_ns < _LATEST_NS:
        raise ParseError(Reason.IMPLAUSIBLE_TIME, f"{name} {count}")
    return count * unit_ns


def basic_time_ns(value: object, name: str) -> int | None:
    """A time as 20210908T104234Z (ISO 8601 basic, UTC). ParseError: bad_field."""
    if value is None or value == "":
        return None
    try:
        when = datetime.strptime(str(value), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise ParseError(Reason.BAD_FIELD, f"{name} {value!r:.40}, want yyyyMMddTHHmmssZ") from error
    return (when - _EPOCH) // timedelta(seconds=1) * 1_000_000_000


def from_base64(value: object, name: str) -> bytes:
    """The bytes behind a base64 text. ParseError: wrong_type, bad_field."""
    if not isinstance(value, str):
        raise ParseError(Reason.WRONG_TYPE, f"{name} is {type(value).__name__}, want base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ParseError(Reason.BAD_FIELD, f"{name}: {error}, want base64") from error


def walk(value: object, time_ns: int | None = None, path: str = "") -> Iterator[Point]:
    """The leaves of a nest of objects, in order; an empty object is a leaf. ParseError(oversized) past MAX_POINTS."""
    for count, (name, leaf) in enumerate(_leaves(value, path)):
        if count >= MAX_POINTS:
            raise ParseError(Reason.OVERSIZED, f"more than {MAX_POINTS} values")
        yield Point(path=name, value=leaf, time_ns=time_ns)


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    if not isinstance(value, dict) or (path and not value):
        yield path, value
        return
    for name, inner in value.items():
        yield from _leaves(inner, f"{path}.{name}" if path else str(name))
