"""Fixed binary frames on a serial line: framer, decoder and encoder of one layout."""

import msgspec
import pytest
from bridge_profiles import metric, serial_profile
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.model import Profile
from device_profiles.quantities import MetricType, NumberType, Scaling
from device_profiles.shelf import load_catalog
from device_profiles.wires.serial import BinaryField, BinaryLayout, SerialWire
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.serial_layout import LayoutFramer, decode_frame, encode_frame, poll_frame
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


@pytest.mark.parametrize("checksum", ["none", "sum8", "xor8", "crc16-modbus"])
@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_every_checksum_and_ending_reads_back(checksum: str, end: bytes) -> None:
    tail = {"none": 0, "sum8": 1, "xor8": 1, "crc16-modbus": 2}[checksum] + len(end)
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
