"""One table of the languages: what a frame says as a JSON-ready record, and field by field with offsets."""

import json
from collections.abc import Callable, Mapping
from functools import partial

from device_profiles.model import Profile
from firmware_bridge.ble.record import LANGUAGES as BLE
from firmware_bridge.carriers.record import LANGUAGES as CARRIERS
from firmware_bridge.cjt188.record import LANGUAGE as CJT188
from firmware_bridge.coap import CoapMessage, parse_coap
from firmware_bridge.cursor import Shown
from firmware_bridge.dlt645.record import LANGUAGES as DLT645
from firmware_bridge.documents import CBOR, JSON, parse_document
from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.record import LANGUAGE as HJ212
from firmware_bridge.jt808.explain import explain as explain_jt808
from firmware_bridge.jt808.record import record as record_jt808
from firmware_bridge.language import Language, Record
from firmware_bridge.lwm2m.record import LANGUAGES as LWM2M
from firmware_bridge.modbus.record import LANGUAGES as MODBUS
from firmware_bridge.nbiot.record import LANGUAGE as NBIOT_AT
from firmware_bridge.serial.record import serial_language
from firmware_bridge.sl651.record import LANGUAGE as SL651
from firmware_bridge.sparkplug.record import LANGUAGE as SPARKPLUG
from telemetry.reason import Reason

__all__ = ["LANGUAGES", "PROTOCOLS", "with_profiles"]


def _coap(raw: bytes) -> Record:
    message = parse_coap(raw)
    options = [{"number": o.number, "name": o.name, "value": o.value} for o in message.options]
    return {
        "protocol": "coap",
        "type": message.type,
        "code": message.code,
        "message_id": message.message_id,
        "token": message.token.hex(),
        "options": options,
        "payload_hex": message.payload.hex(),
        "document": _payload(message),
    }


def _payload(message: CoapMessage) -> object:
    """The payload read by its content format, None where that is no document."""
    if message.content_format not in {JSON, CBOR} or not message.payload:
        return None
    try:
        return _speakable(parse_document(message.payload, message.content_format))
    except ParseError as error:
        return {"refused": error.reason, "where": str(error)}


def _explain_coap(raw: bytes) -> list[Shown]:
    message = parse_coap(raw)
    fields = [
        Shown("version, type, token length", 0, 1, f"1, {message.type}, {len(message.token)}"),
        Shown("code", 1, 1, message.code),
        Shown("message_id", 2, 2, message.message_id),
    ]
    if message.token:
        fields.append(Shown("token", 4, len(message.token), message.token.hex()))
    payload_at = len(raw) - len(message.payload)
    ends = [option.at for option in message.options[1:]] + [payload_at - (1 if message.payload else 0)]
    fields += (Shown(o.name, o.at, end - o.at, o.value) for o, end in zip(message.options, ends, strict=False))
    if message.payload:
        fields.append(Shown("payload", payload_at, len(message.payload), message.payload.hex()))
    return fields


def _document(raw: bytes, *, name: str, content_format: int) -> Record:
    return {"protocol": name, "document": _speakable(parse_document(raw, content_format))}


def _explain_document(raw: bytes, *, content_format: int) -> list[Shown]:
    document = parse_document(raw, content_format)
    return [Shown("document", 0, len(raw), json.dumps(_speakable(document), ensure_ascii=False))]


def _text(raw: bytes) -> Record:
    try:
        return {"protocol": "text", "text": raw.decode()}
    except UnicodeDecodeError as error:
        raise ParseError(Reason.BAD_FIELD, "not UTF-8", error.start) from error


def _explain_text(raw: bytes) -> list[Shown]:
    return [Shown("text", 0, len(raw), _text(raw)["text"])]


def _speakable(value: object) -> object:
    """A CBOR document as JSON can write it: bytes as hex, keys as text, what JSON has no word for as text."""
    if isinstance(value, dict):
        return {str(key): _speakable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_speakable(entry) for entry in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and (value != value or value in {float("inf"), float("-inf")}):  # noqa: PLR0124 (NaN)
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


LANGUAGES: Mapping[str, Language] = {
    "jt808": Language(describe=record_jt808, explain=explain_jt808),
    "hj212": HJ212,
    **DLT645,
    "cjt188": CJT188,
    "sl651": SL651,
    "sparkplug-b": SPARKPLUG,
    **BLE,
    "nbiot-at": NBIOT_AT,
    **CARRIERS,
    **LWM2M,
    **MODBUS,
    "coap": Language(describe=_coap, explain=_explain_coap),
    "json": Language(
        describe=partial(_document, name="json", content_format=JSON),
        explain=partial(_explain_document, content_format=JSON),
        spoken=("{", "["),
    ),
    "text": Language(describe=_text, explain=_explain_text),
    "cbor": Language(
        describe=partial(_document, name="cbor", content_format=CBOR), explain=partial(_explain_document, content_format=CBOR)
    ),
}
"""The languages that need no profile."""

PROTOCOLS: Mapping[str, Callable[[bytes], Record]] = {name: language.describe for name, language in LANGUAGES.items()}

_ALIASES = {"toilet-serial": "toilet_node_serial"}


def with_profiles(catalog: Mapping[str, Profile]) -> dict[str, Language]:
    """All languages: those above, and every profile with a serial wire by its name."""
    languages = dict(LANGUAGES)
    for name, profile in catalog.items():
        if profile.wire.serial is not None:
            languages[name] = serial_language(profile)
    languages |= {alias: languages[name] for alias, name in _ALIASES.items() if name in languages}
    return languages
