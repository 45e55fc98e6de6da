"""HJ 212 data segments: header, Flag, CP, values and times, and the record that a frame is shown as."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fuzz_hj212 import framed
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.deviations import REAL_DEVICES, STRICT, Deviation
from firmware_bridge.hj212.factors import FACTORS, OLD_CODES, factor
from firmware_bridge.hj212.frames import crc16, parse_frame
from firmware_bridge.hj212.record import LANGUAGE, record
from firmware_bridge.hj212.segment import Packet, parse_segment
from firmware_bridge.hj212.tables import COMMANDS, FIRST_CONNECTION, Direction, Up
from firmware_bridge.hj212.times import CHINA, format_qn, format_time, parse_time
from firmware_bridge.hj212.values import content
from telemetry.reason import Reason

MN = "010000A8900016F000169DC0"
HEAD = f"QN=20160801085857223;ST=32;CN=%s;PW=123456;MN={MN};Flag=5;CP=&&%s&&"


def segment(cp: str, cn: str = "2011") -> Packet:
    return parse_segment((HEAD % (cn, cp)).encode())


def shown(cp: str, cn: str = "2011") -> dict[str, Any]:
    return record(framed((HEAD % (cn, cp)).encode()))


def reasons(said: dict[str, Any]) -> list[Reason]:
    return [flaw["reason"] for flaw in said["flaws"]]


# --- worked examples -------------------------------------------------------------------------------------------------


def test_the_standards_own_frame_reads_as_it_says() -> None:
    # HJ 212-2017, annex A.
    said = record(
        b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80\r\n"
    )
    want = {
        "protocol": "hj212",
        "checksum_ok": True,
        "qn": "20160801085857223",
        "qn_time": "2016-08-01T08:58:57.223+08:00",
        "st": "32",
        "cn": "1062",
        "pw": "100000",
        "mn": MN,
        "flag": 5,
        "version": 1,
        "answer_wanted": True,
        "pnum": None,
        "rtd_interval": 30,
        "data_time": None,
        "values": {},
        "flaws": [],
        "deviations": [],
    }
    assert {name: said[name] for name in want} == want


def test_an_hour_of_water_reads_as_the_standard_says() -> None:
    # HJ 212-2017, annex C, table C.17.
    cp = (
        "DataTime=20160801080000;w00000-Cou=63.0,w00000-Min=16.4,w00000-Avg=17.5,w00000-Max=20.1,w00000-Flag=N;"
        "w01001-Min=7.1,w01001-Avg=7.5,w01001-Max=7.8,w01001-Flag=N"
    )
    said = shown(cp, "2061")
    assert (said["data_time"], said["data_time_is"]) == ("2016-08-01T08:00:00+08:00", "period_start")
    assert said["values"] == {
        "w00000": {"cou": 63.0, "min": 16.4, "avg": 17.5, "max": 20.1, "flag": "N"},
        "w01001": {"min": 7.1, "avg": 7.5, "max": 7.8, "flag": "N"},
    }


def test_noise_of_a_day_has_classes_of_its_own() -> None:
    # HJ 212-2017, annex C, table C.28, shortened; the blank is the standard's.
    said = shown("DataTime=20160801000000;Leq-Data=50.0;L5-DayData=53.0;LMx-NightData=54.0; LMn-NightData=42.0", "2031")
    assert said["values"] == {
        "Leq": {"data": 50.0},
        "L5": {"day_data": 53.0},
        "LMx": {"night_data": 54.0},
        "LMn": {"night_data": 42.0},
    }
    assert said["deviations"] == [Deviation.BLANKS]


def test_a_log_stands_between_slashes_and_may_hold_separators() -> None:
    # HJ 212-2017, annex C, table C.40, and a text with the separators that annex B allows there.
    said = shown("DataTime=20100301145000;PolId=w01018;i11001-Info=//清洗管路//", "3020")
    assert (said["pol_id"], said["values"]) == ("w01018", {"i11001": {"info": "清洗管路"}})
    said = shown("i11001-Info=//a=1; b, c//,i12001-Info=1;PolId=w01018", "3020")
    assert (said["pol_id"], said["values"]) == ("w01018", {"i11001": {"info": "a=1; b, c"}, "i12001": {"info": 1}})


def test_equipment_has_states_and_hours() -> None:
    # HJ 212-2017, annex C, tables C.15 and C.19.
    assert shown("SB1-RS=1;SB2-RS=0")["values"] == {"SB1": {"rs": 1}, "SB2": {"rs": 0}}
    assert shown("SB1-RT=1.1", "2041")["values"] == {"SB1": {"rt": 1.1}}
    assert reasons(shown("SB1-RS=6")) == [Reason.NOT_IN_ENUM]


@pytest.mark.parametrize(
    ("cp", "field", "value"),
    [
        pytest.param("OverTime=5;ReCount=3", "re_count", 3, id="timeout and resend count, table C.1"),
        pytest.param("PolId=w01018;SystemTime=20160801085857", "system_time", "2016-08-01T08:58:57+08:00", id="table C.2"),
        pytest.param("NewPW=654321", "new_pw", "654321", id="a password is text, table C.9"),
        pytest.param("BeginTime=20160801084000,EndTime=20160801084000", "end_time", "2016-08-01T08:40:00+08:00", id="C.20"),
        pytest.param(
            "DataTime=20160801085857;RestartTime=20160801085624", "restart_time", "2016-08-01T08:56:24+08:00", id="C.24"
        ),
        pytest.param("DataTime=20160801085857;VaseNo=1", "vase_no", 1, id="a retained sample, table C.34"),
        pytest.param("PolId=w01018;CstartTime=000000;CTime=2", "cstart_time", "000000", id="a time of day stays text, C.35"),
        pytest.param("PolId=w01018;CstartTime=000000;Ctime=2", "ctime", 2, id="CTime in its other spelling"),
        pytest.param("PolId=w01018;Stime=40", "stime", 40, id="sample extraction time, table C.37"),
        pytest.param("QnRtn=1", "qn_rtn", 1, id="a request answer"),
        pytest.param("ExeRtn=100", "exe_rtn", 100, id="an execution result"),
        pytest.param("FooBarId=007", "foo_bar_id", "007", id="an unknown field that is no plain number stays text"),
        pytest.param("FooBar=7.5", "foo_bar", 7.5, id="an unknown field that is a plain number is one"),
        pytest.param("values=7;protocol=x", "cp_values", 7, id="no field takes a name of the record's own"),
        pytest.param("MN=7", "cp_mn", 7, id="nor one of the header's"),
    ],
)
def test_fields_of_cp_stand_beside_the_headers(cp: str, field: str, value: object) -> None:
    assert shown(cp)[field] == value


def test_an_instrument_id_is_text_and_a_sample_time_a_time() -> None:
    # HJ 212-2017, annex C, table C.39; a captured frame for SampleTime.
    values = shown("w01018-SN=010000A8900016F000169DC1;w01018-SampleTime=20240123110306,w01018-EFlag=0101")["values"]
    want = {"sn": "010000A8900016F000169DC1", "sample_time": "2024-01-23T11:03:06+08:00", "e_flag": "0101"}
    assert values == {"w01018": want}


# --- header ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "version", "answer_wanted", "standard"),
    [
        pytest.param("", 0, False, "HJ/T 212-2005", id="no Flag at all, as in 2005"),
        pytest.param("Flag=0;", 0, False, "HJ/T 212-2005", id="2005"),
        pytest.param("Flag=3;PNUM=1;PNO=1;", 0, True, "HJ/T 212-2005", id="2005, an answer wanted, packet numbers"),
        pytest.param("Flag=4;", 1, False, "HJ 212-2017", id="2017"),
        pytest.param("Flag=7;PNUM=1;PNO=1;", 1, True, "HJ 212-2017", id="2017, an answer wanted, packet numbers"),
        pytest.param("Flag=8;", 2, False, "HJ 212-2025", id="2025"),
        pytest.param("Flag=9;", 2, True, "HJ 212-2025", id="2025, an answer wanted"),
        pytest.param("Flag=12;", 3, False, None, id="a version of the future"),
    ],
)
def test_flag_tells_version_answer_and_packets(flag: str, version: int, answer_wanted: bool, standard: str | None) -> None:
    said = record(framed(f"ST=32;CN=2011;PW=123456;MN={MN};{flag}CP=&&&&".encode()))
    assert (said["version"], said["answer_wanted"], said["standard"]) == (version, answer_wanted, standard)
    assert said["has_packet_no"] is ("PNUM" in flag)
    assert said["flaws"] == []


def test_flag_and_packet_numbers_that_disagree_are_told() -> None:
    assert reasons(record(framed(b"CN=2011;Flag=7;CP=&&&&"))) == [Reason.BAD_FIELD]
    assert reasons(record(framed(b"CN=2011;Flag=4;PNUM=2;PNO=1;CP=&&&&"))) == [Reason.BAD_FIELD]
    assert reasons(record(framed(b"CN=2011;Flag=x;CP=&&&&"))) == [Reason.BAD_FIELD]


@pytest.mark.parametrize(
    ("text", "deviation"),
    [
        pytest.param("QN=20160801085857534,ST=32;CN=2031;%s;CP=&&&&", Deviation.COMMA_HEADER, id="table C.22"),
        pytest.param("CN=2041;%s;Flag=5CP=&&SB1-RT=1.1&&", Deviation.NO_SEPARATOR, id="table C.19"),
        pytest.param("CN=3020;%s; Flag=5;CP=&&PolId=w01018&&", Deviation.BLANKS, id="table C.43"),
        pytest.param("CN=3020;%s;CP=&&i12001-Info=1;i12003-Info =0&&", Deviation.BLANKS, id="table C.42"),
        pytest.param("CN=2011;%s;CP=&&w01018-Rtd=1;&&", Deviation.TRAILING_SEPARATOR, id="a captured frame of 2016"),
        pytest.param("CN=2011;%s;Flag=6;PNO=1;PNUM=2;CP=&&&&", Deviation.PACKET_ORDER, id="PNO before PNUM"),
        pytest.param("CN=2011;CN=2011;%s;CP=&&&&", Deviation.DUPLICATE_KEY, id="a header field twice"),
    ],
)
def test_a_deviation_is_read_and_told_or_refused_where_nobody_tolerates_it(text: str, deviation: Deviation) -> None:
    raw = (text % f"PW=123456;MN={MN}").encode()
    assert parse_segment(raw).deviations == (deviation,)
    with pytest.raises(ParseError) as refusal:
        parse_segment(raw, REAL_DEVICES - {deviation})
    assert refusal.value.reason is Reason.BAD_FIELD


@pytest.mark.parametrize(
    ("pw", "mn", "deviations"),
    [
        pytest.param("123456", MN, (), id="as the standard has them"),
        pytest.param("", MN, (Deviation.ODD_PASSWORD,), id="an empty password"),
        pytest.param("O447JGPYQ75V3C58D138L2WX", MN, (Deviation.ODD_PASSWORD,), id="a password of 24 characters"),
        pytest.param("123456", "huantai_device_0021", (Deviation.ODD_MN,), id="an MN that is not hex"),
    ],
)
def test_passwords_and_equipment_numbers_are_taken_as_they_are(pw: str, mn: str, deviations: tuple[Deviation, ...]) -> None:
    packet = parse_segment(f"CN=2011;PW={pw};MN={mn};CP=&&&&".encode())
    assert (packet.pw, packet.mn, packet.deviations) == (pw, mn, deviations)


def test_a_text_that_is_no_utf_8_is_read_as_gb_18030() -> None:
    said = record(framed("CN=3020;CP=&&i11001-Info=//清洗管路//&&".encode("gb18030")))
    assert said["values"]["i11001"]["info"] == "清洗管路"
    assert Deviation.NOT_UTF8 in said["deviations"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", Reason.MISSING, id="nothing at all"),
        pytest.param(b"ST=32;MN=1;CP=&&&&", Reason.MISSING, id="no command"),
        pytest.param(b"CN=20x1;CP=&&&&", Reason.BAD_FIELD, id="a command that is no number"),
        pytest.param(b"CN=011;CP=&&&&", Reason.BAD_FIELD, id="a command of three digits"),
    ],
)
def test_a_segment_without_a_command_is_refused(raw: bytes, reason: Reason) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_segment(raw)
    assert refusal.value.reason is reason
    said = record(framed(b"ST=32;" + raw))
    assert said["refused"] is reason


def test_odd_messages_are_read_and_their_flaws_told_with_the_byte_in_the_frame() -> None:
    assert reasons(record(framed(b"CN=2011"))) == [Reason.MISSING]
    assert reasons(record(framed(b"CN=2011;CP=&&PolId=1"))) == [Reason.TRUNCATED]
    assert reasons(record(framed(b"CN=2011;CP=&&&&x"))) == [Reason.BAD_FIELD]
    assert reasons(record(framed(b"QN=1;CN=2011;CP=&&&&"))) == [Reason.BAD_FIELD]
    assert reasons(record(framed(b"CN=7777;CP=&&&&"))) == [Reason.UNKNOWN_MESSAGE]
    said = record(framed(b"CN=2011;CP=&&PolId=1;oops&&"))
    assert said["flaws"] == [{"reason": Reason.BAD_FIELD, "where": "byte 27: 4 bytes without a ="}]
    assert record(framed(b"CN=2011;Vendor=7;CP=&&&&"))["header_vendor"] == "7"


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        pytest.param("4653.8", 4653.8, None, id="a decimal number"),
        pytest.param("9", 9, None, id="a whole number"),
        pytest.param("-0.041", -0.041, None, id="below zero"),
        pytest.param("+3", 3, None, id="with a sign"),
        pytest.param("007.50", 7.5, None, id="with zeros before and behind"),
        pytest.param(".5", 0.5, None, id="without a digit before the point"),
        pytest.param("5.", 5.0, None, id="without a digit behind the point"),
        pytest.param("", None, Reason.NO_VALUE, id="nothing"),
        pytest.param("--", None, Reason.NOT_A_NUMBER, id="dashes"),
        pytest.param("nan", None, Reason.NOT_A_NUMBER, id="not a number by its own word"),
        pytest.param("inf", None, Reason.NOT_A_NUMBER, id="infinity"),
        pytest.param("1e5", None, Reason.NOT_A_NUMBER, id="an exponent, which the standard has not"),
        pytest.param("9" * 400, None, Reason.NOT_A_NUMBER, id="more digits than anything has"),
        pytest.param("１２", None, Reason.NOT_A_NUMBER, id="full-width digits"),
    ],
)
def test_a_value_is_a_number_or_told(text: str, value: object, reason: Reason | None) -> None:
    said = shown(f"w01018-Rtd={text},w01018-Flag=N")
    assert said["values"]["w01018"]["rtd"] == value
    assert type(said["values"]["w01018"]["rtd"]) is type(value)
    assert reasons(said) == ([] if reason is None else [reason])


def test_a_class_in_another_spelling_is_known() -> None:
    said = shown("LA-td=50.1,LA-flag=N")
    assert said["values"] == {"LA": {"rtd": 50.1, "flag": "N"}}
    assert said["deviations"] == [Deviation.SPELLING]


def test_of_a_value_that_comes_twice_the_last_counts() -> None:
    # HJ 212-2017, annex C, table C.29 has e01001-Rtd twice.
    said = shown("e01001-Rtd=1.1;e01001-Rtd=2.2")
    assert (said["values"], said["deviations"]) == ({"e01001": {"rtd": 2.2}}, [Deviation.DUPLICATE_KEY])


def test_an_unknown_class_is_kept_by_its_own_name() -> None:
    assert shown("w01018-NewThing=7,w01018-Note=ok")["values"] == {"w01018": {"new_thing": 7, "note": "ok"}}


def test_a_flag_or_an_interval_outside_its_table_is_kept_and_told() -> None:
    said = shown("w01018-Flag=x")
    assert (said["values"]["w01018"]["flag"], reasons(said)) == ("x", [Reason.NOT_IN_ENUM])
    assert reasons(shown("RtdInterval=29")) == [Reason.OUT_OF_RANGE]
    assert reasons(shown("RtdInterval=3600;MinInterval=30")) == []
    assert reasons(shown("MinInterval=7")) == [Reason.OUT_OF_RANGE]


def test_times_are_of_the_zone_that_is_given() -> None:
    packet = segment("DataTime=20160801085857")
    assert content(packet).fields["data_time"] == datetime(2016, 8, 1, 0, 58, 57, tzinfo=UTC)
    assert content(packet, timezone(timedelta(hours=-3))).fields["data_time"] == datetime(2016, 8, 1, 11, 58, 57, tzinfo=UTC)


@pytest.mark.parametrize(
    "digits", ["20160230000000", "2016080108585", "201608010858570", "20160801085860", "２０160801085857", ""]
)
def test_digits_that_are_no_date_are_told(digits: str) -> None:
    assert parse_time(digits) is None
    said = shown(f"DataTime={digits}")
    assert (said["data_time"], said["data_time_is"]) == (None, None)
    assert reasons(said) == [Reason.BAD_FIELD if digits else Reason.NO_VALUE]


def test_a_data_time_with_milliseconds_is_read_and_told() -> None:
    said = shown("DataTime=20210305003817250")
    assert (said["data_time"], said["deviations"]) == ("2021-03-05T00:38:17.250+08:00", [Deviation.LONG_TIME])


@given(st.datetimes(datetime(1970, 1, 2), datetime(2199, 1, 1)), st.integers(-12, 14))  # noqa: DTZ001 (Hypothesis wants none)
def test_a_time_reads_back(moment: datetime, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    time = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=CHINA)
    assert parse_time(format_qn(time, zone), zone) == time
    assert parse_time(format_time(time, zone), zone) == time.replace(microsecond=0)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_every_command_of_the_standard_is_in_the_table_and_makes_sense() -> None:
    wanted = "1000 1011 1012 1013 1061 1062 1063 1064 1072 2011 2012 2021 2022 2031 2041 2051 2061 2081 3011 3012 3013 3014 3015"
    wanted += " 3016 3017 3018 3019 3020 3021 9011 9012 9013 9014"
    assert {cn for cn, command in COMMANDS.items() if command.since == 2017} == set(wanted.split())
    assert set(FIRST_CONNECTION) <= set(COMMANDS)
    for command in COMMANDS.values():
        assert (command.direction is Direction.DOWN) is (command.up is Up.NONE)
        assert command.carries_data is (command.up is Up.DATA)


def test_factors_are_known_by_the_codes_of_2017_and_of_2005() -> None:
    for old, new in {
        "011": "w01018",
        "060": "w21003",
        "B01": "w00000",
        "001": "w01001",
        "101": "w21011",
        "065": "w21001",
    }.items():
        assert factor(old) is FACTORS[new]
    for old, new in {"01": "a34013", "02": "a21026", "03": "a21002", "S01": "a19001", "S08": "a01013", "B02": "a00000"}.items():
        assert OLD_CODES[old] is FACTORS[new]
    assert len(OLD_CODES) == sum(known.old is not None for known in FACTORS.values())


def test_factors_have_units_and_their_totals() -> None:
    units = {code: (FACTORS[code].unit, FACTORS[code].total_unit) for code in ("w00000", "w01018", "w20111", "w20113", "a21026")}
    assert units == {
        "w00000": ("L/s", "m3"),
        "w01018": ("mg/L", "kg"),
        "w20111": ("ug/L", "g"),
        "w20113": ("ng/L", "mg"),
        "a21026": ("mg/m3", "kg"),
    }
    assert [FACTORS[code].total_unit for code in ("w01001", "w01009", "a01001", "LA", "e102xx")] == [None] * 5


def test_codes_that_count_equipment_are_known_by_their_stem() -> None:
    assert factor("e30112") is FACTORS["e301xx"]
    assert factor("i33315") is FACTORS["i3331x"]
    equipment = factor("SB12")
    assert equipment is not None
    assert equipment.en == "equipment 12"
    assert [factor(code) for code in ("e01001", "", "w9", "SB")] == [None] * 4


# --- shown field by field --------------------------------------------------------------------------------------------


def test_fields_are_told_where_they_stand() -> None:
    raw = framed((HEAD % ("2061", "DataTime=20160801080000;w01018-Cou=63.0,w01018-Flag=N;QnRtn=1;SB1-RS=0")).encode())
    fields = {field.name: (raw[field.at : field.at + field.size].decode(), str(field.value)) for field in LANGUAGE.explain(raw)}
    assert fields["CN"] == ("CN=2061", "2061 hour data (污染物小时数据)")
    assert fields["Flag"] == ("Flag=5", "5 HJ 212-2017, answer wanted")
    assert fields["w01018-Cou"] == ("w01018-Cou=63.0", "63.0 kg  chemical oxygen demand (化学需氧量)")
    assert fields["w01018-Flag"] == ("w01018-Flag=N", "N normal (正常)")
    assert fields["QnRtn"] == ("QnRtn=1", "1 ready (准备执行请求)")
    assert fields["SB1-RS"] == ("SB1-RS=0", "0 off (关闭)")
    assert fields["crc"] == (raw[-6:-2].decode(), f"{raw[-6:-2].decode()} right")


def test_gases_of_an_air_station_are_told_without_the_annexs_unit() -> None:
    told = {
        st: next(
            field.value
            for field in LANGUAGE.explain(framed(f"ST={st};CN=2011;CP=&&a21004-Rtd=112&&".encode()))
            if "Rtd" in field.name
        )
        for st in ("22", "31")
    }
    assert told == {"22": "112  nitrogen dioxide (二氧化氮)", "31": "112 mg/m3  nitrogen dioxide (二氧化氮)"}


def test_a_packet_does_not_show_its_password() -> None:
    said = segment("NewPW=654321;PolId=w01018")
    told = f"{said!r} {said.header!r} {said.cp!r}"
    assert "123456" not in told
    assert "654321" not in told
    assert "w01018" in told


# --- the shared vectors ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def entries(vectors: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (vectors / "hj212.jsonl").read_text("utf-8").splitlines()]


def test_exactly_the_shared_frames_with_a_wrong_checksum_are_refused(entries: list[dict[str, Any]]) -> None:
    read = refused = 0
    for entry in (entry for entry in entries if entry["kind"] == "frame"):
        raw = entry["text"].encode()
        if not entry["derived"]["crc_ok"]:
            with pytest.raises(ParseError) as refusal:
                record(raw)
            assert refusal.value.reason is Reason.BAD_CHECKSUM
            refused += 1
            continue
        said = record(raw)
        assert (said["crc"], said["declared_length"]) == (entry["derived"]["declared_crc"], entry["derived"]["declared_len"])
        assert said["length_ok"] is entry["derived"]["length_ok"]
        read += 1
    assert read >= 13
    assert refused >= 8


def test_what_the_sources_of_the_shared_frames_state_is_so(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        want, raw = entry["expect"], entry["text"].encode()
        if "crc" in want:
            frame = parse_frame(raw, STRICT)
            assert (frame.crc, frame.declared_length) == (want["crc"], want["len"])
        if "reason" in want:
            assert want == {"valid": False, "reason": "CRC"}
            with pytest.raises(ParseError) as refusal:
                parse_frame(raw)
            assert refusal.value.reason is Reason.BAD_CHECKSUM
        for name in want:
            # Values of other algorithms over the same bytes.
            assert not name.startswith("not_") or f"{crc16(raw):X}" != want[name]


def test_every_shared_segment_reads_as_an_independent_reading_states(entries: list[dict[str, Any]]) -> None:
    count = 0
    for entry in entries:
        want, raw = entry["derived"], entry["text"].encode()
        if entry["kind"] == "frame" and not want["crc_ok"]:
            continue
        body = parse_frame(raw).segment if entry["kind"] == "frame" else raw
        assert f"{crc16(body):04X}" == want["computed_crc"]
        assert len(body) == want.get("len", want.get("actual_len", len(body)))
        packet, fields = parse_segment(body), want["fields"]
        assert [packet.qn, packet.st, packet.cn, packet.pw, packet.mn] == [
            fields.get(name, "") for name in ("QN", "ST", "CN", "PW", "MN")
        ]
        assert packet.flag == (int(fields["Flag"]) if "Flag" in fields else None)
        assert [packet.pnum, packet.pno] == [int(fields[name]) if name in fields else None for name in ("PNUM", "PNO")]
        if "flag_bits" in fields:
            assert packet.version == fields["flag_bits"]["version"]
            assert packet.answer_wanted is fields["flag_bits"]["need_ack"]
        # The printed examples leave items out with an ellipsis, which is no item.
        groups = [{item.name: item.value for item in group} for group in packet.cp]
        assert groups == [group for group in fields["cp_items"] if "…" not in group]
        if "frame_if_built" in want:
            assert framed(body) == want["frame_if_built"].encode()
        count += 1
    assert count >= 105
