"""The way of each language's frames from bytes to a reading, made ready as a driver holds it: framers, readers and plans stay.

A decoder takes an example's frames once more, each whole as the line or the datagram brings it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from msgspec.structs import replace

from device_profiles.frames import ExampleFrame
from device_profiles.model import Profile
from device_profiles.wires.ble import BTHOME
from device_profiles.wires.modbus import RegisterArea
from firmware_bridge.ble.advertising import parse_advertising
from firmware_bridge.ble.bthome import SERVICE, parse_bthome
from firmware_bridge.carriers import onenet
from firmware_bridge.carriers.messages import Report
from firmware_bridge.carriers.reports import decode_reports
from firmware_bridge.cjt188.frames import Cjt188Framer
from firmware_bridge.cjt188.frames import Frame as Cjt188Frame
from firmware_bridge.cjt188.rounds import Cjt188Plan
from firmware_bridge.dlt645.frames import Dlt645Framer
from firmware_bridge.dlt645.frames import Frame as Dlt645Frame
from firmware_bridge.dlt645.rounds import Dlt645Plan
from firmware_bridge.documents import CBOR, JSON, decode_document, parse_document
from firmware_bridge.hj212.frames import Frame as Hj212Frame
from firmware_bridge.hj212.frames import Hj212Framer
from firmware_bridge.hj212.metrics import decode_message
from firmware_bridge.hj212.segment import parse_segment
from firmware_bridge.items import decode_items
from firmware_bridge.jt808.frames import Frame as Jt808Frame
from firmware_bridge.jt808.frames import Jt808Framer
from firmware_bridge.jt808.location import decode_location, parse_location
from firmware_bridge.lwm2m.payloads import decode_payload
from firmware_bridge.lwm2m.reports import decode_readings
from firmware_bridge.modbus.frames import RtuFrame, RtuFramer, parse_rtu
from firmware_bridge.modbus.pdus import ReadRequest, parse_request
from firmware_bridge.modbus.plan import ReadBlock
from firmware_bridge.modbus.reader import RegisterReader
from firmware_bridge.publications import decode_publication, elements, parse_publication
from firmware_bridge.serial.frames import framer, read_frame
from firmware_bridge.sl651.frames import Frame as Sl651Frame
from firmware_bridge.sl651.frames import Sl651Framer
from firmware_bridge.sl651.metrics import decode_report
from firmware_bridge.sl651.record import body_of
from firmware_bridge.sparkplug.payload import parse_payload
from firmware_bridge.sparkplug.session import NodeSession
from firmware_bridge.sparkplug.topics import Kind, Place
from firmware_bridge.values import Decoded

__all__ = ["DECODERS", "Decoder"]

Decoder = Callable[[], Iterator[Decoded]]

_AREA = {1: RegisterArea.COIL, 2: RegisterArea.DISCRETE, 3: RegisterArea.HOLDING, 4: RegisterArea.INPUT}
_SENML_JSON = 110  # IANA CoAP Content-Formats

T = TypeVar("T")


def _spoken(wire: T | None) -> T:
    """A profile's wire of the language that its example is in."""
    if wire is None:
        raise ValueError("an example in a language that its profile does not speak")
    return wire


def _modbus(profile: Profile, example: ExampleFrame) -> Decoder:
    """The replies of one round; what was asked is known beforehand."""
    requests = [parse_request(parse_rtu(raw).pdu) for raw in example.payloads[::2]]
    blocks = [ReadBlock(_AREA[r.function], r.address, r.count) for r in requests if isinstance(r, ReadRequest)]
    reader, line, replies = RegisterReader(profile, tuple(blocks)), RtuFramer(), example.payloads[1::2]

    def decode() -> Iterator[Decoded]:
        frames = [frame for raw in replies for frame in line.feed(raw) if isinstance(frame, RtuFrame)]
        yield reader.read({block: frame.pdu[2:] for block, frame in zip(blocks, frames, strict=True)})

    return decode


def _serial(profile: Profile, example: ExampleFrame) -> Decoder:
    wire = _spoken(profile.wire.serial)
    line = framer(wire.layout)

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            for frame in (*line.feed(raw), *line.idle()):
                if isinstance(frame, bytes):
                    yield read_frame(profile, frame)[1]

    return decode


def _jt808(profile: Profile, example: ExampleFrame) -> Decoder:
    line = Jt808Framer()

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            for frame in line.feed(raw):
                if isinstance(frame, Jt808Frame):
                    yield decode_location(profile, parse_location(frame.body))

    return decode


def _hj212(profile: Profile, example: ExampleFrame) -> Decoder:
    line = Hj212Framer()

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            for frame in line.feed(raw):
                if isinstance(frame, Hj212Frame):
                    yield decode_message(profile, parse_segment(frame.segment))

    return decode


def _sl651(profile: Profile, example: ExampleFrame) -> Decoder:
    line = Sl651Framer()

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            for frame in line.feed(raw):
                if isinstance(frame, Sl651Frame):
                    yield from decode_report(profile, body_of(frame))

    return decode


def _dlt645(profile: Profile, example: ExampleFrame) -> Decoder:
    """One round; each question is answered by the example's frame of that identifier, or by none."""
    line = Dlt645Framer()
    (first,) = (frame for frame in line.feed(example.payloads[0]) if isinstance(frame, Dlt645Frame))
    plan = Dlt645Plan(profile, first.address)

    def decode() -> Iterator[Decoded]:
        frames = [frame for raw in example.payloads for frame in line.feed(raw) if isinstance(frame, Dlt645Frame)]
        asking = plan.begin()
        while asking.question() is not None:
            if not any(asking.hear(frame).answers for frame in frames):
                asking.give_up()
        yield asking.decoded()

    return decode


def _cjt188(profile: Profile, example: ExampleFrame) -> Decoder:
    line, wire = Cjt188Framer(), _spoken(profile.wire.cjt188)
    heedless = replace(profile, wire=replace(profile.wire, cjt188=replace(wire, echoes_sequence=False)))
    (first,) = (frame for frame in line.feed(example.payloads[0]) if isinstance(frame, Cjt188Frame))
    plan = Cjt188Plan(heedless, first.address)

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            for frame in line.feed(raw):
                if isinstance(frame, Cjt188Frame):
                    asking = plan.begin()
                    asking.hear(frame)
                    yield asking.decoded()

    return decode


def _coap(profile: Profile, example: ExampleFrame) -> Decoder:
    wire = _spoken(profile.wire.coap)
    content_format = CBOR if example.transport == "coap_cbor" else JSON

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            yield decode_document(profile, wire.fields, wire.time, parse_document(raw, content_format))

    return decode


def _mqtt(profile: Profile, example: ExampleFrame) -> Decoder:
    wire = _spoken(profile.wire.mqtt)
    topic = next(each for each in wire.topics if example.topic in {"", each.topic})

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            parsed = parse_publication(topic.form, raw)
            for address, element in elements(parsed, topic.each) if topic.each is not None else [(example.identity, parsed)]:
                yield from decode_publication(profile, topic, element, address or "", None)

    return decode


def _sparkplug(profile: Profile, example: ExampleFrame) -> Decoder:
    """What a node says after its births, which tell the names of its metrics."""
    wire = _spoken(_spoken(profile.wire.mqtt).sparkplug)
    session, said = NodeSession("group/node", ["device"]), []
    for message in example.payloads:
        kind, _, payload = message.partition(b" ")
        said.append((Place(Kind(kind.decode()), "group/node", "device" if kind.startswith(b"D") else ""), payload))

    def decode() -> Iterator[Decoded]:
        for place, payload in said:
            for spoken in session.take(place, parse_payload(payload)).spoken:
                yield decode_items(profile, wire.items, spoken.items, time_ns=spoken.time_ns, unreadable=spoken.unreadable)

    return decode


def _ble(profile: Profile, example: ExampleFrame) -> Decoder:
    wire = _spoken(profile.wire.ble)

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            said = parse_bthome(parse_advertising(raw).service_data[SERVICE])
            yield decode_items(profile, wire.items, {f"{BTHOME}{name}": value for name, value in said.items.items()})

    return decode


def _lwm2m(profile: Profile, example: ExampleFrame) -> Decoder:
    wire = _spoken(profile.wire.lwm2m)

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            yield from decode_readings(profile, wire.items, decode_payload((), _SENML_JSON, raw), 0)

    return decode


def _carrier(profile: Profile, example: ExampleFrame) -> Decoder:
    wire = _spoken(profile.wire.carrier)

    def decode() -> Iterator[Decoded]:
        for raw in example.payloads:
            reports = [message for message in onenet.parse_push(raw) if isinstance(message, Report)]
            yield from decode_reports(profile, wire.items, reports)

    return decode


DECODERS: Mapping[str, Callable[[Profile, ExampleFrame], Decoder]] = {
    "ble": _ble,
    "carrier_json": _carrier,
    "cjt188": _cjt188,
    "coap_cbor": _coap,
    "coap_json": _coap,
    "dlt645": _dlt645,
    "hj212": _hj212,
    "jt808": _jt808,
    "lwm2m_senml": _lwm2m,
    "modbus_rtu": _modbus,
    "mqtt_cbor": _mqtt,
    "mqtt_json": _mqtt,
    "mqtt_plain": _mqtt,
    "mqtt_senml": _mqtt,
    "mqtt_senml_cbor": _mqtt,
    "mqtt_sparkplug": _sparkplug,
    "serial": _serial,
    "sl651": _sl651,
}
"""By the name that an example's frames go by; those that are not here are not measured, and the figures say so."""
