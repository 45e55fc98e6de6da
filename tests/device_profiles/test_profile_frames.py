"""Every profile's example frames, run through the real decoders.

The bytes and the expected readings were written down apart from this project's codecs; where they disagree, a wire map
or a decoder is wrong.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from device_profiles.frames import ExampleFrame, load_frames
from device_profiles.model import Profile
from device_profiles.shelf import catalog_path, load_catalog
from device_profiles.wires.ble import BTHOME
from device_profiles.wires.modbus import RegisterArea
from firmware_bridge.ble.advertising import parse_advertising
from firmware_bridge.ble.bthome import SERVICE, parse_bthome
from firmware_bridge.carriers import onenet
from firmware_bridge.carriers.messages import Report
from firmware_bridge.carriers.reports import decode_reports
from firmware_bridge.cjt188.frames import parse_frame as parse_cjt188
from firmware_bridge.cjt188.rounds import Cjt188Plan
from firmware_bridge.dlt645.frames import parse_frame as parse_dlt645
from firmware_bridge.dlt645.rounds import Dlt645Plan
from firmware_bridge.documents import CBOR, JSON, decode_document, identity, parse_document
from firmware_bridge.hj212.frames import parse_frame as parse_hj212
from firmware_bridge.hj212.metrics import decode_message
from firmware_bridge.hj212.segment import parse_segment
from firmware_bridge.items import decode_items
from firmware_bridge.jt808.frames import parse_frame
from firmware_bridge.jt808.location import decode_location, parse_location
from firmware_bridge.lwm2m.payloads import decode_payload
from firmware_bridge.lwm2m.reports import decode_readings
from firmware_bridge.meter_line import Told
from firmware_bridge.modbus.frames import parse_rtu
from firmware_bridge.modbus.pdus import ReadReply, ReadRequest, parse_reply, parse_request
from firmware_bridge.modbus.plan import plan_reads
from firmware_bridge.modbus.registers import decode_registers
from firmware_bridge.publications import decode_publication, elements, parse_publication
from firmware_bridge.serial.frames import read_frame
from firmware_bridge.sl651.frames import parse_frame as parse_sl651
from firmware_bridge.sl651.metrics import decode_report
from firmware_bridge.sl651.record import body_of
from firmware_bridge.sparkplug.payload import parse_payload
from firmware_bridge.sparkplug.session import NodeSession, Outcome
from firmware_bridge.sparkplug.topics import Kind, Place
from firmware_bridge.values import Decoded

Read = tuple[Decoded, str | None]

_AREA = {1: RegisterArea.COIL, 2: RegisterArea.DISCRETE, 3: RegisterArea.HOLDING, 4: RegisterArea.INPUT}


def _coap(profile: Profile, example: ExampleFrame) -> Read:
    wire = profile.wire.coap
    assert wire is not None
    document = parse_document(example.payloads[0], CBOR if example.transport == "coap_cbor" else JSON)
    return decode_document(profile, wire.fields, wire.time, document), identity(document, wire.identity)


def _mqtt(profile: Profile, example: ExampleFrame) -> Read:
    wire = profile.wire.mqtt
    assert wire is not None
    topic = next(each for each in wire.topics if example.topic in {"", each.topic})
    address, parsed = example.identity, parse_publication(topic.form, example.payloads[0])
    if topic.each is not None:
        ((address, parsed),) = elements(parsed, topic.each)
    (decoded,) = decode_publication(profile, topic, parsed, address or "", None)
    return decoded, address


def _ble(profile: Profile, example: ExampleFrame) -> Read:
    assert profile.wire.ble is not None
    said = parse_bthome(parse_advertising(example.payloads[0]).service_data[SERVICE])
    items = {f"{BTHOME}{name}": value for name, value in said.items.items()}
    return decode_items(profile, profile.wire.ble.items, items), None


def _sparkplug(profile: Profile, example: ExampleFrame) -> Read:
    """The last message of a device after its births."""
    wire, session = profile.wire.mqtt, NodeSession("group/node", ["device"])
    assert wire is not None
    assert wire.sparkplug is not None
    outcome = Outcome()
    for message in example.payloads:
        kind, _, payload = message.partition(b" ")
        device = "device" if kind.startswith(b"D") else ""
        outcome = session.take(Place(Kind(kind.decode()), "group/node", device), parse_payload(payload))
    (spoken,) = outcome.spoken
    items = wire.sparkplug.items
    decoded = decode_items(profile, items, spoken.items, time_ns=spoken.time_ns, unreadable=spoken.unreadable)
    return decoded, None


def _serial(profile: Profile, example: ExampleFrame) -> Read:
    address, decoded = read_frame(profile, example.payloads[0])
    return decoded, None if address is None else f"address {address}"


def _jt808(profile: Profile, example: ExampleFrame) -> Read:
    frame = parse_frame(example.payloads[0])
    return decode_location(profile, parse_location(frame.body)), frame.phone


def _modbus(profile: Profile, example: ExampleFrame) -> Read:
    wire = profile.wire.modbus
    assert wire is not None
    memory: dict[tuple[RegisterArea, int], int | bool] = {}
    for asked, answered in zip(example.payloads[::2], example.payloads[1::2], strict=True):
        memory |= _exchange(asked, answered)
    # A gap that the plan reads along and the example does not hold is a register nobody asked for.
    blocks = {
        block: [memory.get((block.area, address), 0) for address in range(block.address, block.address + block.count)]
        for block in plan_reads(wire)
    }
    return decode_registers(profile, blocks), None


def _exchange(asked: bytes, answered: bytes) -> dict[tuple[RegisterArea, int], int | bool]:
    request, reply = parse_request(parse_rtu(asked).pdu), parse_reply(parse_rtu(answered).pdu)
    assert isinstance(request, ReadRequest)
    assert isinstance(reply, ReadReply)
    return {(_AREA[int(request.function)], request.address + n): word for n, word in enumerate(reply.values[: request.count])}


def _hj212(profile: Profile, example: ExampleFrame) -> Read:
    packet = parse_segment(parse_hj212(example.payloads[0]).segment)
    return decode_message(profile, packet), packet.mn


def _sl651(profile: Profile, example: ExampleFrame) -> Read:
    """A report tells several instants: the one whose time the example expects."""
    frame = parse_sl651(example.payloads[0])
    readings = {decoded.time_ns: decoded for decoded in decode_report(profile, body_of(frame))}
    assert example.time is not None
    return readings[round(example.time.timestamp()) * 1_000_000_000], frame.station


def _lwm2m(profile: Profile, example: ExampleFrame) -> Read:
    wire = profile.wire.lwm2m
    assert wire is not None
    (decoded,) = decode_readings(profile, wire.items, decode_payload((), 110, example.payloads[0]), 0)
    return decoded, None


def _carrier(profile: Profile, example: ExampleFrame) -> Read:
    wire = profile.wire.carrier
    assert wire is not None
    reports = [message for message in onenet.parse_push(example.payloads[0]) if isinstance(message, Report)]
    (decoded,) = decode_reports(profile, wire.items, reports)
    return decoded, reports[0].device_id


def _dlt645(profile: Profile, example: ExampleFrame) -> Read:
    """One round: each question is answered by the example's frame of that identifier, or by none."""
    answers = [parse_dlt645(raw) for raw in example.payloads]
    asking = Dlt645Plan(profile, answers[0].address).begin()
    while asking.question() is not None:
        if not any(asking.hear(answer).answers for answer in answers):
            asking.give_up()
    return asking.decoded(), f"address {answers[0].address}"


def _cjt188(profile: Profile, example: ExampleFrame) -> Read:
    answer = parse_cjt188(example.payloads[0])
    wire = profile.wire.cjt188
    assert wire is not None
    heedless = replace(profile, wire=replace(profile.wire, cjt188=replace(wire, echoes_sequence=False)))
    asking = Cjt188Plan(heedless, answer.address).begin()
    assert asking.hear(answer) == Told(answers=True)
    return asking.decoded(), f"address {answer.address}"


_READERS: Mapping[str, Callable[[Profile, ExampleFrame], Read]] = {
    "carrier_json": _carrier,
    "coap_cbor": _coap,
    "coap_json": _coap,
    "lwm2m_senml": _lwm2m,
    "ble": _ble,
    "mqtt_cbor": _mqtt,
    "mqtt_json": _mqtt,
    "mqtt_plain": _mqtt,
    "mqtt_senml": _mqtt,
    "mqtt_senml_cbor": _mqtt,
    "mqtt_sparkplug": _sparkplug,
    "serial": _serial,
    "dlt645": _dlt645,
    "cjt188": _cjt188,
    "jt808": _jt808,
    "modbus_rtu": _modbus,
    "hj212": _hj212,
    "sl651": _sl651,
}


def _examples() -> Iterator[Any]:
    for name, profile in load_catalog().items():
        for example in load_frames(catalog_path() / name, profile):
            yield pytest.param(profile, example, id=f"{name}: {example.name}")


@pytest.mark.parametrize(("profile", "example"), list(_examples()))
def test_an_example_frame_becomes_the_reading_written_beside_it(profile: Profile, example: ExampleFrame) -> None:
    decoded, address = _READERS[example.transport](profile, example)
    assert decoded.values.keys() == example.values.keys()
    for metric, value in example.values.items():
        got = decoded.values[metric]
        assert type(got) in ({float, int} if isinstance(value, int | float) and not isinstance(value, bool) else {type(value)})
        assert got == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), metric
    assert {metric: flaw.reason for metric, flaw in decoded.flaws.items()} == dict(example.flaws)
    assert address == example.identity
    expected_ns = None if example.time is None else round(example.time.timestamp() * 1000) * 1_000_000
    assert decoded.time_ns == expected_ns


def test_every_profile_shows_every_transport_it_speaks() -> None:
    for name, profile in load_catalog().items():
        shown = {example.transport.partition("_")[0] for example in load_frames(catalog_path() / name, profile)}
        assert shown == set(profile.wire.spoken())
