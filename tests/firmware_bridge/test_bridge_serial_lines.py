"""Lines of text on a serial line: framer, decoder and encoder of one layout."""

import msgspec
import pytest
from bridge_profiles import metric, serial_profile
from fuzz_serial_lines import COLUMNS, FREE, KEYS, LAYOUTS, NMEA, fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.model import Profile
from device_profiles.quantities import MetricType, Scaling
from device_profiles.wires.serial import LineChecksum, LineField, LineLayout, LineMessage, Place, SerialWire
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.serial.encoding import encode_line, poll_line
from firmware_bridge.serial.lines import LineFramer, check_line, decode_line
from firmware_bridge.serial.record import serial_language
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

METRICS = (metric("level"), metric("temp"), metric("wet", MetricType.BOOLEAN), metric("mode", MetricType.STRING), metric("kg"))

# NMEA 0183 checks by the exclusive or between $ and *: worked out by hand for this line.
NMEA_LINE = b"$WLS,07,123.4,ok,-5.5C*21\r\n"
#                 STX  + 001234 1 | xor of "+0012341" = 1E | ETX
COLUMN_LINE = b"\x02+00123411E\x03"


def read(layout: LineLayout, line: bytes) -> tuple[str | None, dict[str, object], dict[str, Reason]]:
    address, decoded = decode_line(profile(layout), line)
    return address, dict(decoded.values), {name: flaw.reason for name, flaw in decoded.flaws.items()}


def profile(layout: LineLayout) -> Profile:
    return serial_profile(SerialWire(layout=layout), *METRICS)


def test_a_line_of_parts_is_read_by_their_order() -> None:
    assert read(NMEA, NMEA_LINE) == ("7", {"level": 123.4, "wet": False, "temp": -5.5}, {})


def test_a_line_in_columns_has_its_point_where_it_says() -> None:
    assert read(COLUMNS, COLUMN_LINE) == (None, {"kg": 123.4}, {})
    assert encode_line(profile(COLUMNS), "1", {"kg": 123.4}) == COLUMN_LINE
    assert read(COLUMNS, encode_line(profile(COLUMNS), "1", {"kg": -0.5}))[1] == {"kg": -0.5}


def test_a_line_of_keys_is_read_whatever_their_order() -> None:
    values = {"level": 12.5, "mode": "auto"}
    assert read(KEYS, b"ID=A7 L=12.5 M=auto\r\n") == ("A7", values, {})
    assert read(KEYS, b"M=auto   L= 12.5 ID=A7\r\n")[1] == {"level": None, "mode": "auto"}, "a blank ends a part"
    assert read(KEYS, b"M=auto ID=A7 L=12.5 X=1\r\n") == ("A7", values, {})


@pytest.mark.parametrize(
    ("line", "values", "flaws"),
    [
        pytest.param("WLS,07,---,ok,21.0C", {"level": None}, {"level": Reason.NO_VALUE}, id="the text for none"),
        pytest.param("WLS,07,,ok,21.0C", {"level": None}, {"level": Reason.NO_VALUE}, id="nothing at all"),
        pytest.param("WLS,07,12.3.4,ok,21.0C", {"level": None}, {"level": Reason.WRONG_TYPE}, id="no number"),
        pytest.param("WLS,07,1e5,ok,21.0C", {"level": None}, {"level": Reason.WRONG_TYPE}, id="no plain number"),
        pytest.param("WLS,07,12,perhaps,21.0C", {"wet": None}, {"wet": Reason.NOT_IN_ENUM}, id="a word nobody knows"),
        pytest.param("WLS,07,+  12,ok,21.0", {"level": 12.0, "temp": 21.0}, {}, id="blanks behind the sign, no unit"),
    ],
)
def test_a_value_that_cannot_be_read_costs_itself_only(line: str, values: dict[str, object], flaws: dict[str, Reason]) -> None:
    digits = 0
    for character in line.encode():
        digits ^= character
    _, got, got_flaws = read(NMEA, f"${line}*{digits:02X}\r\n".encode())
    assert got.items() >= values.items()
    assert got_flaws == flaws


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(NMEA_LINE[1:], Reason.BAD_START, id="no start"),
        pytest.param(NMEA_LINE[:-2], Reason.BAD_FIELD, id="no end"),
        pytest.param(NMEA_LINE.replace(b"7", b"8"), Reason.BAD_CHECKSUM, id="a flipped bit"),
        pytest.param(NMEA_LINE.replace(b"*", b"#"), Reason.BAD_FIELD, id="no mark before the checksum"),
        pytest.param(b"$1\r\n", Reason.TRUNCATED, id="too short for a checksum"),
        pytest.param(b"$" + b"1" * 80 + b"\r\n", Reason.OVERSIZED, id="too long"),
    ],
)
def test_a_line_that_is_not_whole_is_refused(line: bytes, reason: Reason) -> None:
    with pytest.raises(ParseError) as refusal:
        check_line(NMEA, line)
    assert refusal.value.reason is reason


def test_a_tag_that_nobody_knows_is_another_message() -> None:
    layout = msgspec.structs.replace(NMEA, checksum=LineChecksum())
    with pytest.raises(ParseError) as refusal:
        decode_line(profile(layout), b"$GGA,07,1,ok,2\r\n")
    assert refusal.value.reason is Reason.UNKNOWN_MESSAGE


def test_two_messages_of_one_device_are_told_by_their_tag() -> None:
    level = LineField(metric="level", place=Place(index=1))
    mode = LineField(metric="mode", place=Place(index=1))
    layout = LineLayout(
        start=b"#", separator=",", messages=(LineMessage(tag="L", fields=(level,)), LineMessage(tag="M", fields=(mode,)))
    )
    assert read(layout, b"#L,4\r\n")[1] == {"level": 4.0}
    assert read(layout, b"#M,auto\r\n")[1] == {"mode": "auto"}
    assert encode_line(profile(layout), "1", {"mode": "auto"}, tag="M") == b"#M,auto\r\n"


def test_hexadecimal_digits_have_bits() -> None:
    wet = LineField(metric="wet", place=Place(index=0), hex=True, scaling=Scaling(bit=4))
    layout = LineLayout(start=b">", end=b"\r", separator=",", messages=(LineMessage(tag="", fields=(wet,)),))
    assert read(layout, b">1F\r")[1] == {"wet": True}
    assert read(layout, b">zz\r")[2] == {"wet": Reason.NOT_HEX}


def test_a_line_of_another_length_is_refused_where_all_are_equal() -> None:
    with pytest.raises(ParseError) as refusal:
        check_line(COLUMNS, b"\x02+0012341\x03")
    assert refusal.value.reason is Reason.BAD_LENGTH
    counted = msgspec.structs.replace(FREE, count=2)
    with pytest.raises(ParseError, match="1 parts, want 2"):
        check_line(counted, b"12.5\r\n")


def test_the_question_names_the_unit_in_as_many_digits_as_the_device_wants() -> None:
    assert poll_line(SerialWire(layout=NMEA, poll=b"#{address}R\r\n", poll_digits=2), "7") == b"#07R\r\n"
    assert poll_line(SerialWire(layout=NMEA), "7") is None


def test_a_line_without_a_start_is_not_taken_from_its_middle() -> None:
    framer = LineFramer(FREE)
    assert framer.feed(b"2.5,9\r\n33,1\r\n") == [b"33,1\r\n"]
    after_quiet = LineFramer(FREE)
    assert after_quiet.idle() == []
    assert after_quiet.feed(b"33,1\r\n") == [b"33,1\r\n"]


def test_a_damaged_line_without_a_start_is_given_up_whole() -> None:
    framer = LineFramer(FREE)
    framer.idle()
    said = framer.feed(b"1\xff2,3\r\n44,5\r\n")
    assert [type(one) for one in said] == [Refused, bytes]
    assert said[1] == b"44,5\r\n"


@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data(), pieces=st.lists(st.sampled_from([0, 1, b"$", b"\x02", b"\r\n", b"noise", b"\x03"]), max_size=8))
def test_any_cut_of_the_line_gives_the_same_lines(layout: LineLayout, data: st.DataObject, pieces: list[int | bytes]) -> None:
    whole = encode_line(profile(layout), "7", {"level": 12.5, "kg": 1.5, "mode": "auto", "wet": False, "temp": 20.5})
    stream = b"".join(whole if isinstance(piece, int) else piece for piece in pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    framer, other = LineFramer(layout), LineFramer(layout)
    framer.idle()
    other.idle()
    said = [one for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for one in framer.feed(stream[start:end])]
    assert said + framer.idle() == other.feed(stream) + other.idle()


@given(st.binary(max_size=80))
def test_noise_costs_no_line_once_the_line_was_quiet(noise: bytes) -> None:
    framer = LineFramer(NMEA)
    framer.feed(noise)
    framer.idle()
    assert framer.feed(NMEA_LINE) == [NMEA_LINE]


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_a_framer_of_lines_is_bounded(chunks: list[bytes]) -> None:
    for layout in LAYOUTS:
        framer = LineFramer(layout)
        for chunk in chunks:
            framer.feed(chunk)
            assert len(framer._framer._buffer) + len(framer._framer._noise) <= 3 * layout.max_size


@given(st.floats(-999, 9999).map(lambda value: round(value, 1)), st.booleans())
def test_what_is_written_reads_back(level: float, wet: bool) -> None:
    values = {"level": level, "wet": wet, "temp": round(level / 100, 1)}
    assert read(NMEA, encode_line(profile(NMEA), "12", values)) == ("12", values, {})


@given(st.floats(-9999.9, 99999.9).map(lambda value: round(value, 1)))
def test_what_is_weighed_reads_back(kg: float) -> None:
    assert read(COLUMNS, encode_line(profile(COLUMNS), "", {"kg": kg}))[1] == {"kg": kg}


def test_none_is_written_as_the_device_says_it() -> None:
    line = encode_line(profile(NMEA), "7", {"level": None, "wet": True, "temp": None})
    assert line.startswith(b"$WLS,7,---,wet,*")
    bad = Flaw(Quality.BAD, Reason.NO_VALUE)
    assert decode_line(profile(NMEA), line)[1].flaws == {"level": bad, "temp": bad}


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    fuzz_one(data)
    fuzz_one(NMEA_LINE[: len(data)] + data)


def test_a_line_is_shown_as_it_is_written_with_or_without_its_end() -> None:
    language = serial_language(profile(NMEA))
    assert language.spoken == ("$",)
    record = language.describe(NMEA_LINE.rstrip())
    assert record == language.describe(NMEA_LINE)
    assert (record["address"], record["checksum_ok"], record["values"]) == (7, True, {"level": 123.4, "wet": False, "temp": -5.5})
    shown = {field.name: (field.at, field.size, field.value) for field in language.explain(NMEA_LINE)}
    assert shown["address"] == (5, 2, "7")
    assert shown["level"] == (8, 5, 123.4)
    assert shown["checksum"] == (23, 2, "right")


def test_a_line_without_a_start_may_be_shown_from_hex_too() -> None:
    language = serial_language(profile(FREE))
    assert language.spoken == ("",)
    assert language.describe(b"12.5,1") == language.describe(b"12.5,1\r\n".hex().encode())
    assert language.describe(b"12.5,1")["checksum_ok"] is None
