"""Modbus: the standard's worked frames, the framer on a noisy line, the read plan, and registers as metrics."""

import math
import struct

import pytest
from bridge_profiles import metric, modbus_profile
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.quantities import MetricType, NumberType, Scaling
from device_profiles.wires.modbus import ModbusWire, RegisterArea, RegisterField
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.modbus.frames import RtuFrame, RtuFramer, crc16, parse_rtu, parse_tcp, rtu_frame, tcp_frame
from firmware_bridge.modbus.pdus import (
    ExceptionReply,
    Function,
    ReadReply,
    ReadRequest,
    WriteReply,
    WriteRequest,
    build_reply,
    build_request,
    parse_reply,
    parse_request,
)
from firmware_bridge.modbus.plan import ReadBlock, plan_reads
from firmware_bridge.modbus.registers import decode_registers, encode_registers
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

HOLDING, INPUT, COIL = RegisterArea.HOLDING, RegisterArea.INPUT, RegisterArea.COIL
QUERY = bytes.fromhex("0103001e0001e40c")  # a soil probe's nitrogen, from a published manual
ANSWER = bytes.fromhex("01030c41f0000042200000424800005cca")  # caoyiliang/Modbus, README: 30.0, 40.0, 50.0


def test_the_crc_of_the_check_string_and_of_the_standards_example() -> None:
    assert crc16(b"123456789") == 0x4B37  # the catalogued check value of CRC-16/MODBUS
    assert crc16(bytes.fromhex("0207")) == 0x1241  # MODBUS over Serial Line V1.02, clause 6.2.2


# MODBUS Application Protocol V1.1b3; the clause is in each id.
REQUESTS = {
    "6.1 read coils": ("0100130013", ReadRequest(function=Function.READ_COILS, address=19, count=19)),
    "6.3 read holding registers": (
        "03006b0003",
        ReadRequest(function=Function.READ_HOLDING_REGISTERS, address=107, count=3),
    ),
    "6.5 write single coil": (
        "0500acff00",
        WriteRequest(function=Function.WRITE_SINGLE_COIL, address=172, values=(True,)),
    ),
    "6.6 write single register": (
        "0600010003",
        WriteRequest(function=Function.WRITE_SINGLE_REGISTER, address=1, values=(3,)),
    ),
    "6.11 write multiple coils": (
        "0f0013000a02cd01",
        WriteRequest(
            function=Function.WRITE_MULTIPLE_COILS,
            address=19,
            values=(True, False, True, True, False, False, True, True, True, False),
        ),
    ),
    "6.12 write multiple registers": (
        "100001000204000a0102",
        WriteRequest(function=Function.WRITE_MULTIPLE_REGISTERS, address=1, values=(10, 258)),
    ),
}
REPLIES = {
    "6.3 read holding registers": (
        "0306022b00000064",
        ReadReply(function=Function.READ_HOLDING_REGISTERS, values=(555, 0, 100)),
    ),
    "6.6 write single register": ("0600010003", WriteReply(function=Function.WRITE_SINGLE_REGISTER, address=1, value=3)),
    "6.12 write multiple registers": ("1000010002", WriteReply(function=Function.WRITE_MULTIPLE_REGISTERS, address=1, value=2)),
    "7 exception": ("8102", ExceptionReply(function=1, code=2)),
}


@pytest.mark.parametrize(("text", "said"), REQUESTS.values(), ids=REQUESTS.keys())
def test_the_standards_requests(text: str, said: ReadRequest | WriteRequest) -> None:
    assert parse_request(bytes.fromhex(text)) == said
    assert build_request(said).hex() == text


@pytest.mark.parametrize(("text", "said"), REPLIES.values(), ids=REPLIES.keys())
def test_the_standards_replies(text: str, said: ReadReply | WriteReply | ExceptionReply) -> None:
    assert parse_reply(bytes.fromhex(text)) == said
    assert build_reply(said).hex() == text


def test_the_standards_coils_come_lowest_first() -> None:
    reply = parse_reply(bytes.fromhex("0103cd6b05"))  # V1.1b3, clause 6.1: coils 20 to 38
    assert isinstance(reply, ReadReply)
    assert reply.values[:8] == (True, False, True, True, False, False, True, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", Reason.TRUNCATED, id="nothing"),
        pytest.param("03006b", Reason.TRUNCATED, id="half a request"),
        pytest.param("03006b0000", Reason.BAD_FIELD, id="a quantity of none"),
        pytest.param("03006b007e", Reason.BAD_FIELD, id="126 registers are one too many"),
        pytest.param("2b0e0100", Reason.UNKNOWN_MESSAGE, id="a function nobody here speaks"),
        pytest.param("0500ac1234", Reason.BAD_FIELD, id="a coil is ff00 or 0000"),
        pytest.param("100001000203000a01", Reason.BAD_LENGTH, id="two registers in three bytes"),
    ],
)
def test_requests_that_are_none(text: str, reason: Reason) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_request(bytes.fromhex(text))
    assert refusal.value.reason is reason


def test_a_wrong_crc_is_refused_at_its_place() -> None:
    with pytest.raises(ParseError) as refusal:
        parse_rtu(ANSWER[:-1] + b"\x00")
    assert (refusal.value.reason, refusal.value.at) == (Reason.BAD_CHECKSUM, 15)


def test_a_tcp_frame_has_protocol_zero_and_the_length_of_what_follows() -> None:
    raw = tcp_frame(7, 1, bytes.fromhex("03006b0003"))
    assert raw.hex() == "0007000000060103006b0003"
    assert parse_tcp(raw).transaction == 7
    with pytest.raises(ParseError) as refusal:
        parse_tcp(raw[:2] + b"\x00\x01" + raw[4:])
    assert (refusal.value.reason, refusal.value.at) == (Reason.BAD_FIELD, 2)
    with pytest.raises(ParseError) as refusal:
        parse_tcp(raw + b"\x00")
    assert (refusal.value.reason, refusal.value.at) == (Reason.BAD_LENGTH, 4)


FRAMES = [
    QUERY,
    ANSWER,
    bytes.fromhex("01030200017984"),
    rtu_frame(5, bytes.fromhex("8302")),
    rtu_frame(9, bytes.fromhex("1000010002")),
    rtu_frame(3, bytes.fromhex("16000400f20025")),  # V1.1b3, clause 6.16
    rtu_frame(4, bytes.fromhex("140e0600040001000206000300090002")),  # clause 6.14
    rtu_frame(4, bytes.fromhex("150d0600040007000306af04be100d")),  # clause 6.15
]


@given(st.data(), st.lists(st.sampled_from([*FRAMES, b"\x00", b"\xff\x03\x10"]), max_size=8))
def test_any_cut_of_the_line_gives_the_same_frames(data: st.DataObject, pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    framer = RtuFramer()
    said = [one for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for one in framer.feed(stream[start:end])]
    other = RtuFramer()
    assert said + framer.idle() == other.feed(stream) + other.idle()


@given(st.binary(max_size=40), st.lists(st.sampled_from(FRAMES), min_size=1, max_size=4))
def test_noise_on_the_line_costs_no_frame_once_the_line_was_quiet(noise: bytes, frames: list[bytes]) -> None:
    framer = RtuFramer()
    framer.feed(noise)
    framer.idle()
    said = [one for frame in frames for one in framer.feed(frame)]
    assert said == [parse_rtu(frame) for frame in frames]


def test_a_length_byte_that_lies_does_not_swallow_the_frame_behind_it() -> None:
    broken = bytearray(ANSWER)
    broken[2] = 200
    framer = RtuFramer()
    assert framer.feed(bytes(broken) + ANSWER) == []
    said = framer.idle()
    assert [one for one in said if isinstance(one, RtuFrame)] == [parse_rtu(ANSWER)]
    assert isinstance(said[0], Refused)


@given(st.lists(st.binary(max_size=600), max_size=6))
def test_a_framer_holds_a_frame_and_some_noise_at_most(chunks: list[bytes]) -> None:
    framer = RtuFramer()
    for chunk in chunks:
        framer.feed(chunk)
        assert len(framer._buffer) + len(framer._noise) <= 3 * 256


@given(st.binary(max_size=260))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for parse in (parse_rtu, parse_tcp, parse_request, parse_reply):
        try:
            parse(raw)
        except ParseError as error:
            assert error.at is None or error.at <= len(raw)  # noqa: PT017 (either outcome is right)


def fields(*at: tuple[RegisterArea, int, NumberType]) -> list[RegisterField]:
    return [RegisterField(metric=f"m{i}", area=area, address=address, type=kind) for i, (area, address, kind) in enumerate(at)]


@pytest.mark.parametrize(
    ("at", "gap", "block", "want"),
    [
        pytest.param(
            [(HOLDING, 0, NumberType.U16), (HOLDING, 5, NumberType.U16)],
            4,
            120,
            [ReadBlock(HOLDING, 0, 6)],
            id="a gap within max_gap",
        ),
        pytest.param(
            [(HOLDING, 0, NumberType.U16), (HOLDING, 6, NumberType.U16)],
            4,
            120,
            [ReadBlock(HOLDING, 0, 1), ReadBlock(HOLDING, 6, 1)],
            id="a gap beyond max_gap",
        ),
        pytest.param(
            [(HOLDING, 0, NumberType.U16), (INPUT, 1, NumberType.U16)],
            8,
            120,
            [ReadBlock(HOLDING, 0, 1), ReadBlock(INPUT, 1, 1)],
            id="areas are never mixed",
        ),
        pytest.param(
            [(HOLDING, 0, NumberType.F32), (HOLDING, 2, NumberType.F32), (HOLDING, 4, NumberType.F32)],
            8,
            5,
            [ReadBlock(HOLDING, 0, 4), ReadBlock(HOLDING, 4, 2)],
            id="a value is never split between blocks",
        ),
        pytest.param(
            [(HOLDING, 3, NumberType.U64)], 8, 2, [ReadBlock(HOLDING, 3, 4)], id="a value wider than a block gets its own"
        ),
        pytest.param(
            [(HOLDING, 3, NumberType.U16), (HOLDING, 3, NumberType.U16)],
            8,
            120,
            [ReadBlock(HOLDING, 3, 1)],
            id="two bits of one register",
        ),
    ],
)
def test_the_read_plan(at: list[tuple[RegisterArea, int, NumberType]], gap: int, block: int, want: list[ReadBlock]) -> None:
    assert list(plan_reads(ModbusWire(registers=tuple(fields(*at)), max_gap=gap, max_block=block))) == want


@given(
    st.lists(
        st.tuples(
            st.sampled_from([HOLDING, INPUT]),
            st.integers(0, 60),
            st.sampled_from([NumberType.U16, NumberType.U32, NumberType.U64]),
        ),
        max_size=12,
    ),
    st.integers(0, 10),
    st.integers(4, 30),
)
def test_every_plan_covers_every_field_within_its_limits(
    at: list[tuple[RegisterArea, int, NumberType]], gap: int, block: int
) -> None:
    wire = ModbusWire(registers=tuple(fields(*at)), max_gap=gap, max_block=block)
    plan = plan_reads(wire)
    for field in wire.registers:
        inside = [b for b in plan if b.area is field.area and b.address <= field.address]
        assert any(field.address + field.width <= b.address + b.count for b in inside)
    assert all(b.count <= block for b in plan)


def decoded(field: RegisterField, words: list[int], kind: MetricType = MetricType.FLOAT) -> object:
    profile = modbus_profile([field], metric(field.metric, kind))
    found = decode_registers(profile, {ReadBlock(field.area, field.address, len(words)): words})
    flaw = found.flaws.get(field.metric)
    return flaw.reason if flaw else found.values[field.metric]


def register(kind: NumberType, scaling: Scaling | None = None, word_order: str = "big", byte_order: str = "big") -> RegisterField:
    return RegisterField(
        metric="m",
        area=HOLDING,
        address=10,
        type=kind,
        word_order=word_order,
        byte_order=byte_order,
        scaling=scaling or Scaling(),
    )


@pytest.mark.parametrize(
    ("field", "words", "want"),
    [
        pytest.param(register(NumberType.F32), [0x41F0, 0x0000], 30.0, id="ABCD, caoyiliang/Modbus README"),
        pytest.param(register(NumberType.F32, word_order="little"), [0x0000, 0x41F0], 30.0, id="CDAB"),
        pytest.param(register(NumberType.F32, byte_order="little"), [0xF041, 0x0000], 30.0, id="BADC"),
        pytest.param(register(NumberType.F32, None, "little", "little"), [0x0000, 0xF041], 30.0, id="DCBA, Xintai water meter"),
        pytest.param(register(NumberType.I16, Scaling(scale=0.1)), [0xFFF1], -1.5, id="signed tenths"),
        pytest.param(register(NumberType.U16, Scaling(scale=0.1)), [231], 23.1, id="tenths are exact"),
        pytest.param(register(NumberType.U16, Scaling(scale=0.01, offset=-40)), [6450], 24.5, id="scale, then offset"),
        pytest.param(register(NumberType.U16, Scaling(no_value=frozenset({0xFFFF}))), [0xFFFF], Reason.NO_VALUE, id="a sentinel"),
        pytest.param(
            register(NumberType.I16, Scaling(no_value=frozenset({0x8000}))),
            [0x8000],
            Reason.NO_VALUE,
            id="a signed sentinel, as its bits",
        ),
        pytest.param(register(NumberType.F32), [0x7FC0, 0], Reason.NOT_A_NUMBER, id="NaN is no number"),
        pytest.param(register(NumberType.BCD), [0x1234], 1234.0, id="BCD"),
        pytest.param(register(NumberType.BCD), [0x12AB], Reason.BAD_FIELD, id="BCD with a nibble above nine"),
        pytest.param(register(NumberType.U32), [1], Reason.MISSING, id="half a value was read"),
    ],
)
def test_registers_become_numbers(field: RegisterField, words: list[int], want: object) -> None:
    assert decoded(field, words) == want


def test_bits_and_enums_share_a_register() -> None:
    door = RegisterField(metric="door", area=HOLDING, address=0, scaling=Scaling(bit=0))
    shut = RegisterField(metric="shut", area=HOLDING, address=0, scaling=Scaling(bit=0, invert=True))
    mode = RegisterField(metric="mode", area=HOLDING, address=0, scaling=Scaling(bits=(4, 2), enum={0: "off", 1: "auto"}))
    profile = modbus_profile(
        [door, shut, mode],
        metric("door", MetricType.BOOLEAN),
        metric("shut", MetricType.BOOLEAN),
        metric("mode", MetricType.STRING),
    )
    block = ReadBlock(HOLDING, 0, 1)
    assert decode_registers(profile, {block: [0b010001]}).values == {"door": True, "shut": False, "mode": "auto"}
    unknown = decode_registers(profile, {block: [0b110001]})
    assert unknown.flaws == {"mode": Flaw(Quality.BAD, Reason.NOT_IN_ENUM)}
    assert unknown.values["door"] is True


def test_a_block_that_was_not_read_leaves_the_others_good() -> None:
    profile = modbus_profile(
        fields((HOLDING, 0, NumberType.U16), (COIL, 3, NumberType.U16)), metric("m0"), metric("m1", MetricType.BOOLEAN)
    )
    found = decode_registers(profile, {ReadBlock(COIL, 0, 8): [False] * 3 + [True] + [False] * 4})
    assert found.values == {"m0": None, "m1": True}
    assert found.flaws == {"m0": Flaw(Quality.BAD, Reason.MISSING)}


@given(
    st.sampled_from([n for n in NumberType if n not in {NumberType.BCD, NumberType.F32, NumberType.F64}]),
    st.sampled_from(["big", "little"]),
    st.sampled_from(["big", "little"]),
    st.data(),
)
def test_whole_numbers_survive_the_registers(kind: NumberType, words: str, order: str, data: st.DataObject) -> None:
    bits = int(kind.value[1:])
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind.value[0] == "i" else (0, (1 << bits) - 1)
    value = data.draw(st.integers(low, min(high, 2**63 - 1)))
    profile = modbus_profile([register(kind, None, words, order)], metric("m", MetricType.INTEGER))
    memory = encode_registers(profile, {"m": value})[HOLDING]
    block = ReadBlock(HOLDING, 10, len(memory))
    assert decode_registers(profile, {block: [memory[10 + i] for i in range(len(memory))]}).values == {"m": value}


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_survive_the_registers(value: float) -> None:
    profile = modbus_profile([register(NumberType.F32)], metric("m"))
    memory = encode_registers(profile, {"m": value})[HOLDING]
    assert struct.pack(">HH", memory[10], memory[11]) == struct.pack(">f", value)
    again = decode_registers(profile, {ReadBlock(HOLDING, 10, 2): [memory[10], memory[11]]}).values["m"]
    assert isinstance(again, float)
    assert math.isclose(again, value, rel_tol=0)


def test_writing_one_bit_keeps_the_others_and_none_writes_the_sentinel() -> None:
    low = RegisterField(metric="low", area=HOLDING, address=0, scaling=Scaling(bit=0))
    high = RegisterField(metric="high", area=HOLDING, address=0, scaling=Scaling(bit=15))
    gone = RegisterField(
        metric="gone", area=HOLDING, address=1, type=NumberType.I16, scaling=Scaling(no_value=frozenset({0x8000}))
    )
    profile = modbus_profile(
        [low, high, gone], metric("low", MetricType.BOOLEAN), metric("high", MetricType.BOOLEAN), metric("gone")
    )
    memory = encode_registers(profile, {"low": True, "high": True, "gone": None})
    assert memory == {HOLDING: {0: 0x8001, 1: 0x8000}}
