"""Fixed binary frames on a serial line: framer, decoder and encoder of one layout."""

import msgspec
import pytest
from bridge_profiles import metric, serial_profile
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.model import Profile
from device_profiles.quantities import MetricType, NumberType, Scaling
from device_profiles.shelf import load_catalog
from device_profiles.wires.serial import BinaryField, BinaryLayout, BinaryMessage, SerialWire
from device_profiles.wires.serial_binary import CHECKSUM_BYTES
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.serial.checks import checksum
from firmware_bridge.serial.layout import LayoutFramer, decode_frame, encode_frame, poll_frame
from firmware_bridge.values import Decoded
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

LAYOUT = BinaryLayout(
    start=b"\xaa\x55",
    address_at=2,
    type_at=3,
    type_value=1,
    length_at=4,
    length_adds=7,
    max_size=32,
    checksum="crc16-modbus",
    checksum_from=2,
    fields=(
        BinaryField(metric="nh3", at=5, type=NumberType.U16, scaling=Scaling(scale=0.01, no_value=frozenset({0xFFFF}))),
        BinaryField(metric="cold", at=7, type=NumberType.I16, scaling=Scaling(scale=0.1, no_value=frozenset({0x8000}))),
        BinaryField(metric="door", at=9, type=NumberType.U8, scaling=Scaling(bit=0)),
        BinaryField(metric="fan", at=9, type=NumberType.U8, scaling=Scaling(bit=7)),
    ),
)
METRICS = (metric("nh3"), metric("cold"), metric("door", MetricType.BOOLEAN), metric("fan", MetricType.BOOLEAN))
PROFILE = serial_profile(SerialWire(layout=LAYOUT, poll=bytes.fromhex("aa55000100"), poll_address_at=2), *METRICS)
VALUES = {"nh3": 1.28, "cold": -1.5, "door": True, "fan": True}
FRAME = encode_frame(PROFILE, 3, VALUES)


def with_layout(**changes: object) -> Profile:
    layout = msgspec.structs.replace(LAYOUT, **changes)
    return serial_profile(SerialWire(layout=layout), *METRICS)


def test_the_frame_has_the_layouts_bytes() -> None:
    assert FRAME[:-2].hex() == "aa55030105" + "0080" + "fff1" + "81"
    assert decode_frame(PROFILE, FRAME) == (3, decode_frame(PROFILE, FRAME)[1])
    assert decode_frame(PROFILE, FRAME)[1].values == VALUES


def test_a_catalogued_toilet_node_reads_its_worked_frame() -> None:
    # device_profiles/catalog/toilet_node_serial/README.md, worked apart from this code.
    frame = bytes.fromhex("AA 55 03 01 0C 00 80 00 04 FF F1 02 8F 05 01 2F 30 3F 6F")
    address, decoded = decode_frame(load_catalog()["toilet_node_serial"], frame)
    assert address == 3
    assert (decoded.values["nh3_ppm"], decoded.values["temperature_c"], decoded.values["supply_v"]) == (1.28, -1.5, 12.08)


def test_none_is_the_sentinel_and_bad_on_the_way_back() -> None:
    frame = encode_frame(PROFILE, 3, VALUES | {"nh3": None, "cold": None})
    assert frame[5:9].hex() == "ffff8000"
    bad = Flaw(Quality.BAD, Reason.NO_VALUE)
    assert decode_frame(PROFILE, frame)[1].flaws == {"nh3": bad, "cold": bad}


@pytest.mark.parametrize(
    ("at", "value", "reason", "bad_at"),
    [
        pytest.param(0, 0xAB, Reason.BAD_START, 0, id="another start"),
        pytest.param(4, 9, Reason.BAD_LENGTH, 4, id="a length that is not the frame's"),
        pytest.param(4, 200, Reason.OVERSIZED, 4, id="a length beyond the layout's largest"),
        pytest.param(10, 0, Reason.BAD_CHECKSUM, 10, id="a wrong checksum"),
    ],
)
def test_a_damaged_frame_is_refused_at_its_first_bad_byte(at: int, value: int, reason: Reason, bad_at: int) -> None:
    damaged = bytearray(FRAME)
    damaged[at] = value
    with pytest.raises(ParseError) as refusal:
        decode_frame(PROFILE, bytes(damaged))
    assert (refusal.value.reason, refusal.value.at) == (reason, bad_at)


def test_a_frame_of_another_type_is_not_this_message() -> None:
    other = with_layout(type_value=2)
    with pytest.raises(ParseError) as refusal:
        decode_frame(other, FRAME)
    assert (refusal.value.reason, refusal.value.at) == (Reason.UNKNOWN_MESSAGE, 3)


def test_a_shorter_frame_of_an_older_unit_lacks_only_its_last_fields() -> None:
    short = with_layout(fields=LAYOUT.fields[:1])
    address, decoded = decode_frame(PROFILE, encode_frame(short, 4, {"nh3": 1.0}))
    assert (address, decoded.values["nh3"]) == (4, 1.0)
    assert decoded.flaws["door"] == Flaw(Quality.BAD, Reason.MISSING)


@pytest.mark.parametrize(
    ("frame", "layout", "value"),
    [
        pytest.param(
            "FF 86 02 60 47 00 00 00 D1",
            BinaryLayout(start=b"\xff\x86", size=9, checksum="lrc", checksum_from=1, fields=(BinaryField(metric="nh3", at=2),)),
            608,
            id="Winsen MH-Z19, 608 ppm of carbon dioxide, as commonly published",
        ),
        pytest.param(
            "FF 07 A1 A7",
            BinaryLayout(start=b"\xff", size=4, checksum="sum8", fields=(BinaryField(metric="nh3", at=1),)),
            1953,
            id="DYP-A02YYUW, an ultrasonic sensor at 1953 mm, as commonly published",
        ),
        pytest.param(
            "42 4D 00 1C 00 1C 00 29 00 2B 00 1C 00 29 00 2B 14 94 05 E8 00 B8 00 14 00 02 00 02 97 00 04 87",
            BinaryLayout(
                start=b"BM",
                length_at=2,
                length_size=2,
                length_adds=4,
                checksum="sum16",
                fields=(BinaryField(metric="nh3", at=12),),
            ),
            41,
            id="Plantower PMS5003, 41 ug/m3 of PM2.5: the layout that its manual prints, bytes and sum worked out here",
        ),
    ],
)
def test_a_published_sensor_without_an_address_needs_no_code(frame: str, layout: BinaryLayout, value: int) -> None:
    profile = serial_profile(SerialWire(layout=layout), *METRICS)
    address, decoded = decode_frame(profile, bytes.fromhex(frame))
    assert (address, decoded.values) == (None, {"nh3": value})
    assert LayoutFramer(layout).feed(b"\xff\x00" + bytes.fromhex(frame))[-1] == bytes.fromhex(frame)
    assert encode_frame(profile, None, {"nh3": value})[:4] == bytes.fromhex(frame)[:4] or layout.checksum == "sum16"


@pytest.mark.parametrize(
    ("kind", "check"),
    # The check values of the catalogue of parametrised CRC algorithms for "123456789", and sums worked out by hand.
    [
        ("crc16-modbus", 0x4B37),
        ("crc16-xmodem", 0x31C3),
        ("crc16-ccitt", 0x29B1),
        ("sum8", 0xDD),
        ("sum8-ones", 0x22),
        ("lrc", 0x23),
        ("sum16", 0x01DD),
        ("xor8", 0x31),
    ],
)
def test_a_checksum_has_its_published_check_value(kind: str, check: int) -> None:
    assert checksum(kind, b"123456789") == check


def test_an_address_of_two_bytes_and_messages_of_several_types() -> None:
    level = BinaryField(metric="nh3", at=6)
    mode = BinaryField(metric="mode", at=6, size=6, charset="gb18030")
    layout = BinaryLayout(
        start=b"\xaa\x55",
        address_at=2,
        address_size=2,
        type_at=4,
        type_value=1,
        length_at=5,
        length_adds=8,
        checksum="crc16-xmodem",
        checksum_order="little",
        fields=(level,),
        others=(BinaryMessage(type_value=9, fields=(mode,)),),
    )
    profile = serial_profile(SerialWire(layout=layout), *METRICS, metric("mode", MetricType.STRING))
    first, second = encode_frame(profile, 0x1234, {"nh3": 7}), encode_frame(profile, 0x1234, {"mode": "自动"}, kind=9)
    assert first[:8].hex() == "aa551234" + "01" + "02" + "0007"
    assert second[4:12].hex() == "0906" + "d7d4b6af0000", "GB 18030, padded"
    assert decode_frame(profile, first) == (0x1234, Decoded(values={"nh3": 7}))
    assert decode_frame(profile, second) == (0x1234, Decoded(values={"mode": "自动"}))
    assert LayoutFramer(layout).feed(first + second) == [first, second]
    with pytest.raises(ParseError, match="does not fit"):
        encode_frame(profile, 70_000, {})


def test_messages_without_a_length_have_sizes_of_their_own() -> None:
    layout = BinaryLayout(
        start=b"\xaa",
        type_at=1,
        type_value=1,
        size=5,
        checksum="xor8",
        fields=(BinaryField(metric="nh3", at=2),),
        others=(BinaryMessage(type_value=2, size=7, fields=(BinaryField(metric="cold", at=2, type=NumberType.I32),)),),
    )
    profile = serial_profile(SerialWire(layout=layout), *METRICS)
    first, second = encode_frame(profile, None, {"nh3": 1}), encode_frame(profile, None, {"cold": -1}, kind=2)
    assert (len(first), len(second)) == (5, 7)
    framer = LayoutFramer(layout)
    said = [one for byte in b"\xaa\x07\x00" + second + first for one in framer.feed(bytes((byte,)))]
    assert [one for one in said if isinstance(one, bytes)] == [second, first]
    assert decode_frame(profile, second)[1].values == {"cold": -1}


@pytest.mark.parametrize("checksum", ["none", "sum8", "xor8", "crc16-modbus", "sum16", "crc16-xmodem", "crc16-ccitt", "lrc"])
@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_every_checksum_and_ending_reads_back(checksum: str, end: bytes) -> None:
    tail = CHECKSUM_BYTES[checksum] + len(end)
    profile = with_layout(checksum=checksum, end=end, length_adds=5 + tail)
    frame = encode_frame(profile, 9, VALUES)
    assert frame.endswith(end)
    assert decode_frame(profile, frame)[1].values == VALUES


def test_a_layout_without_length_field_has_its_fixed_size() -> None:
    profile = with_layout(length_at=None, size=12)
    frame = encode_frame(profile, 9, VALUES)
    assert len(frame) == 12
    assert decode_frame(profile, frame)[1].values == VALUES
    assert LayoutFramer(msgspec.structs.replace(LAYOUT, length_at=None, size=12)).feed(frame) == [frame]


def test_the_question_to_a_unit_is_closed_by_the_layouts_checksum() -> None:
    wire = PROFILE.wire.serial
    assert wire is not None
    question = poll_frame(wire, 7)
    assert question is not None
    assert question[:5].hex() == "aa55070100"
    assert len(question) == 7
    assert poll_frame(SerialWire(layout=LAYOUT), 7) is None


def test_one_flipped_length_bit_does_not_swallow_the_frame_behind_it() -> None:
    damaged = bytearray(FRAME)
    damaged[4] ^= 8
    framer = LayoutFramer(LAYOUT)
    said = framer.feed(bytes(damaged) + FRAME) + framer.idle()
    assert [one for one in said if isinstance(one, bytes)] == [FRAME]
    assert [one.reason for one in said if isinstance(one, Refused)] == [Reason.BAD_CHECKSUM]


@given(st.data(), st.lists(st.sampled_from([FRAME, b"\xaa", b"\xaa\x55\x01", b"noise"]), max_size=8))
def test_any_cut_of_the_line_gives_the_same_frames(data: st.DataObject, pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    framer, other = LayoutFramer(LAYOUT), LayoutFramer(LAYOUT)
    said = [one for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for one in framer.feed(stream[start:end])]
    assert said + framer.idle() == other.feed(stream) + other.idle()


@given(st.binary(max_size=80))
def test_noise_costs_no_frame_once_the_line_was_quiet(noise: bytes) -> None:
    framer = LayoutFramer(LAYOUT)
    framer.feed(noise)
    framer.idle()
    assert framer.feed(FRAME) == [FRAME]


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_a_framer_holds_two_frames_at_most(chunks: list[bytes]) -> None:
    framer = LayoutFramer(LAYOUT)
    for chunk in chunks:
        framer.feed(chunk)
        assert len(framer._buffer) + len(framer._noise) <= 3 * LAYOUT.max_size


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_are_read_or_refused(raw: bytes, started: bool) -> None:
    try:
        decode_frame(PROFILE, LAYOUT.start + raw if started else raw)
    except ParseError as error:
        assert error.at is None or error.at <= len(raw) + 2  # noqa: PT017 (either outcome is right)
