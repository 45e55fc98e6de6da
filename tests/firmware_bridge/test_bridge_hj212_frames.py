"""HJ 212 frames: start, length, checksum, line end, and the framer that cuts a connection into them."""

import pytest
from fuzz_hj212 import framed, fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.hj212.deviations import EVERYTHING, REAL_DEVICES, STRICT, Deviation
from firmware_bridge.hj212.frames import MAX_FRAME_BYTES, Frame, Hj212Framer, crc16, encode_frame, parse_frame
from telemetry.reason import Reason

# HJ 212-2017, annex A: the one frame of the standard whose checksum is printed.
ANNEX_A = b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80\r\n"
SEGMENT = ANNEX_A[6:-6]
# A test of the public guocay/hj212-protocol; its checksum is in lower-case letters.
AIR_STATION = (
    b"##0317QN=20191012133710130;ST=22;CN=2011;PW=123456;MN=Y80110010000010;Flag=4;CP=&&DataTime=20191012133710;"
    b"a21005-Rtd=0.00,a21005-Flag=N;a21004-Rtd=0.00,a21004-Flag=N;a21007-Rtd=0.033,a21007-Flag=N;a21006-Rtd=0.036,"
    b"a21006-Flag=N;a21001-Rtd=25.40,a21001-Flag=N;a21003-Rtd=101.94,a21003-Flag=N;a21002-Rtd=49.20,a21002-Flag=N&&cc01\r\n"
)
# Published with the README of chenqi92/alltobs-hj212: no QN and no Flag, as in 2005; a DataTime with milliseconds.
POWER_2005 = (
    b"##0109ST=32;CN=2011;PW=123456;MN=NJGDKYYC202101q0001w0001;CP=&&DataTime=20210305003817000;ele01-Rtd=1;ele02-Rtd=0&&8c41\r\n"
)
FRAMES = [ANNEX_A, AIR_STATION, POWER_2005, framed(b"CN=9015;CP=&&&&"), framed(SEGMENT.replace(b"30", "温度".encode()))]


def modbus_crc(data: bytes) -> int:
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


def test_the_standards_own_example_has_the_checksum_that_it_prints() -> None:
    assert crc16(SEGMENT) == 0x1C80
    frame = parse_frame(ANNEX_A, STRICT)
    assert (frame.segment, frame.declared_length, frame.crc, frame.deviations) == (SEGMENT, 101, "1C80", ())


def test_the_checksum_is_not_the_one_of_modbus() -> None:
    assert crc16(SEGMENT) != modbus_crc(SEGMENT)


@given(st.binary(max_size=80))
def test_the_low_byte_of_the_checksum_is_one_of_eight(segment: bytes) -> None:
    # The register's last eight shifts leave no more than that: any other low byte proves another algorithm.
    assert segment == b"" or crc16(segment) & 0xFF in {0x00, 0x01, 0x40, 0x41, 0x80, 0x81, 0xC0, 0xC1}


@pytest.mark.parametrize(
    ("raw", "reason", "at"),
    [
        pytest.param(b"", Reason.BAD_START, 0, id="nothing at all"),
        pytest.param(b"#", Reason.BAD_START, 0, id="half a start"),
        pytest.param(SEGMENT, Reason.BAD_START, 0, id="a data segment without its frame"),
        pytest.param(b"##01", Reason.TRUNCATED, 4, id="the frame ends within its length"),
        pytest.param(b"##01x1" + ANNEX_A[6:], Reason.BAD_CHECKSUM, 107, id="a length of two digits moves the segment"),
        pytest.param(b"##abcd" + ANNEX_A[6:], Reason.BAD_LENGTH, 2, id="a length that is no number"),
        pytest.param(b"##00101" + ANNEX_A[6:], Reason.BAD_LENGTH, 2, id="a length of five digits"),
        pytest.param(ANNEX_A[:50], Reason.TRUNCATED, 50, id="the frame ends within its segment"),
        pytest.param(ANNEX_A[:-4], Reason.TRUNCATED, 109, id="the frame ends within its checksum"),
        pytest.param(ANNEX_A[:-6] + b"1C81\r\n", Reason.BAD_CHECKSUM, 107, id="a wrong checksum is refused at its own byte"),
        pytest.param(ANNEX_A[:-6] + b"?A\r\n", Reason.TRUNCATED, 109, id="half a checksum"),
        pytest.param(ANNEX_A.replace(b"0101", b"0104", 1)[:-6] + b"?A", Reason.BAD_CHECKSUM, 107, id="a placeholder for one"),
        pytest.param(ANNEX_A[:-6] + b"%04X\r\n" % modbus_crc(SEGMENT), Reason.BAD_CHECKSUM, 107, id="the checksum of Modbus"),
        pytest.param(ANNEX_A[:-6] + b"801C\r\n", Reason.BAD_CHECKSUM, 107, id="the checksum's bytes swapped"),
        pytest.param(ANNEX_A + b"x", Reason.BAD_LENGTH, 111, id="something behind the frame"),
        pytest.param(ANNEX_A + ANNEX_A, Reason.BAD_LENGTH, 111, id="two frames in a row are not one"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_first_bad_byte(raw: bytes, reason: Reason, at: int) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_frame(raw)
    assert (refusal.value.reason, refusal.value.at) == (reason, at)


@pytest.mark.parametrize(
    ("raw", "deviation", "reason"),
    [
        pytest.param(b"##101" + ANNEX_A[6:], Deviation.SHORT_LENGTH, Reason.BAD_LENGTH, id="a length of three digits"),
        pytest.param(b"##0099" + ANNEX_A[6:], Deviation.WRONG_LENGTH, Reason.BAD_LENGTH, id="a length too short by two"),
        pytest.param(b"##0117" + ANNEX_A[6:], Deviation.WRONG_LENGTH, Reason.BAD_LENGTH, id="a length too long by sixteen"),
        pytest.param(ANNEX_A[:-2], Deviation.NO_LINE_END, Reason.TRUNCATED, id="no line end"),
        pytest.param(ANNEX_A[:-2] + b"\n", Deviation.NO_LINE_END, Reason.TRUNCATED, id="half a line end"),
        pytest.param(ANNEX_A[:-6] + b"1c80\r\n", Deviation.LOWERCASE_CRC, Reason.BAD_CHECKSUM, id="a checksum in lower case"),
        pytest.param(framed(b"CN=2011;CP=&&" + b"A=1;" * 300 + b"&&"), Deviation.OVERLONG, Reason.OVERSIZED, id="too long"),
    ],
)
def test_a_deviation_is_read_and_told_or_refused_where_nobody_tolerates_it(
    raw: bytes, deviation: Deviation, reason: Reason
) -> None:
    assert deviation in parse_frame(raw).deviations
    with pytest.raises(ParseError) as refusal:
        parse_frame(raw, REAL_DEVICES - {deviation})
    assert refusal.value.reason is reason


@pytest.mark.parametrize(
    ("crc", "deviation"),
    [
        pytest.param(b"%04X" % modbus_crc(SEGMENT), Deviation.MODBUS_CRC, id="the CRC of Modbus"),
        pytest.param(b"801C", Deviation.SWAPPED_CRC, id="the standard's CRC, low byte first"),
    ],
)
def test_other_checksums_are_read_only_on_demand(crc: bytes, deviation: Deviation) -> None:
    raw = ANNEX_A[:-6] + crc + b"\r\n"
    assert parse_frame(raw, {deviation}).deviations == (deviation,)


def test_neither_a_frame_nor_a_refusal_shows_the_password() -> None:
    assert "100000" not in repr(parse_frame(ANNEX_A))
    (refused,) = Hj212Framer().feed(ANNEX_A[:-6] + b"0000")
    assert isinstance(refused, Refused)
    assert "100000" not in refused.detail


def test_a_frame_is_told_at_its_checksum_and_its_line_end_is_nothing() -> None:
    framer = Hj212Framer()
    assert framer.feed(ANNEX_A[:-3]) == []
    assert len(framer.feed(ANNEX_A[-3:-2])) == 1
    assert framer.feed(b"\r\n\r\n  \r\n") == framer.idle() == []


def test_frames_without_line_ends_are_cut_all_the_same() -> None:
    assert [type(said) for said in Hj212Framer().feed(3 * ANNEX_A[:-2])] == [Frame] * 3


@pytest.mark.parametrize("length", [b"0001", b"0100", b"0102", b"0357", b"9999", b"099"])
def test_a_wrong_length_costs_no_frame_and_no_wait(length: bytes) -> None:
    said = Hj212Framer().feed(b"##" + length + ANNEX_A[6:] + AIR_STATION)
    assert [frame.segment for frame in said if isinstance(frame, Frame)] == [SEGMENT, AIR_STATION[6:-6]]


def test_a_frame_cut_off_is_given_up_where_the_next_one_begins() -> None:
    (cut_off, whole) = Hj212Framer().feed(ANNEX_A[:60] + AIR_STATION)
    assert isinstance(cut_off, Refused)
    assert (cut_off.reason, cut_off.raw) == (Reason.TRUNCATED, ANNEX_A[:60])
    assert isinstance(whole, Frame)


@pytest.mark.parametrize("at", [40, 98, 106, 108], ids=["in the header", "in CP", "in the closing &&", "in the checksum"])
def test_a_flipped_byte_costs_its_own_frame_alone_and_at_once(at: int) -> None:
    broken = ANNEX_A[:at] + bytes((ANNEX_A[at] ^ 0x40,)) + ANNEX_A[at + 1 :]
    framer = Hj212Framer()
    (refused,) = framer.feed(broken)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BAD_CHECKSUM
    assert [type(said) for said in framer.feed(ANNEX_A)] == [Frame]


def test_a_line_end_within_a_log_does_not_end_the_frame() -> None:
    (frame,) = Hj212Framer().feed(framed(b"CN=3020;CP=&&i11001-Info=//one\r\ntwo//&&"))
    assert isinstance(frame, Frame)


def test_a_quiet_line_ends_what_was_begun() -> None:
    framer = Hj212Framer()
    assert framer.feed(ANNEX_A[:60]) == []
    (refused,) = framer.idle()
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.raw) == (Reason.TRUNCATED, ANNEX_A[:60])
    assert [type(said) for said in framer.feed(ANNEX_A)] == [Frame]


def test_noise_that_never_ends_comes_out_in_pieces() -> None:
    said = Hj212Framer().feed(b"x" * 5000)
    assert [one.reason for one in said if isinstance(one, Refused)] == [Reason.BAD_START] * 4


def test_a_frame_that_never_ends_is_given_up_and_the_next_one_read() -> None:
    (refused, *noise, frame) = Hj212Framer().feed(b"##9999Q" + b"x" * (MAX_FRAME_BYTES + 500) + ANNEX_A)
    assert isinstance(refused, Refused)
    assert len(refused.raw) == MAX_FRAME_BYTES
    assert all(isinstance(one, Refused) for one in noise)
    assert isinstance(frame, Frame)


PIECES = st.sampled_from(
    [
        *FRAMES,
        ANNEX_A[:-2],
        ANNEX_A[:60],
        ANNEX_A[:-6] + b"1C81\r\n",
        b"##101" + ANNEX_A[6:],
        b"##9999" + ANNEX_A[6:70],
        b"#",
        b"##",
        b"##01",
        b"&&12",
        b"\r\n",
        b" noise ",
        b"\x00\xff",
        b"x" * 1030,
    ]
)


@given(st.data(), st.lists(PIECES, max_size=8))
def test_any_cut_of_the_stream_gives_the_same_messages(data: st.DataObject, pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    framer = Hj212Framer()
    said = [one for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for one in framer.feed(stream[start:end])]
    assert said + framer.idle() == (whole := Hj212Framer()).feed(stream) + whole.idle()


def test_a_cut_at_every_byte_gives_the_same_messages_even_of_the_longest_nonsense() -> None:
    stream = b"##9999Q" + b"&&x" * 3400 + b"##0" + ANNEX_A + b"y" * 2100 + ANNEX_A
    framer = Hj212Framer()
    said = [one for byte in stream for one in framer.feed(bytes((byte,)))]
    assert said == Hj212Framer().feed(stream)


@given(st.binary(max_size=200), st.lists(st.sampled_from(FRAMES), min_size=2, max_size=4))
def test_noise_before_a_frame_loses_at_most_that_frame(noise: bytes, frames: list[bytes]) -> None:
    said = [one for one in Hj212Framer().feed(noise + b"".join(frames)) if isinstance(one, Frame)]
    assert [frame.segment for frame in said[-len(frames) + 1 :]] == [parse_frame(frame).segment for frame in frames[1:]]


@given(st.lists(st.binary(max_size=4000), max_size=10))
def test_a_framer_holds_little_more_than_one_longest_frame(chunks: list[bytes]) -> None:
    framer = Hj212Framer()
    framer.feed(b"##9999Q")
    for chunk in chunks:
        framer.feed(chunk)
        assert len(framer._held) < MAX_FRAME_BYTES + 20


@given(st.binary(max_size=1024))
def test_an_encoded_segment_reads_back_unless_it_hides_an_end_of_its_own(segment: bytes) -> None:
    raw = encode_frame(segment)
    if segment[:1].isdigit() or segment[:1] == b"#":
        return  # no segment begins so: the length would have no end
    assert parse_frame(raw, EVERYTHING - {Deviation.WRONG_LENGTH}).segment == segment


def test_a_segment_too_long_for_one_frame_is_not_encoded() -> None:
    with pytest.raises(ParseError) as refusal:
        encode_frame(bytes(1025))
    assert refusal.value.reason is Reason.OVERSIZED


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_refused_or_read_and_nothing_else_is_raised(data: bytes) -> None:
    fuzz_one(data)


@given(st.sampled_from(FRAMES), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_frames_are_refused_or_read_and_nothing_else_is_raised(raw: bytes, changes: list[tuple[int, int]]) -> None:
    mutated = bytearray(raw)
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    fuzz_one(bytes(mutated))
    fuzz_one(bytes(mutated[6:-6]))
