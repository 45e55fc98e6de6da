"""HJ 212 and SL 651 messages as readings of a profile: flags, times, series, the way back, and passwords that stay unseen."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest
from bridge_profiles import metric, profile
from fuzz_hj212 import framed
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.model import Profile
from device_profiles.quantities import MetricType, Scaling
from device_profiles.wires import Wire
from device_profiles.wires.hj212 import KINDS, Hj212Wire
from device_profiles.wires.items import ItemField
from device_profiles.wires.sl651 import Sl651Wire
from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.encode import Head, encode_messages
from firmware_bridge.hj212.frames import Frame, Hj212Framer
from firmware_bridge.hj212.metrics import FLAG_FLAWS, decode_message, message_groups
from firmware_bridge.hj212.reassembly import Reassembler
from firmware_bridge.hj212.segment import Packet, parse_segment, without_secrets
from firmware_bridge.hj212.tables import DATA_FLAGS
from firmware_bridge.hj212.values import KINDS as CODEC_KINDS
from firmware_bridge.sl651.frames import encode_frame, parse_frame
from firmware_bridge.sl651.metrics import decode_report, element_values
from firmware_bridge.sl651.record import body_of
from firmware_bridge.sl651.reports import Station, report, reports
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

EIGHT = timezone(timedelta(hours=8))
MORNING = datetime(2026, 11, 21, 8, 30, tzinfo=EIGHT)
MORNING_NS = round(MORNING.timestamp()) * SECOND_NS
UNTIMED = Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)


def station(*items: str | ItemField, utc_offset_h: float = 8.0) -> Profile:
    fields = [ItemField(metric=f"m{at}", item=item) if isinstance(item, str) else item for at, item in enumerate(items)]
    wire = Hj212Wire(items=tuple(fields), utc_offset_h=utc_offset_h)
    return profile(Wire(hj212=wire), *(metric(field.metric) for field in fields))


def packet(cp: str, cn: str = "2011") -> Packet:
    return parse_segment(f"QN=20261121083000000;ST=32;CN={cn};PW=123456;MN=1;Flag=4;CP=&&{cp}&&".encode())


# --- HJ 212 ----------------------------------------------------------------------------------------------------------


def test_every_kind_that_a_profile_may_name_is_one_that_the_codec_reads() -> None:
    told = {name for name in CODEC_KINDS if name not in {"Flag", "EFlag", "SampleTime", "SN"}}
    assert told == set(KINDS)


def test_every_flag_of_the_standards_table_has_a_quality_and_only_n_is_good() -> None:
    assert FLAG_FLAWS.keys() == DATA_FLAGS.keys()
    assert [letter for letter, flaw in FLAG_FLAWS.items() if flaw is None] == ["N"]


def test_codes_of_2005_are_heard_by_their_new_names_and_by_their_own() -> None:
    decoded = decode_message(station("w01018.Rtd", "011.Rtd", "w21003.Rtd"), packet("011-Rtd=32.4;060-Rtd=0.46,060-Flag=D"))
    assert decoded.values == {"m0": 32.4, "m1": 32.4, "m2": 0.46}
    assert decoded.flaws == {"m2": Flaw(Quality.BAD, Reason.DEVICE_EXCEPTION)}


def test_where_both_codes_come_each_name_hears_its_own() -> None:
    for cp in ("011-Rtd=1;w01018-Rtd=2", "w01018-Rtd=2;011-Rtd=1"):
        assert decode_message(station("w01018.Rtd", "011.Rtd"), packet(cp)).values == {"m0": 2.0, "m1": 1.0}


@pytest.mark.parametrize(
    ("cp", "value", "flaw"),
    [
        pytest.param("w01018-Rtd=", None, Flaw(Quality.BAD, Reason.NO_VALUE), id="empty"),
        pytest.param("w01018-Rtd=x", None, Flaw(Quality.BAD, Reason.NOT_A_NUMBER), id="no number"),
        pytest.param("w01018-Rtd=x;w01018-Rtd=7", 7.0, None, id="the last one counts"),
        pytest.param(
            "w01018-Rtd=7;w01018-Rtd=x", None, Flaw(Quality.BAD, Reason.NOT_A_NUMBER), id="the last one counts, even so"
        ),
        pytest.param("w01018-Rtd=7,w01018-Flag=", 7.0, None, id="an empty flag is none"),
        pytest.param("w01018-Rtd=,w01018-Flag=S", None, Flaw(Quality.BAD, Reason.NO_VALUE), id="worse than its flag"),
    ],
)
def test_a_value_that_cannot_be_read_is_bad_for_its_own_reason(cp: str, value: float | None, flaw: Flaw | None) -> None:
    decoded = decode_message(station("w01018.Rtd"), packet(f"DataTime=20261121083000;{cp}"))
    assert decoded.values == {"m0": value}
    assert decoded.flaws.get("m0") == flaw


def test_times_are_of_the_profiles_zone() -> None:
    for hours in (8.0, 0.0, -3.5):
        decoded = decode_message(station("LA.Rtd", utc_offset_h=hours), packet("DataTime=20261121083000;LA-Rtd=50"))
        assert decoded.time_ns == MORNING_NS + round((8 - hours) * 3600) * SECOND_NS


@pytest.mark.parametrize("told", ["00010101000000", "99991231235959", "20240229000000"])
@pytest.mark.parametrize("hours", [-12.0, 8.0, 14.0])
def test_any_date_that_there_is_has_its_nanoseconds(told: str, hours: float) -> None:
    decoded = decode_message(station("LA.Rtd", utc_offset_h=hours), packet(f"DataTime={told};LA-Rtd=50"))
    utc = datetime.strptime(f"{told}+0000", "%Y%m%d%H%M%S%z")
    days = utc.toordinal() - datetime(1970, 1, 1, tzinfo=EIGHT).toordinal()
    seconds = days * 86400 + utc.hour * 3600 + utc.minute * 60 + utc.second - round(hours * 3600)
    assert decoded.time_ns == seconds * SECOND_NS


def test_a_scaled_value_has_no_dust_of_binary_fractions() -> None:
    flow = ItemField(metric="flow", item="w00000.Rtd", scaling=Scaling(scale=3.6))
    assert decode_message(station(flow), packet("w00000-Rtd=3.41")).values == {"flow": 12.276}


_NUMBER = st.floats(-9999, 9999, allow_nan=False).map(lambda value: round(value, 3))
_ITEM = st.sampled_from(["w01018.Rtd", "LA.Rtd", "w01018.Avg@2061", "Leq.Data@2061", "Ld.DayData@2031", "w00000.Cou", "SB1.RS"])


@given(st.dictionaries(_ITEM, _NUMBER, min_size=1), st.sampled_from(["2011", "2021", "2051", "2061", "2031"]))
def test_what_a_station_sends_reads_back(values: dict[str, float], cn: str) -> None:
    items = [*values]
    model = station(*items)
    sent = {f"m{at}": values[item] for at, item in enumerate(items)}
    groups = message_groups(model, sent, cn, MORNING)
    frames = encode_messages(Head(st="23", cn=cn, mn="1", pw="123456", qn="20261121083000000"), groups)
    said = [parse_segment(item.segment) for raw in frames for item in Hj212Framer().feed(raw) if isinstance(item, Frame)]
    decoded = decode_message(model, said[0])
    assert decoded.values.items() <= sent.items()
    assert not decoded.flaws
    carried = {"2011": {"Rtd"}, "2021": {"RS"}}.get(cn, {"Avg", "Data", "DayData", "Cou"})
    of_command = {m for m, item in zip(sent, items, strict=True) if item.partition("@")[2] in {"", cn}}
    assert decoded.values.keys() == {m for m in of_command if items[int(m[1:])].split(".")[1].split("@")[0] in carried}
    assert decoded.time_ns == (MORNING_NS if len(groups) else None)


def test_packets_waited_for_are_settled_alone_and_those_with_a_date_only() -> None:
    reassembler = Reassembler()
    cut = "QN={qn};ST=32;CN=2061;PW=1;MN=1;Flag={flag};PNUM=2;PNO=1;CP=&&{cp}&&"
    dated = "DataTime=20261121080000;w01018-Avg=1"
    for qn, flag, cp in (("1", 7, dated), ("2", 6, dated.replace("08", "09")), ("3", 7, "w01018-Avg=3")):
        assert reassembler.add(parse_segment(cut.format(qn=qn, flag=flag, cp=cp).encode()), 0) is None
    assert reassembler.settle(SECOND_NS // 2, 1.0, answer_wanted=True) == []
    (asked,) = reassembler.settle(SECOND_NS, 1.0, answer_wanted=True)
    assert (asked.qn, asked.pnum, [part.pno for part in asked.parts]) == ("1", None, [1])
    (unasked,) = reassembler.settle(SECOND_NS, 1.0, answer_wanted=False)
    assert unasked.qn == "2"
    assert reassembler.unfinished == 1
    assert len(reassembler.expire(200 * SECOND_NS)) == 1
    assert reassembler.held_bytes == 0


@given(st.text("0123456789abc", min_size=1, max_size=24), st.binary(max_size=30), st.sampled_from([b"PW", b"NewPW", b"NewSK"]))
def test_a_password_is_starred_out_wherever_it_stands(secret: str, noise: bytes, name: bytes) -> None:
    noise = noise.replace(b"=", b"")
    shown = without_secrets(noise + b";" + name + b"=" + secret.encode() + b";MN=" + b"1" * 24)
    assert shown == noise + b";" + name + b"=***;MN=" + b"1" * 24
    whole = framed(b"CN=1072;" + name + b" = " + secret.encode() + b",MN=1;CP=&&NewPW=" + secret.encode() + b"&&")
    assert without_secrets(whole).count(b"***") == 2


def test_a_profile_of_another_language_is_told() -> None:
    other = profile(Wire(), metric("m0"))
    with pytest.raises(ParseError) as refusal:
        decode_message(other, packet("LA-Rtd=1"))
    assert refusal.value.reason is Reason.UNKNOWN_PROFILE
    with pytest.raises(ParseError) as refusal:
        element_values(other, {})
    assert refusal.value.reason is Reason.UNKNOWN_PROFILE


# --- SL 651 ----------------------------------------------------------------------------------------------------------

GAUGE = Station(address="3101150301")
SENT = {"serial": 1, "sent": "2026-11-21T09:00:10"}


def gauge(*fields: ItemField, booleans: Sequence[str] = ()) -> Profile:
    metrics = (metric(field.metric, MetricType.BOOLEAN if field.metric in booleans else MetricType.FLOAT) for field in fields)
    return profile(Wire(sl651=Sl651Wire(items=fields)), *metrics)


LEVEL = ItemField(metric="level_cm", item="Z", scaling=Scaling(scale=100))
RAIN = ItemField(metric="rain_5min", item="DRP")
STATUS = gauge(
    LEVEL,
    ItemField(metric="mains", item="ZT", scaling=Scaling(bit=0, invert=True)),
    ItemField(metric="door", item="ZT", scaling=Scaling(bit=7, invert=True)),
    booleans=("mains", "door"),
)


@pytest.mark.parametrize("text", [False, True])
def test_the_polarity_of_status_bits_is_the_profiles(text: bool) -> None:
    # Table 58: bit 0 mains lost; bit 7 is 0 with the door open.
    said = Station(address="3101150301", text=text)
    for word, mains, door in ((0x480, True, False), (0x401, False, True)):
        raw = report(said, 0x33, {"river_level": 0.29, "station_status": word}, observed="2026-11-21T09:00", **SENT)  # type: ignore[arg-type]
        (decoded,) = decode_report(STATUS, body_of(parse_frame(raw)))
        assert decoded.values == {"level_cm": 29.0, "mains": mains, "door": door}
    assert element_values(STATUS, {"level_cm": 29.0, "mains": False, "door": True}) == {"river_level": 0.29, "station_status": 1}


@pytest.mark.parametrize("text", [False, True])
def test_one_instant_is_one_reading_and_others_are_others_oldest_first(text: bool) -> None:
    said = Station(address="3101150301", text=text)
    rain: list[float | None] = [0.5, *[0.0] * 10, None]
    instants = {"2026-11-21T09:00": {"river_level": 1.5}, "2026-11-21T08:05": {"rain_5min_series": rain}}
    raw = reports(said, 0x34, instants, **SENT)  # type: ignore[arg-type]
    decoded = decode_report(gauge(LEVEL, RAIN), body_of(parse_frame(raw)))
    first = MORNING_NS - 25 * 60 * SECOND_NS
    assert [each.time_ns for each in decoded] == [first + number * 300 * SECOND_NS for number in range(12)]
    assert (decoded[0].values, decoded[-1].values) == ({"rain_5min": 0.5}, {"rain_5min": None, "level_cm": 150.0})
    assert decoded[-1].flaws == {"rain_5min": Flaw(Quality.BAD, Reason.NO_VALUE)}


def test_a_series_without_a_time_step_is_not_dated() -> None:
    body = body_of(parse_frame(report(Station(address="1", text=True), 0x33, {}, observed="2026-11-21T09:00", **SENT)))  # type: ignore[arg-type]
    assert decode_report(gauge(LEVEL), body) == ()
    raw = _ascii_report(b"Z 1.0 2.0 3.0 ")
    (decoded,) = decode_report(gauge(LEVEL), body_of(parse_frame(raw)))
    assert decoded.values == {"level_cm": 300.0}
    assert decoded.flaws == {"level_cm": UNTIMED}
    (dated, *_) = stepped = decode_report(gauge(LEVEL), body_of(parse_frame(_ascii_report(b"DRN20 Z 1.0 2.0 3.0 "))))
    assert [each.values["level_cm"] for each in stepped] == [100.0, 200.0, 300.0]
    assert dated.flaws == {}
    assert [(each.time_ns or 0) - (dated.time_ns or 0) for each in stepped] == [0, 1200 * SECOND_NS, 2400 * SECOND_NS]


def _ascii_report(elements: bytes) -> bytes:
    body = b"0001261121090010ST 3101150301 H TT 2611210900 " + elements
    return encode_frame(0x33, body, station="3101150301", text=True)


def test_an_element_behind_a_time_that_cannot_be_read_does_not_take_the_time_before_it() -> None:
    body = "0001 261121090010 f1f1 3101150301 48 f0f0 2611210800 3923 00001000 f0f0 2613990800 3812 1200"
    both = gauge(LEVEL, ItemField(metric="supply_v", item="VT"))
    readings = decode_report(both, body_of(parse_frame(encode_frame(0x32, bytes.fromhex(body), station="3101150301"))))
    level, supply = readings
    assert level.time_ns == MORNING_NS - 1800 * SECOND_NS
    assert (level.values, level.flaws) == ({"level_cm": 100.0}, {})
    assert supply.time_ns == MORNING_NS + (1800 + 10) * SECOND_NS, "the time of sending"
    assert supply.flaws == {"supply_v": UNTIMED}


@given(st.integers(-9_999, 99_999), st.booleans(), st.integers(-12, 14))
def test_a_level_reads_back_to_the_millimetre_in_both_encodings_and_any_zone(millimetres: int, text: bool, hours: int) -> None:
    model = profile(Wire(sl651=Sl651Wire(items=(LEVEL,), utc_offset_h=float(hours))), metric("level_cm"))
    sent = {"level_cm": millimetres / 10}
    raw = report(
        Station(address="3101150301", text=text),
        0x32,
        element_values(model, sent),
        observed="2026-11-21T08:30",
        **SENT,  # type: ignore[arg-type]
    )
    (decoded,) = decode_report(model, body_of(parse_frame(raw)))
    assert decoded.values == {"level_cm": pytest.approx(millimetres / 10, abs=1e-9)}
    assert decoded.time_ns == MORNING_NS + (8 - hours) * 3600 * SECOND_NS


def test_an_element_of_a_province_is_named_by_its_identifier() -> None:
    own = gauge(ItemField(metric="own", item="FF12"))
    body = "0001 261121090010 f1f1 3101150301 48 f0f0 2611210900 ff12 11 1234"
    (decoded,) = decode_report(own, body_of(parse_frame(encode_frame(0x32, bytes.fromhex(body), station="3101150301"))))
    assert decoded.values == {"own": 123.4}
    with pytest.raises(ParseError) as refusal:
        element_values(own, {"own": 1.0})
    assert refusal.value.reason is Reason.UNKNOWN_METRIC
