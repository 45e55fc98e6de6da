"""What a platform tells a terminal, byte for byte; items of other texts; parts of items as metrics; and any bytes at all."""

import struct

import pytest
from fuzz_jt808 import MESSAGE_IDS, TRUCK, framed, fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.model import CommandSpec
from device_profiles.quantities import Text
from device_profiles.wires.jt808_orders import ORDERS, TerminalOrder
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.fences import Fence, circle_body, delete_body, polygon_body, rectangle_body, route_body
from firmware_bridge.jt808.frames import encode_frame, parse_frame
from firmware_bridge.jt808.items import read_item
from firmware_bridge.jt808.location import decode_location, encode_location, encode_values, parse_location
from firmware_bridge.jt808.orders import build_order
from firmware_bridge.jt808.packets import Packets, upgrade_body
from firmware_bridge.jt808.parameters import parameters_answer_body, set_parameters_body
from firmware_bridge.jt808.record import record
from firmware_bridge.jt808.tables import PARAMETERS
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

NOW_NS = 1_750_000_000 * SECOND_NS
POINTS = [(31.25, 120.5), (31.26, 120.5), (31.25, 120.75)]


def said(message_id: int, body: bytes, version: int = 2013) -> dict[str, object]:
    fields = record(encode_frame(message_id, "13800000001", 7, body, version))
    assert fields["flaws"] == []
    return fields


def spec(order: str, argument: str = "", high: float = 0, number: int = 0) -> CommandSpec:
    terminal = TerminalOrder(name=order, number=number)
    return CommandSpec(name="c", title=Text("c", "c"), terminal=terminal, argument=argument, low=0, high=high)


# Places in bytes: 31.25 is 01DCD650, 31.26 01DCFD60, 120.5 072EAF20, 120.75 07327FB0, worked out by hand.
def test_a_rectangle_has_its_corners_and_the_speed_that_its_attributes_announce() -> None:
    fence = Fence(id=9, max_speed_kmh=40, overspeed_s=5, on_leave=False)
    body = rectangle_body(fence, (31.26, 120.5), (31.25, 120.75), 2013)
    want = "01 01 00000009 000e 01dcfd60 072eaf20 01dcd650 07327fb0 0028 05"
    assert body == bytes.fromhex(want)
    (area,) = said(0x8602, body)["areas"]
    assert (area["top_latitude"], area["left_longitude"], area["max_speed_kmh"]) == (31.26, 120.5, 40)


def test_an_area_of_2019_has_a_speed_for_the_night_and_a_name() -> None:
    fence = Fence(id=9, max_speed_kmh=40, night_max_speed_kmh=30, name="厂区", start="000000060000", end="000000200000")
    body = circle_body(fence, (31.25, 120.5), 800, 2019)
    want = "01 01 00000009 003f 01dcd650 072eaf20 00000320 000000060000 000000200000 0028 0a 001e 0004 b3a7c7f8"
    assert body == bytes.fromhex(want)
    (area,) = said(0x8600, body, 2019)["areas"]
    assert (area["area_name"], area["night_max_speed_kmh"], area["start"]) == ("厂区", 30, "000000060000")


@pytest.mark.parametrize("version", [2013, 2019])
def test_a_polygon_reads_back(version: int) -> None:
    fields = said(0x8604, polygon_body(Fence(id=3, max_speed_kmh=50), POINTS, version), version)
    assert [(v["latitude"], v["longitude"]) for v in fields["vertices"]] == POINTS
    assert fields["max_speed_kmh"] == 50
    assert fields.get("night_max_speed_kmh") == (50 if version == 2019 else None)


def test_a_route_has_its_segments_and_their_speed() -> None:
    body = route_body(Fence(id=4, max_speed_kmh=50), POINTS[:2], 30, 2013)
    want = (
        "00000004 003c 0002 00000001 00000001 01dcd650 072eaf20 1e 02 0032 0a 00000002 00000002 01dcfd60 072eaf20 1e 02 0032 0a"
    )
    assert body == bytes.fromhex(want)
    fields = said(0x8606, body)
    assert [point["width_m"] for point in fields["points"]] == [30, 30]
    assert fields["route_hex"] == body[6:].hex(), "the bytes behind the attributes stay beside what was read of them"


def test_a_segment_in_the_south_west_says_so_by_bits_2_and_3() -> None:
    body = route_body(Fence(id=4), [(-31.25, -70.0), (-31.0, -70.0)], 30, 2013)
    assert body[8 + 17] == 0x0C


def test_fences_are_deleted_by_number_or_all_of_them() -> None:
    assert delete_body([5, 6]) == bytes.fromhex("02 00000005 00000006")
    assert delete_body([]) == b"\0"


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: circle_body(Fence(id=1), (91.0, 0.0), 5, 2013), id="beyond the pole"),
        pytest.param(lambda: polygon_body(Fence(id=1), POINTS[:2], 2013), id="two vertices"),
        pytest.param(lambda: polygon_body(Fence(id=1), [*POINTS, (-1.0, 120.0)], 2013), id="across the equator"),
        pytest.param(lambda: route_body(Fence(id=1), POINTS, 300, 2013), id="a road wider than its byte"),
        pytest.param(lambda: delete_body(range(1, 200)), id="too many at once"),
    ],
)
def test_an_area_that_has_no_form_is_refused(build) -> None:
    with pytest.raises(ParseError) as caught:
        build()
    assert caught.value.reason is Reason.OUT_OF_RANGE


def test_every_order_that_a_profile_may_name_can_be_built() -> None:
    args: dict[str, Value] = {
        "text": "回场", "interval_s": 5, "alarms": 1, "kind": 240, "data": "c0de", "fence_id": 1, "latitude": 31.0,
        "longitude": 120.0, "radius_m": 5, "top_latitude": 31.1, "top_longitude": 120.0, "bottom_latitude": 31.0,
        "bottom_longitude": 120.1, "points": "31,120;31.1,120;31,120.1",
    }  # fmt: skip
    for name, wanted in ORDERS.items():
        given = {argument.name: args[argument.name] for argument in wanted if argument.name in args}
        for version in (2013, 2019):
            number, argument = (0x0055, "speed") if name == "parameter" else (4, "")
            order = build_order(spec(name, argument, 120, number), given | ({"speed": 60} if argument else {}), version)
            fields = record(encode_frame(order.message_id, "1", 1, order.body, version))
            assert not str(fields["message"]).startswith("vendor"), name
            assert fields["flaws"] == [], name


@pytest.mark.parametrize(
    ("order", "args", "reason"),
    [
        pytest.param("polygon_fence", {"fence_id": 1, "points": "31;120"}, Reason.BAD_FIELD, id="points without a comma"),
        pytest.param("polygon_fence", {"fence_id": 1, "points": "nan,1;1,1;2,2"}, Reason.OUT_OF_RANGE, id="no number"),
        pytest.param("delete_circle_fence", {"fence_id": 1.5}, Reason.WRONG_TYPE, id="half a fence"),
        pytest.param("circle_fence", {"fence_id": 1}, Reason.MISSING, id="no place"),
        pytest.param("track", {"interval_s": 70_000}, Reason.OUT_OF_RANGE, id="an interval above a word"),
        pytest.param("text", {"text": "汉" * 600}, Reason.OVERSIZED, id="a text above 1,024 bytes of GBK"),
        pytest.param("text", {"text": "a\ud800"}, Reason.BAD_FIELD, id="half a surrogate pair"),
        pytest.param("transparent", {"kind": 1, "data": "xyz"}, Reason.NOT_HEX, id="data that is no hex"),
        pytest.param("locate", {"now": True}, Reason.BAD_FIELD, id="more than it takes"),
    ],
)
def test_an_order_that_says_the_wrong_thing_is_refused_with_its_reason(
    order: str, args: dict[str, Value], reason: Reason
) -> None:
    with pytest.raises(ParseError) as caught:
        build_order(spec(order), args, 2013)
    assert caught.value.reason is reason


@given(
    st.dictionaries(
        st.sampled_from(sorted(PARAMETERS)),
        st.one_of(st.integers(0, 255), st.text(max_size=20), st.binary(max_size=9)),
        max_size=9,
    )
)
def test_parameters_read_back(values: dict[int, int | str | bytes]) -> None:
    wanted: dict[int, Value] = {}
    for number, value in values.items():
        kind = PARAMETERS[number][1]
        if kind in "dwb" and isinstance(value, int):
            wanted[number] = value
        elif kind == "s" and isinstance(value, str):
            wanted[number] = value.strip("\0 ")
        elif kind == "x" and isinstance(value, bytes):
            wanted[number] = value.hex()
    fields = said(0x0104, parameters_answer_body(77, wanted))
    assert fields["ack_serial"] == 77
    assert {int(str(e["id"]), 16): e["value"] for e in fields["parameters"]} == wanted


@pytest.mark.parametrize(
    ("number", "value", "reason"),
    [
        (0x0055, -1, Reason.OUT_OF_RANGE),
        (0x0031, 70_000, Reason.OUT_OF_RANGE),
        (0x0055, "60", Reason.WRONG_TYPE),
        (0x0013, 5, Reason.WRONG_TYPE),
        (0xF001, "zz", Reason.NOT_HEX),
        (0x0013, "x" * 256, Reason.OVERSIZED),
    ],
)
def test_a_parameter_that_has_no_form_is_refused(number: int, value: Value, reason: Reason) -> None:
    with pytest.raises(ParseError) as caught:
        set_parameters_body({number: value})
    assert caught.value.reason is reason


# The items of a real capture in SmallChi/JT808 and of its tests; read by the tables of T/JSATL 12-2017 and JT/T 1078-2016.
@pytest.mark.parametrize(
    ("number", "text", "name", "wanted"),
    [
        pytest.param(
            0x64,
            "0000001f000201323201000035006401e0d40a073e6ac4241127154210ffff69643030303033241127154217000500",
            "driver_assistance_alarm",
            {
                "kind": "lane_departure",
                "level": 1,
                "front_speed_kmh": 50,
                "speed_kmh": 53,
                "altitude_m": 100,
                "latitude": 31.511562,
            },
            id="lane departure",
        ),
        pytest.param(
            0x65,
            "08322ccf010101000000000000000001dc9f7b073c3cf8210429120639000133353938393530210429120639000500",
            "driver_state_alarm",
            {"kind": "fatigue", "stage": "begins", "latitude": 31.235963, "longitude": 121.38828, "time_raw": "210429120639"},
            id="fatigue",
        ),
        pytest.param(
            0x18, "000709", "abnormal_driving", {"behaviours": ["fatigue", "phone", "smoking"], "fatigue_degree": 9}, id="1078"
        ),
    ],
)
def test_items_of_other_texts_are_read_where_their_size_is_right(
    number: int, text: str, name: str, wanted: dict[str, object]
) -> None:
    known = read_item(number, bytes.fromhex(text))
    assert known is not None
    assert known[0] == name
    assert isinstance(known[1], dict)
    assert {key: known[1][key] for key in wanted} == wanted


def test_two_tyres_and_channels_by_number() -> None:
    head = bytes.fromhex("00000001 01 2d 0064 01dcd650 072eaf20 241127154210 0001") + bytes(16)
    body = head + bytes.fromhex("02 00 0004 0384 0019 0050 03 0000 02bc 001a 0051")
    known = read_item(0x66, body)
    assert known is not None
    assert known[1]["tyres"][1] == {
        "tyre": 3, "alarms": 0, "pressure_kpa": 700, "temperature_cel": 26, "battery_pct": 81
    }  # fmt: skip
    assert read_item(0x15, bytes.fromhex("0000000c")) == ("video_lost_channels", [3, 4])


def test_the_same_ids_in_another_size_are_a_vendors_and_no_fault() -> None:
    assert read_item(0x66, bytes.fromhex("01cc0000000c40f89f27b0")) is None
    body = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS, items=[(0x67, b"13214322"), (0x66, b"\x01")])
    assert said(0x0200, body)["items"] == [{"id": "0x67", "hex": "3133323134333232"}, {"id": "0x66", "hex": "01"}]


def test_a_card_that_was_taken_out_says_no_more_than_that() -> None:
    assert said(0x0702, bytes.fromhex("02 200721183000"))["card_status"] == 2


def test_a_captured_driver_card() -> None:
    # yezhihao/jt808-server, jtt808-protocol/src/test/resources/JT808.txt
    raw = (
        "7e0702004e0123456789017fff022007211830000004d5c5c8fd313233343536373839303132330000000000000028d6d0bbaac8cbc3f1b9b2bacdb9fa"
        "b5c0c2b7d4cbcae4b4d3d2b5c8cbd4b1b4d3d2b5d7cab8f1d6a420190630307e"
    )
    fields = record(bytes.fromhex(raw))
    assert (fields["driver_name"], fields["certificate"], fields["valid_until_raw"]) == ("张三", "1234567890123", "20190630")
    assert fields["issuer"] == "中华人民共和国道路运输从业人员从业资格证"


def test_an_upgrade_package_has_the_standards_bytes_and_goes_in_packets() -> None:
    # yezhihao/jt808-server, JT808.txt, a 0x8108 of 2019: kind 52, maker asd, version 1.1.12, nine bytes
    want = "34617364000006312e312e313200000009010203040506070809"
    assert upgrade_body(52, "asd", "1.1.12", bytes(range(1, 10))).hex() == want
    packets = Packets(0x8108, "13800000001", 65535, bytes(2500))
    frames = [parse_frame(raw) for raw in packets]
    assert [(frame.packet, frame.serial, len(frame.body)) for frame in frames] == [
        ((3, 1), 65535, 1000), ((3, 2), 0, 1000), ((3, 3), 1, 500)
    ]  # fmt: skip
    assert packets[1:2] == [packets[1]]


@pytest.mark.parametrize(("maker", "size"), [("70111", 5), ("MAKER-2019", 11)])
def test_a_package_of_2019_has_a_maker_of_5_or_of_11_bytes(maker: str, size: int) -> None:
    body = upgrade_body(0, maker, "2.0", b"image")
    assert len(body) == 1 + size + 4 + 4 + 5
    fields = said(0x8108, body, 2019)
    assert (fields["manufacturer"], fields["version"], fields["size"], fields["data"]) == (maker, "2.0", 5, b"image".hex())


def test_a_card_of_2019_and_its_supplement_name_the_driver() -> None:
    card = "01 241127154210 00 04 d5c5c8fd" + b"C1".ljust(20, b"\0").hex() + "02 4a54 20300101"
    papers = b"320500199001010011".ljust(20, b"\0")
    fields = said(0x0702, bytes.fromhex(card) + papers, 2019)
    assert (fields["driver_name"], fields["id_number"], fields.get("face_match_pct")) == ("张三", "320500199001010011", None)
    fields = said(0x0702, bytes.fromhex(card) + papers + b"\x5f" + b"UID-1".ljust(20, b"\0"), 2019)
    assert (fields["face_match_pct"], fields["card_uid"]) == (95, "UID-1")


def test_parts_of_items_and_words_become_metrics() -> None:
    items = [(0x12, bytes.fromhex("01 00000007 01")), (0xE1, bytes.fromhex("0000 04d2"))]
    body = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS, alarm=1 << 20, status=0x302, items=items)
    values = decode_location(TRUCK, parse_location(body)).values
    assert {name: values[name] for name in ("load", "left_area", "weight_t", "area_crossed")} == {
        "load": 3, "left_area": True, "weight_t": 12.34, "area_crossed": True
    }  # fmt: skip


def test_an_item_that_is_too_short_for_a_part_is_bad_and_one_that_is_not_there_is_no_value_at_all() -> None:
    body = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS, items=[(0xE1, b"\0\0\1")])
    decoded = decode_location(TRUCK, parse_location(body))
    assert decoded.flaws == {"weight_t": Flaw(Quality.BAD, Reason.BAD_LENGTH)}
    assert "left_area" not in decoded.values


@given(load=st.integers(0, 3), left=st.booleans(), weight=st.integers(0, 65535), crossed=st.booleans())
def test_parts_survive_the_wire(*, load: int, left: bool, weight: int, crossed: bool) -> None:
    values: dict[str, Value] = {"load": load, "left_area": left, "weight_t": weight / 100, "area_crossed": crossed}
    decoded = decode_location(TRUCK, parse_location(encode_values(TRUCK, values, NOW_NS)))
    assert {name: decoded.values[name] for name in values} == values


@given(st.binary(max_size=400))
def test_any_bytes_at_all(data: bytes) -> None:
    fuzz_one(data)


@given(st.sampled_from(MESSAGE_IDS), st.booleans(), st.binary(max_size=120))
def test_any_body_of_any_message(message_id: int, modern: bool, body: bytes) -> None:
    fuzz_one(encode_frame(message_id, "1", 1, body, 2019 if modern else 2013))


@given(st.integers(0, 3), st.binary(min_size=12, max_size=60), st.integers(0, 500))
def test_a_frame_with_one_bit_turned_over(copies: int, body: bytes, at: int) -> None:
    raw = bytearray(framed(struct.pack(">HH", 0x0200, len(body)) + body) * (1 + copies))
    raw[at // 8 % len(raw)] ^= 1 << at % 8
    fuzz_one(bytes(raw))
