"""Orders as writes, file records and mask writes, texts and BCD: the standard's examples and bytes worked out by hand."""

import struct
from typing import Any

import pytest
from bridge_profiles import metric, modbus_profile
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.quantities import MetricType, NumberType, Scaling
from device_profiles.wires.modbus import RegisterArea, RegisterField
from device_profiles.wires.modbus_orders import RegisterOrder
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.files import FileData, FilePart, FileRead, FileWrite
from firmware_bridge.modbus.frames import RtuFramer, parse_rtu, rtu_frame
from firmware_bridge.modbus.pdus import MaskWrite, Reply, Request, build_reply, build_request, parse_reply, parse_request
from firmware_bridge.modbus.plan import ReadBlock
from firmware_bridge.modbus.reader import RegisterReader
from firmware_bridge.modbus.registers import decode_registers, encode_registers
from firmware_bridge.modbus.writes import plan_write
from firmware_bridge.numbers import is_sentinel, unpack
from firmware_bridge.values import apply_scaling
from telemetry.reason import Reason
from telemetry.records import Value

HOLDING, COIL = RegisterArea.HOLDING, RegisterArea.COIL

# MODBUS Application Protocol V1.1b3; the clause is in each id.
REQUESTS = {
    "6.14 read file record": (
        "140e0600040001000206000300090002",
        FileRead(parts=(FilePart(file=4, record=1, registers=2), FilePart(file=3, record=9, registers=2))),
    ),
    "6.15 write file record": (
        "150d0600040007000306af04be100d",
        FileWrite(parts=((FilePart(file=4, record=7, registers=3), bytes.fromhex("06af04be100d")),)),
    ),
    "6.16 mask write register": ("16000400f20025", MaskWrite(address=4, and_mask=0xF2, or_mask=0x25)),
}
REPLIES = {
    "6.14 read file record": (
        "140c05060dfe0020050633cd0040",
        FileData(parts=(bytes.fromhex("0dfe0020"), bytes.fromhex("33cd0040"))),
    ),
    "6.15 write file record": REQUESTS["6.15 write file record"],
    "6.16 mask write register": REQUESTS["6.16 mask write register"],
}


@pytest.mark.parametrize(("text", "said"), REQUESTS.values(), ids=REQUESTS.keys())
def test_the_standards_requests(text: str, said: Request) -> None:
    assert parse_request(bytes.fromhex(text)) == said
    assert build_request(said).hex() == text


@pytest.mark.parametrize(("text", "said"), REPLIES.values(), ids=REPLIES.keys())
def test_the_standards_replies(text: str, said: Reply) -> None:
    assert parse_reply(bytes.fromhex(text)) == said
    assert build_reply(said).hex() == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("1407060004000100", Reason.BAD_LENGTH, id="a byte count that lies"),
        pytest.param("140705000400010002", Reason.BAD_FIELD, id="reference type 5"),
        pytest.param("1400", Reason.BAD_LENGTH, id="no record"),
        pytest.param("150906000400070002" + "06af", Reason.TRUNCATED, id="two registers told, one there"),
        pytest.param("160004", Reason.TRUNCATED, id="half a mask"),
    ],
)
def test_file_records_and_masks_that_are_none(text: str, reason: Reason) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_request(bytes.fromhex(text))
    assert refusal.value.reason is reason


@pytest.mark.parametrize("text", [text for text, _ in (*REQUESTS.values(), *REPLIES.values())])
def test_the_framer_knows_where_they_end(text: str) -> None:
    frame = rtu_frame(9, bytes.fromhex(text))
    framer = RtuFramer()
    assert framer.feed(frame[:4]) == []
    assert framer.feed(frame[4:] + frame) == [parse_rtu(frame), parse_rtu(frame)]


@given(st.binary(max_size=60).map(lambda tail: bytes([20]) + tail) | st.binary(max_size=60).map(lambda tail: bytes([21]) + tail))
def test_any_file_pdu_is_read_or_refused(pdu: bytes) -> None:
    for parse in (parse_request, parse_reply):
        try:
            said = parse(pdu)
        except ParseError as error:
            assert error.at is None or error.at <= len(pdu)  # noqa: PT017 (either outcome is right)
        else:
            assert said is not None


def place(area: RegisterArea = HOLDING, *, coils: int = 1, multiple: bool = False, **how: Any) -> RegisterOrder:
    return RegisterOrder(field=RegisterField(metric="level", area=area, address=10, **how), coils=coils, multiple=multiple)


@pytest.mark.parametrize(
    ("order", "value", "pdu"),
    [
        pytest.param(place(COIL), True, "05000aff00", id="a coil, function 5"),
        pytest.param(place(COIL, scaling=Scaling(invert=True)), True, "05000a0000", id="a coil that is turned over"),
        pytest.param(place(COIL, multiple=True), 1, "0f000a00010101", id="a coil by function 15"),
        pytest.param(place(COIL, coils=4), 0b0101, "0f000a00040105", id="four coils"),
        pytest.param(place(), 800, "06000a0320", id="a register, function 6"),
        pytest.param(place(multiple=True), 800, "10000a0001020320", id="a register by function 16"),
        pytest.param(place(scaling=Scaling(scale=0.1)), 23.5, "06000a00eb", id="tenths"),
        pytest.param(place(type=NumberType.I16, scaling=Scaling(scale=0.1)), -4, "06000affd8", id="signed tenths"),
        pytest.param(place(type=NumberType.F32), 12.5, "10000a00020441480000", id="a float, ABCD"),
        pytest.param(place(type=NumberType.F32, word_order="little"), 12.5, "10000a00020400004148", id="a float, CDAB"),
        pytest.param(place(type=NumberType.U32, byte_order="little"), 1, "10000a00020400000100", id="a counter, BADC"),
        pytest.param(place(type=NumberType.BCD, registers=2), 12345678, "10000a00020412345678", id="BCD in two registers"),
        pytest.param(place(scaling=Scaling(enum={0: "off", 3: "auto"})), "auto", "06000a0003", id="a word"),
        pytest.param(place(scaling=Scaling(bit=3)), True, "16000afff70008", id="one bit, by mask"),
        pytest.param(place(scaling=Scaling(bits=(4, 2))), 2, "16000affcf0020", id="two bits, by mask"),
        pytest.param(place(scaling=Scaling(bit=3), byte_order="little"), True, "16000af7ff0800", id="one bit of swapped bytes"),
    ],
)
def test_an_order_becomes_a_write(order: RegisterOrder, value: Value, pdu: str) -> None:
    assert plan_write(order, value).pdu.hex() == pdu


@pytest.mark.parametrize(
    ("order", "value", "reason"),
    [
        pytest.param(place(), 2.5, Reason.WRONG_TYPE, id="half of a whole number"),
        pytest.param(place(), 65536, Reason.OUT_OF_RANGE, id="more than a register holds"),
        pytest.param(place(), "much", Reason.WRONG_TYPE, id="a word for a number"),
        pytest.param(place(COIL, coils=2), 4, Reason.OUT_OF_RANGE, id="a third coil of two"),
        pytest.param(place(scaling=Scaling(enum={0: "off"})), "on", Reason.NOT_IN_ENUM, id="an unknown word"),
        pytest.param(place(type=NumberType.BCD), 12345, Reason.OUT_OF_RANGE, id="five digits in one register"),
    ],
)
def test_a_value_without_a_form_is_refused(order: RegisterOrder, value: Value, reason: Reason) -> None:
    with pytest.raises(ParseError) as refusal:
        plan_write(order, value)
    assert refusal.value.reason is reason


def test_what_reads_back_is_compared_where_it_was_written() -> None:
    bits = plan_write(place(scaling=Scaling(bits=(4, 2))), 2)
    assert bits.holds(b"\xff\xef"), "the other bits are the unit's own"
    assert not bits.holds(b"\x00\x30")
    setpoint = plan_write(place(type=NumberType.F32), 0.1)
    assert setpoint.holds(struct.pack(">f", 0.1))
    assert setpoint.holds((struct.unpack(">I", struct.pack(">f", 0.1))[0] + 1).to_bytes(4, "big")), "rounded otherwise"
    assert not setpoint.holds(struct.pack(">f", 0.1001))
    assert not plan_write(place(), 5).holds(b"")


def read(field: RegisterField, data: str, kind: MetricType = MetricType.STRING) -> object:
    profile = modbus_profile([field], metric("m", kind))
    block = ReadBlock(HOLDING, 0, field.width)
    decoded = RegisterReader(profile, (block,)).read({block: bytes.fromhex(data)})
    return decoded.flaws["m"].reason if decoded.flaws else decoded.values["m"]


def text(registers: int, **how: str) -> RegisterField:
    return RegisterField(metric="m", area=HOLDING, address=0, registers=registers, **{"charset": "ascii", **how})


@pytest.mark.parametrize(
    ("field", "data", "want"),
    [
        pytest.param(text(3), "56312e322e33", "V1.2.3", id="a version"),
        pytest.param(text(3), "563100ff1234", "V1", id="up to its NUL, whatever follows"),
        pytest.param(text(3), "563120202020", "V1", id="filled up with blanks"),
        pytest.param(text(2), "ffffffff", Reason.NO_VALUE, id="never set"),
        pytest.param(text(2), "00000000", Reason.NO_VALUE, id="empty"),
        pytest.param(text(2, byte_order="little"), "31562e32", "V12.", id="low byte first"),
        pytest.param(text(2, charset="gb18030"), "b5c6b8cb", "灯杆", id="Chinese"),
        pytest.param(text(1), "b5c6", Reason.BAD_FIELD, id="no ASCII"),
        pytest.param(text(1), "5607", Reason.BAD_FIELD, id="a bell"),
    ],
)
def test_registers_become_text(field: RegisterField, data: str, want: object) -> None:
    assert read(field, data) == want


@pytest.mark.parametrize(
    ("registers", "order", "data", "want"),
    [
        pytest.param(2, "big", "12345678", 12345678.0, id="eight digits"),
        pytest.param(2, "little", "56781234", 12345678.0, id="low word first"),
        pytest.param(4, "big", "0000000012345678", 12345678.0, id="sixteen digits"),
        pytest.param(2, "big", "ffffffff", Reason.NO_VALUE, id="a sentinel that is no BCD"),
        pytest.param(2, "big", "1234567a", Reason.BAD_FIELD, id="a nibble above nine"),
    ],
)
def test_bcd_of_any_width(registers: int, order: str, data: str, want: object) -> None:
    field = RegisterField(
        metric="m",
        area=HOLDING,
        address=0,
        type=NumberType.BCD,
        registers=registers,
        word_order=order,
        scaling=Scaling(no_value=frozenset({0xFFFFFFFF})),
    )
    assert read(field, data, MetricType.FLOAT) == want


_INTEGERS = [kind for kind in NumberType if kind.value[0] in "ui" and kind.value[1:] != "8"]


@given(
    st.sampled_from([*_INTEGERS, NumberType.F32, NumberType.F64]),
    st.binary(min_size=8, max_size=8),
    st.sampled_from([1.0, 0.1, 0.01, 0.001, 0.25, 10.0, -0.5, 3.3]),
    st.sampled_from([0.0, -40.0, 0.5]),
    st.sampled_from(["big", "little"]),
    st.sampled_from([MetricType.FLOAT, MetricType.INTEGER]),
)
def test_a_prepared_reader_says_the_same_as_the_scaling_itself(
    kind: NumberType, raw: bytes, scale: float, offset: float, words: str, metric_type: MetricType
) -> None:
    size = int(kind.value[1:]) // 8
    none = frozenset({(1 << 8 * size) - 1}) if kind in _INTEGERS else frozenset()
    scaling = Scaling(scale=scale, offset=offset, no_value=none)
    field = RegisterField(metric="m", area=HOLDING, address=0, type=kind, word_order=words, scaling=scaling)
    data = raw[:size]
    ordered = data if words == "big" else b"".join(data[at : at + 2] for at in range(size - 2, -1, -2))
    number = unpack(ordered, kind)
    try:
        want: object = apply_scaling(None if is_sentinel(number, kind, scaling) else number, scaling, metric("m", metric_type))
    except ParseError as error:
        want = error.reason
    assert read(field, data.hex(), metric_type) == want


def test_a_text_survives_the_registers() -> None:
    profile = modbus_profile([text(4, word_order="little", charset="gb18030")], metric("m", MetricType.STRING))
    memory = encode_registers(profile, {"m": "路灯1"})[HOLDING]
    block = ReadBlock(HOLDING, 0, 4)
    assert decode_registers(profile, {block: [memory[n] for n in range(4)]}).values == {"m": "路灯1"}
    with pytest.raises(ParseError, match="want at most 8"):
        encode_registers(profile, {"m": "路灯路灯路"})
