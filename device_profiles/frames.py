"""Example frames: bytes written down from outside, and the reading they must become.

A wrong wire map survives every round trip, because simulator and decoder share it; only bytes worked out by another
hand catch it. A profile's `frames.yaml` is a list under `frames`, each with a name, its source, exactly one of

    serial: "AA 55 ..."        jt808: "7E ... 7E"        coap_cbor: "A2 ..."        sl651: "7E 7E ..."
    coap_json: '{...}'         mqtt_json: '{...}'        carrier_json: '{...}'      hj212: "##0101QN=..."
    cjt188: "FE FE 68 ..."     ble: "02 01 06 ..."       lwm2m_senml: '[...]'       dlt645: ["68 ... 16", "68 ... 16"]
    modbus_rtu: ["request", "reply", "request", "reply"]
    mqtt_cbor: "A2 ..."        mqtt_plain: "23.5"        mqtt_senml: '[...]'        mqtt_senml_cbor: "81 ..."
    mqtt_sparkplug: ["NBIRTH 08 ...", "DBIRTH 08 ...", "DDATA 08 ..."]

beside MQTT's, where a model has several topics, `topic` as the profile writes it; and `expect`: `values` by metric,
`flaws` by metric where a value is not good, `time` and `identity` where the frame has them.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from device_profiles.branch import Branch
from device_profiles.mistakes import Findings, did_you_mean
from device_profiles.model import Profile
from device_profiles.yaml_nodes import read_yaml
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["TRANSPORTS", "ExampleFrame", "load_frames"]

_BYTES = ("ble", "cjt188", "coap_cbor", "jt808", "mqtt_cbor", "mqtt_senml_cbor", "serial", "sl651")
_TEXTS = ("carrier_json", "coap_json", "hj212", "lwm2m_senml", "mqtt_json", "mqtt_plain", "mqtt_senml")
_LISTS = ("dlt645", "modbus_rtu", "mqtt_sparkplug")
TRANSPORTS = tuple(sorted((*_BYTES, *_TEXTS, *_LISTS)))
"""The languages of examples: a profile's wire, and where that has several forms, `_` and the form."""


class ExampleFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One worked or captured example. `payloads` holds one frame or document, for dlt645 one answer for each identifier, for
    modbus_rtu request and reply in turns, for mqtt_sparkplug the kind of each message, a blank and its payload."""

    name: str
    source: str
    line: int
    transport: str
    payloads: tuple[bytes, ...]
    values: Mapping[str, Value]
    flaws: Mapping[str, Reason]
    time: datetime | None
    identity: str | None
    topic: str = ""


def load_frames(path: Path, profile: Profile) -> tuple[ExampleFrame, ...]:
    """The examples in a profile's folder (or frames.yaml). Raises ProfileError with every mistake."""
    file = path if path.suffix in {".yaml", ".yml"} else path / "frames.yaml"
    findings = Findings(str(file))
    root = Branch(findings, read_yaml(file, findings), "")
    frames = tuple(_frame(branch, profile) for branch in root.items("frames"))
    if not frames and root.sound:
        root.wrong("frames", "no example", "at least one frame")
    root.finish()
    findings.raise_if_any()
    return frames


def _frame(branch: Branch, profile: Profile) -> ExampleFrame:
    found = [transport for transport in TRANSPORTS if branch.has(transport)]
    if len(found) != 1:
        branch.wrong("transport", " and ".join(found) or "no bytes", f"exactly one of {', '.join(TRANSPORTS)}")
    expect = branch.branch("expect")
    frame = ExampleFrame(
        name=branch.text("name"),
        source=branch.text("source"),
        line=branch.line,
        transport=found[0] if found else "",
        payloads=_payloads(branch, found[0]) if found else (),
        values=_values(expect, profile),
        flaws=_flaws(expect, profile),
        time=_time(expect),
        identity=expect.text("identity") if expect.has("identity") else None,
        topic=branch.text("topic", ""),
    )
    expect.finish()
    branch.finish()
    return frame


def _payloads(branch: Branch, transport: str) -> tuple[bytes, ...]:
    if transport in _TEXTS:
        return (branch.text(transport).encode(),)
    if transport in _BYTES:
        return (_bytes(branch, transport, branch.text(transport)),)
    if transport == "mqtt_sparkplug":
        parts = (text.partition(" ") for text in branch.texts(transport))
        return tuple(kind.encode() + b" " + _bytes(branch, transport, data) for kind, _, data in parts)
    frames = tuple(_bytes(branch, transport, text) for text in branch.texts(transport))
    if transport == "modbus_rtu" and (not frames or len(frames) % 2):
        branch.wrong(transport, f"{len(frames)} frames", "request and reply in turns")
    return frames


def _bytes(branch: Branch, key: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        branch.wrong(key, f"{text[:40]!r} is not hexadecimal", 'pairs of hexadecimal digits in quotes: "AA 55"')
        return b""


def _values(expect: Branch, profile: Profile) -> dict[str, Value]:
    inner = expect.branch("values")
    values = {}
    for name in inner:
        values[name] = None if inner.is_null(name) else inner.value(name)
        if name not in profile.metrics:
            inner.wrong_key(name, "not a metric of this profile", did_you_mean(name, profile.metrics))
    return values


def _flaws(expect: Branch, profile: Profile) -> dict[str, Reason]:
    inner = expect.optional("flaws")
    flaws: dict[str, Reason] = {}
    if inner is None:
        return flaws
    for name in inner:
        flaws[name] = inner.choice(name, Reason)
        if name not in profile.metrics:
            inner.wrong_key(name, "not a metric of this profile", did_you_mean(name, profile.metrics))
    return flaws


def _time(expect: Branch) -> datetime | None:
    if not expect.has("time"):
        return None
    text = expect.text("time")
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        expect.wrong("time", f"{text!r} is not a time with its zone", '"2026-08-17T22:18:12+08:00"')
    return time
