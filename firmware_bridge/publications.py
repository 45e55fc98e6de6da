"""What a device publishes over MQTT, in the form that its profile names, as readings; and whether it says that it is there.

SenML gives every value a time of its own, so that one payload may become several readings.
"""

from collections.abc import Iterator, Mapping, Sequence

import cbor2
import msgspec

from device_profiles.model import Profile
from device_profiles.wires.mqtt import ADDRESS, Form, MqttTopic, Presence, Several
from firmware_bridge.documents import CBOR, JSON, decode_document, encode_document, follow, identity, parse_document
from firmware_bridge.errors import ParseError
from firmware_bridge.items import decode_items, encode_items
from firmware_bridge.lwm2m.senml import Entry, encode_cbor, encode_json, parse_cbor, parse_json
from firmware_bridge.values import Decoded
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = [
    "MAX_PLAIN",
    "decode_publication",
    "elements",
    "encode_presence",
    "encode_publication",
    "parse_publication",
    "read_presence",
]

MAX_PLAIN = 1024
_NS = 1_000_000_000


def parse_publication(form: Form, payload: bytes) -> object:
    """The payload as `decode_publication` takes it. ParseError as `parse_document` and SenML's parsers; for a bare value
    oversized (1024 bytes), bad_field (a list, an object, text that is not UTF-8)."""
    match form:
        case Form.JSON:
            return parse_document(payload, JSON)
        case Form.CBOR:
            return parse_document(payload, CBOR)
        case Form.SENML:
            return parse_json(payload)
        case Form.SENML_CBOR:
            return parse_cbor(payload)
        case Form.PLAIN:
            return _plain(payload)


def _plain(payload: bytes) -> object:
    """A number, true, false and null as JSON writes them; anything else is a text."""
    if len(payload) > MAX_PLAIN:
        raise ParseError(Reason.OVERSIZED, f"{len(payload)} bytes, want at most {MAX_PLAIN}", MAX_PLAIN)
    try:
        value = parse_document(payload, JSON)
    except ParseError:
        value = _text(payload)
    if isinstance(value, (list, dict)):
        raise ParseError(Reason.BAD_FIELD, "a list or an object, want one bare value")
    return value


def _text(payload: bytes) -> str:
    try:
        return payload.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ParseError(Reason.BAD_FIELD, "not UTF-8", error.start) from error


def elements(document: object, each: Several) -> Iterator[tuple[str | None, object]]:
    """(address, document) of every device in a payload that holds many; None for one that does not say who it is.

    ParseError: bad_field where `each.path` leads to no list.
    """
    try:
        found = follow(document, each.path)
    except LookupError:
        found = None
    if not isinstance(found, list):
        raise ParseError(Reason.BAD_FIELD, f"no list at {'.'.join(map(str, each.path)) or 'the root'}")
    for element in found:
        yield identity(element, each.identity), element


def decode_publication(
    profile: Profile, topic: MqttTopic, parsed: object, address: str, received_ns: int | None
) -> tuple[Decoded, ...]:
    """The readings in a parsed payload, oldest first; none where SenML tells nothing under the device's base name.

    `received_ns` places SenML's times that count from now, None where the payload is not of now; a record without a time
    tells none.
    """
    if topic.form not in {Form.SENML, Form.SENML_CBOR}:
        return (decode_document(profile, topic.fields, topic.time, parsed),)
    base = topic.base.replace(ADDRESS, address)
    wanted = {field.item for field in topic.items}
    by_time: dict[int | None, dict[str, object]] = {}
    for entry in _entries(parsed):
        name = entry.name.removeprefix(base)
        # A record with only a sum (an integral over time) measures something else than its name's value.
        if entry.name.startswith(base) and name in wanted and not (entry.value is None and entry.sum is not None):
            by_time.setdefault(_time_ns(entry, received_ns), {})[name] = entry.value
    times = sorted(by_time, key=lambda time_ns: (time_ns is None, time_ns or 0))
    return tuple(decode_items(profile, topic.items, by_time[time_ns], time_ns=time_ns) for time_ns in times)


def _entries(parsed: object) -> Iterator[Entry]:
    for entry in parsed if isinstance(parsed, tuple) else ():
        if isinstance(entry, Entry):
            yield entry


def _time_ns(entry: Entry, received_ns: int | None) -> int | None:
    if entry.relative:
        return received_ns + round(entry.time_s * _NS) if entry.time_s and received_ns is not None else None
    # A float of this size carries microseconds; what it says beyond milliseconds is its rounding.
    return round(entry.time_s * 1000) * 1_000_000


def read_presence(presence: Presence, payload: bytes) -> bool | None:
    """Whether the sender is there; None for an empty payload, with which a retained word is taken back.

    A word may stand bare where a document was expected: bridges have written both. ParseError: not_in_enum for any other word.
    """
    if not payload:
        return None
    value = _plain(payload) if not presence.path or payload[:1] != b"{" else parse_document(payload, JSON)
    word = identity(value, presence.path if isinstance(value, dict) else ())
    if word not in (presence.online, presence.offline):
        raise ParseError(Reason.NOT_IN_ENUM, f"{word!r:.40} is neither {presence.online!r} nor {presence.offline!r}")
    return word == presence.online


def encode_presence(presence: Presence, *, online: bool) -> bytes:
    """The word that `read_presence` reads as `online`; for simulators and tests."""
    word = presence.online if online else presence.offline
    return msgspec.json.encode(_nested(presence.path, word)) if presence.path else word.encode()


def encode_publication(profile: Profile, topic: MqttTopic, values: Mapping[str, Value], address: str, time_ns: int) -> bytes:
    """The payload that says `values` of one device; for simulators and tests. ParseError where a value has no wire form."""
    if topic.form in {Form.SENML, Form.SENML_CBOR}:
        return _encode_senml(profile, topic, values, address, time_ns)
    document = encode_document(profile, topic.fields, topic.time, values, time_ns)
    if topic.each is not None:
        document = _among_others(document, topic.each, address)
    if topic.form is Form.CBOR:
        return cbor2.dumps(document)
    bare = topic.form is Form.PLAIN and isinstance(document, str)
    return document.encode() if bare and isinstance(document, str) else msgspec.json.encode(document)


def _among_others(document: object, each: Several, address: str) -> object:
    """A payload that holds many devices, with one."""
    listed: object = [document | _nested(each.identity, address)] if isinstance(document, dict) else [document]
    return _nested(each.path, listed) if each.path else listed


def _nested(path: Sequence[str | int], value: object) -> dict[str | int, object]:
    for step in reversed(path[1:]):
        value = {step: value}
    return {path[0]: value}


def _encode_senml(profile: Profile, topic: MqttTopic, values: Mapping[str, Value], address: str, time_ns: int) -> bytes:
    items = encode_items(profile, topic.items, values)
    base, time_s = topic.base.replace(ADDRESS, address), time_ns / _NS
    entries: Sequence[Entry] = [
        Entry(name=base + name, value=value, time_s=time_s, relative=False) for name, value in items.items() if value is not None
    ]
    return encode_json(entries) if topic.form is Form.SENML else encode_cbor(entries)
