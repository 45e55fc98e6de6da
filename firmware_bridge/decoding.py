"""One frame field by field for whoever shows it: always an answer, and the first bad byte where there is one."""

import math
from collections.abc import Mapping

import msgspec

from device_profiles.model import Profile
from firmware_bridge.cursor import Shown
from firmware_bridge.describe import LANGUAGES
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language
from firmware_bridge.serial.record import serial_language
from telemetry.reason import Reason

__all__ = ["Decoding", "Field", "decode_frame", "language_of"]

_REFUSED = "refused"
"""The name under which a language tells of a part that it cannot read."""
_MOST_FIELDS = 512
_MOST_TEXT = 2000


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field: its bytes are `begin` to `end`, the latter not included. `value` is a number, a truth, a text or None."""

    name: str
    value: bool | int | float | str | None
    begin: int
    end: int


class Decoding(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame says. Where it is `refused`, `reason` and `detail` say why; `at` is the first bad byte, if one is to blame."""

    fields: tuple[Field, ...] = ()
    refused: bool = False
    reason: Reason | None = None
    detail: str = ""
    at: int | None = None


def language_of(name: str, catalog: Mapping[str, Profile]) -> Language | None:
    """The language of this name: one of the table, or a profile with a serial wire; None where there is none."""
    if name in LANGUAGES:
        return LANGUAGES[name]
    profile = catalog.get(name)
    return None if profile is None or profile.wire.serial is None else serial_language(profile)


def decode_frame(name: str, raw: bytes, catalog: Mapping[str, Profile]) -> Decoding:
    """The frame `raw` in the language `name`. Raises nothing, whatever the bytes are."""
    language = language_of(name, catalog)
    if language is None:
        return Decoding(refused=True, reason=Reason.UNSUPPORTED_VERSION, detail=f"no language {name!r} is known here")
    try:
        shown = language.explain(raw)
    except ParseError as error:
        return Decoding(refused=True, reason=error.reason, detail=error.detail, at=error.at)
    fields = tuple(_field(each, len(raw)) for each in shown[:_MOST_FIELDS])
    bad = next((field for field in fields if field.name == _REFUSED), None)
    if bad is None:
        return Decoding(fields=fields)
    return Decoding(fields=fields, refused=True, reason=Reason.BAD_FIELD, detail=str(bad.value), at=bad.begin)


def _field(shown: Shown, size: int) -> Field:
    begin = min(max(0, shown.at), size)
    return Field(name=shown.name, value=_plain(shown.value), begin=begin, end=min(max(begin, begin + shown.size), size))


def _plain(value: object) -> bool | int | float | str | None:
    """A value as JSON can write it: what JSON, or a page's numbers, cannot hold becomes a text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    text = value.hex() if isinstance(value, bytes) else str(value)
    # Half a surrogate pair can come out of a JSON document, and goes into no UTF-8.
    return text[:_MOST_TEXT].encode("utf-8", "replace").decode()
