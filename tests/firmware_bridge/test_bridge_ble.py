"""Bluetooth: advertisements, BTHome objects, characteristics, and the maintenance door's frames."""

import itertools

import pytest
from fuzz_ble import fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.ble.advertising import encode_advertising, parse_advertising, uuid_of
from firmware_bridge.ble.bthome import SERVICE, encode_bthome, parse_bthome
from firmware_bridge.ble.door import (
    MAX_FRAME_BYTES,
    Answer,
    DoorFramer,
    Frame,
    FrameType,
    Order,
    Result,
    encode_answer,
    encode_frame,
    encode_order,
    parse_answer,
    parse_frame,
    parse_order,
    pieces,
)
from firmware_bridge.ble.gatt import CHARACTERISTICS, encode_value, parse_value
from firmware_bridge.ble.record import LANGUAGES
from firmware_bridge.errors import ParseError, Refused
from telemetry.reason import Reason

EXAMPLE = bytes.fromhex("0201060b094449592d73656e736f720a16d2fc4002c40903bf13")
"""bthome.io, "Format", the worked advertisement: flags, the name DIY-sensor, temperature 25.00 and humidity 50.55."""


def refusal(read: object, *args: object) -> Reason:
    with pytest.raises(ParseError) as error:
        read(*args)  # type: ignore[operator]
    return error.value.reason


# Advertisements


def test_the_worked_advertisement_of_the_format_reads_as_stated() -> None:
    said = parse_advertising(EXAMPLE)
    assert said.name == "DIY-sensor"
    assert parse_bthome(said.service_data[SERVICE]).items == {"temperature": 25.0, "humidity": 50.55}


def test_every_kind_of_structure_is_read_and_the_others_passed_over() -> None:
    # Written down by the Assigned Numbers: flags, two 16-bit UUIDs, TX power, manufacturer 0059 (Nordic), a type nobody knows.
    raw = bytes.fromhex("020106 05030f180a18 020afc 05ff59000102 0377aabb".replace(" ", ""))
    said = parse_advertising(raw, rssi_dbm=-71)
    assert said.uuids == (uuid_of(0x180F), uuid_of(0x180A))
    assert (said.tx_power_dbm, said.rssi_dbm, said.manufacturer_data) == (-4, -71, {0x0059: b"\x01\x02"})
    uart = bytes.fromhex("1107" + "9ecadc240ee5a9e093f3a3b50100406e")  # 6E400001-..., low byte first
    assert parse_advertising(uart).uuids == ("6e400001-b5a3-f393-e0a9-e50e24dcca9e",)
    assert parse_advertising(b"\x00\xff\xff") == parse_advertising(b"")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param("0516d2fc", Reason.TRUNCATED, id="a structure longer than what is left"),
        pytest.param("0216d2", Reason.BAD_LENGTH, id="half a UUID"),
        pytest.param("02ff59", Reason.BAD_LENGTH, id="half a company"),
        pytest.param("00" * 1651, Reason.OVERSIZED, id="longer than any advertisement"),
    ],
)
def test_an_advertisement_that_cannot_be_read_is_refused(raw: str, reason: Reason) -> None:
    assert refusal(parse_advertising, bytes.fromhex(raw)) is reason


# BTHome: the values stand in the table of bthome.io, each beside its example bytes.


@pytest.mark.parametrize(
    ("objects", "items"),
    [
        ("0161", {"battery": 97}),
        ("02ca09", {"temperature": 25.06}),
        ("0291f5", {"temperature": -26.71}),
        ("03bf13", {"humidity": 50.55}),
        ("04138a01", {"pressure": 1008.83}),
        ("05138a14", {"illuminance": 13460.67}),
        ("065e1f", {"mass_kg": 80.3}),
        ("073e1d", {"mass_lb": 74.86}),
        ("08ca06", {"dew_point": 17.38}),
        ("0960", {"count": 96}),
        ("0a138a14", {"energy": 1346.067}),
        ("0b021b00", {"power": 69.14}),
        ("0c020c", {"voltage": 3.074}),
        ("0d120c", {"pm25": 3090}),
        ("0e021c", {"pm10": 7170}),
        ("12e204", {"co2": 1250}),
        ("133301", {"tvoc": 307}),
        ("14020c", {"moisture": 30.74}),
        ("2e23", {"humidity": 35}),
        ("2f23", {"moisture": 35}),
        ("3d0960", {"count": 24585}),
        ("3e2a2c0960", {"count": 1611213866}),
        ("3f020c", {"rotation": 307.4}),
        ("400c00", {"distance_mm": 12}),
        ("414e00", {"distance_m": 7.8}),
        ("424e3400", {"duration": 13.39}),
        ("434e34", {"current": 13.39}),
        ("444e34", {"speed": 133.9}),
        ("451101", {"temperature": 27.3}),
        ("4632", {"uv_index": 5.0}),
        ("478756", {"volume_l": 2215.1}),
        ("48dc87", {"volume_ml": 34780}),
        ("49dc87", {"volume_flow_rate": 34.78}),
        ("4a020c", {"voltage": 307.4}),
        ("4b138a14", {"gas": 1346.067}),
        ("4c41018a01", {"gas": 25821.505}),
        ("4d12138a14", {"energy": 344593.17}),
        ("4e87562a01", {"volume_l": 19551.879}),
        ("4f87562a01", {"water": 19551.879}),
        ("505d396164", {"timestamp": 1684093277}),
        ("518756", {"acceleration": 22.151}),
        ("528756", {"gyroscope": 22.151}),
        ("530c48656c6c6f20576f726c6421", {"text": "Hello World!"}),
        ("540c48656c6c6f20576f726c6421", {"raw": "48656c6c6f20576f726c6421"}),
        ("5587562a01", {"volume_storage": 19551.879}),
        ("56e803", {"conductivity": 1000}),
        ("57ea", {"temperature": -22}),
        ("58ea", {"temperature": -7.7}),
        ("59ea", {"count": -22}),
        ("5aeaea", {"count": -5398}),
        ("5beaeaeaea", {"count": -353703190}),
        ("5c02fbffff", {"power": -12.78}),
        ("5d02ea", {"current": -5.63}),
        ("5e9f8c", {"direction": 359.99}),
        ("5f8756", {"precipitation": 2215.1}),
        ("1a01", {"door": True}),
        ("2b00", {"tamper": False}),
        ("1501", {"battery_low": True}),
        ("0f01", {"generic": True}),
        ("1101", {"opening": True}),
        ("2d01", {"window": True}),
        ("3a01", {"button": "press"}),
        ("3a80", {"button": "hold_press"}),
        ("3c0103", {"dimmer": "rotate_left", "dimmer_steps": 3}),
        ("f00100", {"device_type": 1}),
        ("f100010204", {"firmware_version": "4.2.1.0"}),
        ("f2000106", {"firmware_version": "6.1.0"}),
    ],
)
def test_an_object_reads_as_the_format_states(objects: str, items: dict[str, object]) -> None:
    assert parse_bthome(bytes.fromhex("40" + objects)).items == items


def test_the_second_of_a_kind_has_a_number_and_the_packet_its_own() -> None:
    said = parse_bthome(bytes.fromhex("44 0009 02ca09 0291f5 3a00 3a01".replace(" ", "")))
    assert said.items == {"temperature": 25.06, "temperature.2": -26.71, "button": "none", "button.2": "press"}
    assert (said.packet_id, said.triggered) == (9, True)


def test_an_address_inside_the_data_is_read_before_the_objects() -> None:
    said = parse_bthome(bytes.fromhex("42 a5808fe64854 02ca09".replace(" ", "")))
    assert (said.address, said.items) == ("54:48:E6:8F:80:A5", {"temperature": 25.06})


def test_what_stands_before_an_object_of_tomorrow_is_kept() -> None:
    said = parse_bthome(bytes.fromhex("40 02ca09 1a02 7fff03bf13".replace(" ", "")))
    assert (said.items, said.unknown) == ({"temperature": 25.06}, 0x7F)
    assert said.unreadable == {"door": Reason.NOT_IN_ENUM}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", Reason.TRUNCATED),
        ("4002ca", Reason.TRUNCATED),
        ("4053054142", Reason.TRUNCATED),
        ("2002ca09", Reason.UNSUPPORTED_VERSION),
        ("41a47266c95f730011223378237214", Reason.UNSUPPORTED_ENCRYPTION),  # the format's encrypted example
    ],
)
def test_data_that_cannot_be_read_is_refused_with_its_reason(raw: str, reason: Reason) -> None:
    assert refusal(parse_bthome, bytes.fromhex(raw)) is reason


@given(
    temperature=st.integers(-32768, 32767),
    door=st.booleans(),
    battery=st.integers(0, 255),
    packet=st.integers(0, 255),
)
def test_what_a_simulated_sensor_says_is_read_back(temperature: int, door: bool, battery: int, packet: int) -> None:
    items = {"battery": battery, "temperature": round(temperature / 100, 2), "door": door}
    said = parse_advertising(encode_advertising("cabinet", {0xFCD2: encode_bthome(items, packet)}))
    read = parse_bthome(said.service_data[SERVICE])
    assert (read.items, read.packet_id, said.name) == (items, packet, "cabinet")


def test_a_simulated_sensor_cannot_say_what_has_no_form() -> None:
    assert refusal(encode_bthome, {"mood": 1}) is Reason.UNKNOWN_METRIC
    assert refusal(encode_bthome, {"temperature": 400}) is Reason.OUT_OF_RANGE
    assert refusal(encode_bthome, {"door": 1}) is Reason.WRONG_TYPE


# Characteristics


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("battery_level", "58", 88),
        ("temperature", "0af6", -25.5),
        ("temperature", "0080", None),
        ("humidity", "c012", 48.0),
        ("humidity", "ffff", None),
        ("pressure", "8a750f00", 101313.0),
        ("illuminance", "ffffff", None),
        ("model_number", "43432d3100", "CC-1"),
    ],
)
def test_a_characteristic_reads_as_its_specification_states(name: str, raw: str, value: object) -> None:
    assert parse_value(name, bytes.fromhex(raw)) == value
    if not isinstance(value, str):
        assert encode_value(name, value).hex() == raw  # type: ignore[arg-type]


def test_a_value_of_the_wrong_size_or_of_nobody_is_refused() -> None:
    assert refusal(parse_value, "battery_level", b"\x01\x02") is Reason.BAD_LENGTH
    assert refusal(parse_value, "serial_number", b"\xff") is Reason.BAD_FIELD
    assert refusal(parse_value, "serial_number", b"x" * 513) is Reason.OVERSIZED
    assert refusal(parse_value, "mood", b"") is Reason.UNKNOWN_METRIC
    assert CHARACTERISTICS["battery_level"].uuid == "00002a19-0000-1000-8000-00805f9b34fb"


# The maintenance door


ORDER = bytes.fromhex("c7 0007 01 05 02 00000001 70a8".replace(" ", ""))
"""Order 2 with the argument 1, number 5; its CRC counted by `ccitt` below."""


def test_an_order_lies_on_the_wire_as_its_drawing_shows() -> None:
    assert encode_order(5, Order(code=2, argument=1)) == ORDER
    assert parse_order(parse_frame(ORDER)) == Order(code=2, argument=1)
    assert int.from_bytes(ORDER[-2:], "big") == ccitt(ORDER[1:-2])


def ccitt(data: bytes) -> int:
    """CRC-16/CCITT-FALSE bit by bit, apart from the product's; 29B1 for the digits 1 to 9 (catalogue of CRC algorithms)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1 & 0xFFFF
    return crc


def test_the_crc_of_these_tests_is_the_catalogues() -> None:
    assert ccitt(b"123456789") == 0x29B1


def test_an_answer_is_no_order_and_a_short_body_no_answer() -> None:
    answer = Answer(code=2, result=Result.NOT_NOW, value=-7)
    frame = parse_frame(encode_answer(250, answer))
    assert (frame.serial, parse_answer(frame)) == (250, answer)
    assert refusal(parse_order, frame) is Reason.UNKNOWN_MESSAGE
    assert refusal(parse_answer, Frame(type=FrameType.ANSWER, serial=1, body=b"\x01")) is Reason.BAD_LENGTH


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda raw: raw[:5], Reason.TRUNCATED),
        (lambda raw: b"\xc6" + raw[1:], Reason.BAD_START),
        (lambda raw: raw + b"\x00", Reason.BAD_LENGTH),
        (lambda raw: raw[:1] + b"\xff\xff" + raw[3:], Reason.BAD_LENGTH),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), Reason.BAD_CHECKSUM),
    ],
)
def test_a_damaged_frame_is_refused_with_its_reason(damage: object, reason: Reason) -> None:
    assert refusal(parse_frame, damage(encode_order(1, Order(code=1)))) is reason  # type: ignore[operator]


FRAMES = st.builds(Frame, type=st.integers(0, 255), serial=st.integers(0, 255), body=st.binary(max_size=256))


@given(frames=st.lists(FRAMES, max_size=5), cuts=st.lists(st.integers(1, 25), min_size=1, max_size=40))
def test_frames_come_whole_however_notifications_cut_them(frames: list[Frame], cuts: list[int]) -> None:
    stream, framer, read, at = b"".join(map(encode_frame, frames)), DoorFramer(), [], 0
    for size in itertools.cycle(cuts):
        if at >= len(stream):
            break
        read += framer.feed(stream[at : at + size])
        at += size
    assert [*read, *framer.idle()] == frames


@given(noise=st.binary(max_size=60).filter(lambda noise: b"\xc7" not in noise), frame=FRAMES)
def test_noise_before_a_frame_costs_only_the_noise(noise: bytes, frame: Frame) -> None:
    said = DoorFramer().feed(noise + encode_frame(frame))
    assert said[-1] == frame
    assert b"".join(each.raw for each in said if isinstance(each, Refused)) == noise


def test_a_frame_goes_out_in_pieces_that_any_connection_carries() -> None:
    raw = encode_frame(Frame(type=1, serial=2, body=bytes(256)))
    assert len(raw) == MAX_FRAME_BYTES
    assert b"".join(pieces(raw)) == raw
    assert max(map(len, pieces(raw))) == 20
    assert refusal(encode_frame, Frame(type=1, serial=1, body=bytes(257))) is Reason.OVERSIZED


def test_an_advertisement_and_a_frame_are_shown_whole() -> None:
    said = LANGUAGES["ble-advertisement"].describe(EXAMPLE)
    assert (said["protocol"], said["name"]) == ("ble-advertisement", "DIY-sensor")
    assert said["bthome"]["items"] == {"temperature": 25.0, "humidity": 50.55}  # type: ignore[index]
    shown = {field.name: field.value for field in LANGUAGES["ble-door"].explain(ORDER)}
    assert (shown["length"], shown["serial"], shown["crc"]) == (7, 5, "right")
    door = LANGUAGES["ble-door"].describe(ORDER)
    assert (door["checksum_ok"], door["kind"], door["code"], door["argument"]) == (True, "order", 2, 1)
    sealed = LANGUAGES["ble-advertisement"].describe(bytes.fromhex("0516d2fc4100"))
    assert sealed["bthome"]["refused"] is Reason.UNSUPPORTED_ENCRYPTION  # type: ignore[index]


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    fuzz_one(data)


@given(st.binary(max_size=60))
def test_any_objects_are_read_or_refused(objects: bytes) -> None:
    fuzz_one(b"\x40" + objects)
