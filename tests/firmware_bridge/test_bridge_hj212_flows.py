"""HJ 212 exchanges: messages that are sent, cut into packets, put together again and answered."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.hj212.answers import Answer, answer_to, encode_answer, site_answers, wanted_answer
from firmware_bridge.hj212.deviations import STRICT
from firmware_bridge.hj212.discharge import hour_flow_l_s, pollutant_kg, water_m3
from firmware_bridge.hj212.encode import (
    MAX_CP_BYTES,
    Group,
    Head,
    encode_message,
    encode_messages,
    encode_packet,
    field_group,
    value_groups,
)
from firmware_bridge.hj212.frames import Frame, Hj212Framer, parse_frame
from firmware_bridge.hj212.reassembly import Reassembler
from firmware_bridge.hj212.record import packet_record, record
from firmware_bridge.hj212.segment import Packet, parse_segment
from firmware_bridge.hj212.values import KINDS, content
from telemetry.reason import Reason

SECOND = 1_000_000_000
MN = "010000A8900016F000169DC0"
HEAD = Head(st="32", cn="2061", mn=MN, pw="123456", qn="20160801090000001", answer_wanted=True)
HOUR = datetime(2016, 8, 1, 0, 0, tzinfo=UTC)


def read(raw: bytes) -> Packet:
    """The packet in `raw`, which must be as the standard has it to the letter."""
    return parse_segment(parse_frame(raw, STRICT).segment, STRICT)


def packet(text: str) -> Packet:
    return parse_segment(f"PW=123456;MN={MN};{text}".encode())


# --- sending ---------------------------------------------------------------------------------------------------------


def test_the_standards_own_frame_is_sent_byte_by_byte() -> None:
    # HJ 212-2017, annex A.
    head = Head(st="32", cn="1062", mn=MN, pw="100000", qn="20160801085857223", answer_wanted=True)
    raw = encode_message(head, [field_group("rtd_interval", 30)])
    assert raw == (
        b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80\r\n"
    )


def test_values_are_sent_as_they_are_read() -> None:
    values = {"w01018": {"cou": 63.0, "min": 40.1, "zs_avg": -0.5, "flag": "N"}, "w00000": {"sample_time": HOUR, "rtd": 7}}
    raw = encode_message(HEAD, value_groups(values, HOUR))
    assert b"&&DataTime=20160801080000;w01018-Cou=63.0,w01018-Min=40.1,w01018-ZsAvg=-0.5,w01018-Flag=N;" in raw
    said = content(read(raw))
    assert said.values == values
    assert said.fields == {"data_time": HOUR}
    assert (said.flaws, said.deviations) == ((), ())


def test_a_message_of_2005_has_no_flag() -> None:
    raw = encode_message(Head(st="32", cn="2011", mn="88888888", pw="123456", version=None))
    assert raw[6:-6] == b"ST=32;CN=2011;PW=123456;MN=88888888;CP=&&&&"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("a;b", "1", id="a separator in a name"),
        pytest.param("", "1", id="no name"),
        pytest.param("##0101", "1", id="a start in a name"),
        pytest.param("a", "1;MN=0", id="a separator in a value"),
        pytest.param("a", "1&&", id="an end in a value"),
        pytest.param("a", "1\r\n", id="a line end in a value"),
        pytest.param("a", "//log && more//", id="an end in a log"),
        pytest.param("a", "x##0101Q", id="a start in a value"),
        pytest.param("a", "//##0101Q//", id="a start in a log"),
        pytest.param("a", "//a//;b//", id="slashes within a log"),
        pytest.param("a", "//a", id="a log without an end"),
    ],
)
def test_what_would_break_the_frame_is_not_sent(name: str, value: str) -> None:
    with pytest.raises(ParseError) as refusal:
        encode_message(HEAD, [[(name, value)]])
    assert refusal.value.reason is Reason.BAD_FIELD


def test_a_value_that_is_no_finite_number_is_not_sent() -> None:
    with pytest.raises(ParseError) as refusal:
        value_groups({"w01018": {"rtd": float("nan")}})
    assert refusal.value.reason is Reason.NOT_A_NUMBER


def test_a_header_that_would_break_the_frame_is_not_sent_and_its_password_not_told() -> None:
    with pytest.raises(ParseError) as refusal:
        encode_message(msgspec.structs.replace(HEAD, pw="//secret;Flag=0//"))
    assert "secret" not in str(refusal.value)
    assert "123456" not in repr(HEAD)


def test_a_log_with_separators_is_sent_between_slashes() -> None:
    raw = encode_message(HEAD, value_groups({"i11001": {"info": "//a=1; b, c//"}}))
    assert content(read(raw)).values == {"i11001": {"info": "a=1; b, c"}}


def test_cp_too_long_for_one_packet_is_cut_only_on_demand() -> None:
    groups = value_groups({f"w{number:05}": {"rtd": number, "flag": "N"} for number in range(60)}, HOUR)
    with pytest.raises(ParseError) as refusal:
        encode_message(HEAD, groups)
    assert refusal.value.reason is Reason.OVERSIZED
    frames = encode_messages(HEAD, groups)
    packets = [read(frame) for frame in frames]
    assert [(packet.pnum, packet.pno, packet.flag) for packet in packets] == [(2, 1, 7), (2, 2, 7)]
    assert all(packet.value("DataTime") == "20160801080000" for packet in packets)
    with pytest.raises(ParseError) as refusal:
        encode_messages(HEAD, [[("i11001-Info", "x" * 951)]])
    assert refusal.value.reason is Reason.OVERSIZED


NAMES = st.integers(0, 99999).map("w{:05}".format)
NUMBERS = st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6).map(lambda value: round(value, 4))
MEASURED = st.sampled_from(["rtd", "min", "avg", "max", "cou", "zs_rtd"])


@given(st.dictionaries(NAMES, st.dictionaries(MEASURED, NUMBERS, min_size=1), min_size=1, max_size=40))
def test_any_values_cut_and_put_together_read_back(values: dict[str, dict[str, float]]) -> None:
    stream = b"".join(encode_messages(HEAD, value_groups(values, HOUR)))
    box, whole = Reassembler(), []
    for frame in Hj212Framer().feed(stream):
        assert isinstance(frame, Frame)
        whole.append(box.add(parse_segment(frame.segment), 0))
    assert whole[:-1] == [None] * (len(whole) - 1)
    message = whole[-1]
    assert isinstance(message, Packet)
    said = content(message)
    assert said.values == values
    assert said.fields == {"data_time": HOUR}
    assert not message.flag or message.flag == 5
    assert box.held_bytes == 0


@pytest.mark.parametrize(
    "text",
    [
        "QN=20160801085857223;ST=32;CN=2011;Flag=5;CP=&&DataTime=20160801085857;w01018-Rtd=1,w01018-Flag=N&&",
        "ST=32;CN=2011;CP=&&&&",
        "QN=20160801085857223;ST=32;CN=2051;Flag=7;PNUM=3;PNO=2;CP=&&i11001-Info=//a;b//&&",
    ],
)
def test_a_packet_reads_back_from_what_it_is_sent_as(text: str) -> None:
    said = packet(text)
    again = read(encode_packet(said))
    for name in ("qn", "st", "cn", "pw", "mn", "flag", "pnum", "pno"):
        assert getattr(again, name) == getattr(said, name)
    assert [(item.name, item.value) for item in again.items] == [(item.name, item.value) for item in said.items]


def test_every_class_has_one_name() -> None:
    assert len({kind.name for kind in KINDS.values()}) == len(KINDS)


# --- putting together ------------------------------------------------------------------------------------------------


def part(pno: int, *, pnum: int = 3, qn: str = "20160801085857534", cp: str = "", mn: str = MN) -> Packet:
    return parse_segment(f"QN={qn};ST=32;CN=2061;PW=123456;MN={mn};Flag=6;PNUM={pnum};PNO={pno};CP=&&{cp}&&".encode())


def test_the_standards_own_two_packets_are_one_message() -> None:
    # HJ 212-2017, annex C, table C.50: the packets' QN differ, their DataTime does not.
    box = Reassembler()
    first = "DataTime=20160801080000;w00000-Cou=63.0,w00000-Flag=N;w01001-Min=7.1"
    second = "DataTime=20160801080000;w01018-Cou=63.0,w01018-Flag=N"
    assert box.add(part(1, pnum=2, qn="20160801085857534", cp=first), 0) is None
    message = box.add(part(2, pnum=2, qn="20160801085857535", cp=second), 0)
    assert isinstance(message, Packet)
    assert (message.pnum, message.pno, message.qn, message.flag) == (None, None, "20160801085857534", 4)
    said = packet_record(message)
    assert said["data_time"] == "2016-08-01T08:00:00+08:00"
    assert said["values"] == {"w00000": {"cou": 63.0, "flag": "N"}, "w01001": {"min": 7.1}, "w01018": {"cou": 63.0, "flag": "N"}}
    assert said["flaws"] == said["deviations"] == []


@given(st.permutations([1, 2, 3, 4]), st.lists(st.integers(1, 4), max_size=3))
def test_packets_come_in_any_order_and_some_twice(order: list[int], again: list[int]) -> None:
    box = Reassembler()
    missing, whole = {1, 2, 3, 4}, None
    for number in [*order[:2], *(number for number in again if number in order[:2]), *order[2:]]:
        missing.discard(number)
        whole = box.add(part(number, pnum=4, cp=f"w0000{number}-Rtd={number}"), 0)
        assert (whole is None) is bool(missing)
    assert isinstance(whole, Packet)
    assert [item.value for item in whole.items] == ["1", "2", "3", "4"]


def test_a_message_that_was_not_cut_goes_through() -> None:
    whole = packet("CN=2011;CP=&&&&")
    assert Reassembler().add(whole, 0) is whole


def test_messages_of_others_do_not_mix() -> None:
    box = Reassembler()
    assert box.add(part(1, pnum=2), 0) is None
    assert box.add(part(2, pnum=2, mn="AA"), 0) is None
    assert box.add(part(2, pnum=2, qn="20160801085857999"), 0) is None
    assert isinstance(box.add(part(2, pnum=2), 0), Packet)


def test_a_packet_that_says_something_else_begins_the_message_anew() -> None:
    box = Reassembler()
    box.add(part(1, pnum=2, cp="w00001-Rtd=1"), 0)
    assert box.add(part(1, pnum=2, cp="w00001-Rtd=2"), 0) is None
    (given_up,) = box.expire(0)
    assert given_up.reason is Reason.REASSEMBLY_LIMIT
    whole = box.add(part(2, pnum=2), 0)
    assert isinstance(whole, Packet)
    assert whole.value("w00001-Rtd") == "2"


def test_a_message_that_never_ends_is_given_up_in_time() -> None:
    box = Reassembler(max_age_s=60)
    box.add(part(1), 0)
    assert box.expire(60 * SECOND) == []
    (given_up,) = box.expire(60 * SECOND + 1)
    assert (given_up.reason, box.held_bytes) == (Reason.REASSEMBLY_LIMIT, 0)
    assert "123456" not in given_up.detail
    assert box.expire(90 * SECOND) == []


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        pytest.param("PNUM=3", Reason.MISSING, id="no number of its own"),
        pytest.param("PNUM=3;PNO=0", Reason.BAD_FIELD, id="packets count from one"),
        pytest.param("PNUM=3;PNO=4", Reason.BAD_FIELD, id="more than there are"),
        pytest.param("PNUM=257;PNO=1", Reason.REASSEMBLY_LIMIT, id="more packets than anybody keeps"),
    ],
)
def test_packet_numbers_that_cannot_be_are_refused(numbers: str, reason: Reason) -> None:
    refused = Reassembler().add(packet(f"CN=2061;Flag=6;{numbers};CP=&&&&"), 0)
    assert isinstance(refused, Refused)
    assert refused.reason is reason


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3), st.integers(0, 400)), max_size=60))
def test_memory_is_bounded_and_each_message_given_up_is_told_once(arrivals: list[tuple[int, int, int]]) -> None:
    box = Reassembler(max_messages=4, max_bytes=3000)
    begun = finished = given_up = 0
    for sender, number, size in arrivals:
        before = len(box._partials)
        told = box.add(part(number, mn=f"{sender:X}", cp=f"a={'x' * size}"), 0)
        refused = [one for one in (told, *box.expire(0)) if isinstance(one, Refused)]
        finished += isinstance(told, Packet)
        given_up += len(refused)
        begun += len(box._partials) - before + len(refused) + isinstance(told, Packet)
        assert len(box._partials) <= 4
        assert 0 <= box.held_bytes <= 3000
    assert begun == finished + given_up + len(box._partials)


# --- answering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param("QN=20160801090000001;ST=32;CN=2061;Flag=5", Answer.DATA, id="data that wants an answer, table C.17"),
        pytest.param("QN=20160801085857535;ST=32;CN=2061;Flag=7;PNUM=2;PNO=2", Answer.DATA, id="a packet of data, table C.50"),
        pytest.param("QN=20160801085857223;ST=32;CN=1013;Flag=5", Answer.NOTICE, id="a call for time calibration, table C.4"),
        pytest.param("ST=32;CN=2061;Flag=4", None, id="data that wants none"),
        pytest.param("ST=32;CN=2011", None, id="data of 2005 without Flag"),
        pytest.param("ST=91;CN=9011;Flag=5", None, id="an answer is not answered"),
        pytest.param("ST=32;CN=7777;Flag=9", Answer.DATA, id="a command nobody knows is taken for data"),
    ],
)
def test_the_upper_side_answers_what_wants_it(text: str, answer: Answer | None) -> None:
    came = packet(f"{text};CP=&&&&")
    assert wanted_answer(came) is answer
    raw = answer_to(came)
    if answer is None:
        assert raw is None
        return
    assert raw is not None
    said = read(raw)
    assert (said.cn, said.st, said.mn, said.pw, said.qn) == (answer, "91", came.mn, came.pw, came.qn)
    assert (said.version, said.answer_wanted, said.pnum) == (came.version, False, None)


def test_a_data_answer_is_the_standards_byte_by_byte() -> None:
    # HJ 212-2017, annex C, table C.17.
    raw = answer_to(packet("QN=20160801090000001;ST=32;CN=2061;Flag=5;CP=&&&&"))
    assert raw is not None
    assert raw[6:-6] == f"QN=20160801090000001;ST=91;CN=9014;PW=123456;MN={MN};Flag=4;CP=&&&&".encode()


def test_a_site_answers_a_request_with_its_result_to_follow() -> None:
    # HJ 212-2017, annex C, table C.6: request, 9011, 9012.
    came = packet("QN=20160801085857223;ST=32;CN=1062;Flag=5;CP=&&RtdInterval=30&&")
    assert site_answers(came) == (Answer.REQUEST, Answer.RESULT)
    assert record(encode_answer(Answer.REQUEST, came))["qn_rtn"] == 1
    said = record(encode_answer(Answer.RESULT, came, 100))
    assert (said["cn"], said["exe_rtn"], said["st"], said["flaws"]) == ("9012", 100, "91", [])


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        pytest.param("CN=2012;Flag=5", (Answer.NOTICE,), id="to stop realtime data is a notice, table C.11"),
        pytest.param("CN=2011;Flag=5", (Answer.REQUEST, Answer.RESULT), id="to ask for them is a request, table C.10"),
        pytest.param("CN=9014;Flag=4", (), id="an answer"),
        pytest.param("CN=9014;Flag=5", (), id="an answer that asks for one"),
        pytest.param("CN=2081;Flag=5", (), id="what only goes up"),
        pytest.param("CN=1062;Flag=4", (), id="a request that wants no answer"),
        pytest.param("CN=7777;Flag=5", (Answer.REQUEST, Answer.RESULT), id="a command nobody knows"),
    ],
)
def test_a_site_answers_what_wants_it(text: str, answers: tuple[Answer, ...]) -> None:
    assert site_answers(packet(f"{text};CP=&&&&")) == answers


def test_the_discharge_of_an_hour() -> None:
    # HJ 212-2017, table C.17: a mean of 17.5 L/s makes 63 m3 in an hour; table C.16: 10.5 m3 in ten minutes.
    assert water_m3(17.5, 3600) == pytest.approx(63.0)
    assert water_m3(17.5, 600) == pytest.approx(10.5)
    assert hour_flow_l_s([10.5] * 6) == pytest.approx(17.5)
    assert pollutant_kg(40.1, 63.0) == pytest.approx(2.5263)


@given(st.lists(st.lists(st.tuples(st.just("w01018-Info"), st.text("0.", max_size=30)), min_size=1, max_size=4), max_size=40))
def test_no_packet_is_longer_than_the_standard_allows(groups: list[Group]) -> None:
    for raw in encode_messages(HEAD, groups):
        assert len(raw) <= 6 + 1024 + 6
        assert len(raw.partition(b"CP=&&")[2]) <= MAX_CP_BYTES + 2 + 6
