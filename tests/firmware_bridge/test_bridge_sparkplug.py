"""Sparkplug B: bytes written down from sparkplug_b.proto by hand, and the life of an edge node."""

import struct

import pytest
from fuzz_sparkplug import fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError
from firmware_bridge.sparkplug.payload import (
    MAX_BYTES,
    MAX_METRICS,
    DataType,
    Metric,
    Payload,
    Raw,
    encode_payload,
    parse_payload,
    typed,
    value_of,
)
from firmware_bridge.sparkplug.record import LANGUAGE
from firmware_bridge.sparkplug.session import NodeSession, Outcome, rebirth_request
from firmware_bridge.sparkplug.topics import Kind, Place, node_topic, parse_topic, subscriptions
from telemetry.reason import Reason


def refusal(read: object, *args: object) -> Reason:
    with pytest.raises(ParseError) as error:
        read(*args)  # type: ignore[operator]
    return error.value.reason


# Bytes by hand. A field is (number << 3 | wire type) and its value; 1795142400000 ms is 2026-11-20T02:40:00Z, as a varint
# groups of seven bits, the lowest first.

NOW = "80f0ccb69f34"
NOW_MS = 1_795_142_400_000

NBIRTH = bytes.fromhex(
    "08" + NOW  # 1 timestamp
    + "120b"  # 2 metric of 11 bytes
    + "0a05" + "6264536571"  # 1 name: bdSeq
    + "2008"  # 4 datatype: UInt64
    + "5807"  # 11 long_value: 7
    + "1800"  # 3 seq: 0
)  # fmt: skip


def test_a_number_of_the_clock_is_written_down_right() -> None:
    """The varint above, taken apart by arithmetic."""
    groups = bytes.fromhex(NOW)
    assert sum((byte & 0x7F) << 7 * n for n, byte in enumerate(groups)) == NOW_MS


def test_a_birth_written_by_hand_is_read() -> None:
    payload = parse_payload(NBIRTH)
    (metric,) = payload.metrics
    assert (payload.timestamp_ms, payload.seq) == (NOW_MS, 0)
    assert (metric.name, metric.datatype, metric.timestamp_ms, value_of(metric)) == ("bdSeq", 8, None, 7)


@pytest.mark.parametrize(
    ("datatype", "field", "value"),
    [
        pytest.param(DataType.INT8, "50 fe ff ff ff 0f", -2, id="a negative Int8 sign-extended to its field"),
        pytest.param(DataType.INT8, "50 fe 01", -2, id="a negative Int8 in eight bits"),
        pytest.param(DataType.INT16, "50 d8 ef 03", -2088, id="a negative Int16 in sixteen bits"),
        pytest.param(DataType.INT32, "50 ff ff ff ff 0f", -1, id="Int32"),
        pytest.param(DataType.INT32, "50 ff ff ff ff ff ff ff ff ff 01", -1, id="Int32 in ten bytes, as a careless writer does"),
        pytest.param(DataType.INT64, "58 ff ff ff ff ff ff ff ff ff 01", -1, id="Int64"),
        pytest.param(DataType.UINT8, "50 ff 01", 255, id="UInt8"),
        pytest.param(DataType.UINT16, "50 ff ff 03", 65535, id="UInt16"),
        pytest.param(DataType.UINT32, "50 ff ff ff ff 0f", 4294967295, id="UInt32 in an int_value"),
        pytest.param(DataType.UINT32, "58 ff ff ff ff 0f", 4294967295, id="UInt32 in a long_value"),
        pytest.param(DataType.UINT64, "58 ff ff ff ff ff ff ff ff ff 01", 2**64 - 1, id="UInt64"),
        pytest.param(DataType.FLOAT, "65 33 33 bb 41", 23.4, id="Float means the shortest decimal of its four bytes"),
        pytest.param(DataType.DOUBLE, "69 00 00 00 00 00 00 f8 3f", 1.5, id="Double"),
        pytest.param(DataType.BOOLEAN, "70 01", True, id="Boolean"),
        pytest.param(DataType.STRING, "7a 02 6f 6b", "ok", id="String"),
        pytest.param(DataType.DATETIME, "58" + NOW, NOW_MS, id="DateTime in milliseconds"),
        pytest.param(DataType.BYTES, "82 01 02 00 ff", b"\x00\xff", id="Bytes"),
    ],
)
def test_a_value_of_each_datatype_written_by_hand_is_read(datatype: DataType, field: str, value: object) -> None:
    body = bytes.fromhex("0a0178" + f"20{datatype:02x}" + field.replace(" ", ""))
    (metric,) = parse_payload(b"\x12" + bytes([len(body)]) + body).metrics
    read = value_of(metric)
    assert (read, type(read)) == (value, type(value))


def test_null_historical_and_transient_marks_are_read() -> None:
    body = bytes.fromhex("1005 2801 3001 3801".replace(" ", ""))
    (metric,) = parse_payload(b"\x12" + bytes([len(body)]) + body).metrics
    assert (metric.alias, metric.is_historical, metric.is_transient, metric.is_null) == (5, True, True, True)
    assert value_of(metric, DataType.INT32) is None


def test_metadata_properties_and_what_others_add_are_passed_over() -> None:
    # 8 metadata, 9 properties, 10 int_value 7, field 100; around it 4 uuid, 5 body, field 6, and field 8 in four bytes.
    body = bytes.fromhex("0a0161 2001 42020801 4a00 5007 a20600".replace(" ", ""))
    others = bytes.fromhex("2203616263 2a0100 320100 4500000000".replace(" ", ""))
    payload = parse_payload(b"\x12" + bytes([len(body)]) + body + others)
    assert value_of(payload.metrics[0]) == 7
    assert payload.uuid == "abc"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param("12 05 0a 05 61", Reason.TRUNCATED, id="a message that promises more than there is"),
        pytest.param("12 02 0a 05", Reason.TRUNCATED, id="a text that leaves its metric"),
        pytest.param("08 80", Reason.TRUNCATED, id="a number without an end"),
        pytest.param("08" + "80" * 10 + "01", Reason.BAD_FIELD, id="a number of eleven bytes"),
        pytest.param("00 01", Reason.BAD_FIELD, id="field 0"),
        pytest.param("0b", Reason.BAD_FIELD, id="a group"),
        pytest.param("10 01", Reason.BAD_FIELD, id="a metric that is a number"),
        pytest.param("0a 01 61", Reason.BAD_FIELD, id="a timestamp that is a text"),
        pytest.param("12 03 0a 01 ff", Reason.BAD_FIELD, id="a name that is not UTF-8"),
        pytest.param("12 03 52 01 00", Reason.BAD_FIELD, id="an int_value that is bytes"),
    ],
)
def test_a_damaged_payload_is_refused_with_its_reason(raw: str, reason: Reason) -> None:
    assert refusal(parse_payload, bytes.fromhex(raw.replace(" ", ""))) is reason


def test_a_payload_is_bounded_in_bytes_metrics_and_names() -> None:
    assert refusal(parse_payload, bytes(MAX_BYTES + 1)) is Reason.OVERSIZED
    assert refusal(parse_payload, b"\x12\x00" * (MAX_METRICS + 1)) is Reason.OVERSIZED
    assert refusal(parse_payload, b"\x12\x84\x02\x0a\x81\x02" + b"x" * 257) is Reason.OVERSIZED


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        pytest.param(Metric(datatype=DataType.INT8, raw=Raw(10, 300)), Reason.OUT_OF_RANGE, id="300 in an Int8"),
        pytest.param(Metric(datatype=DataType.UINT8, raw=Raw(10, 256)), Reason.OUT_OF_RANGE, id="256 in a UInt8"),
        pytest.param(Metric(datatype=DataType.BOOLEAN, raw=Raw(10, 1)), Reason.WRONG_TYPE, id="a Boolean in an int_value"),
        pytest.param(Metric(datatype=DataType.TEMPLATE, raw=Raw(18, b"")), Reason.WRONG_TYPE, id="a Template"),
        pytest.param(Metric(datatype=99, raw=Raw(10, 1)), Reason.WRONG_TYPE, id="a datatype of tomorrow"),
        pytest.param(Metric(raw=Raw(10, 1)), Reason.WRONG_TYPE, id="no datatype at all"),
    ],
)
def test_a_value_that_its_datatype_does_not_hold_is_refused(metric: Metric, reason: Reason) -> None:
    assert refusal(value_of, metric) is reason


# Topics


def test_topics_name_their_place() -> None:
    assert parse_topic("spBv1.0/poles/DDATA/gw1/air") == Place(Kind.DDATA, "poles/gw1", "air")
    assert parse_topic("spBv1.0/poles/NDEATH/gw1").address == "poles/gw1"
    assert node_topic(Kind.NCMD, "poles/gw1") == "spBv1.0/poles/NCMD/gw1"
    assert subscriptions("poles/gw1") == ("spBv1.0/poles/+/gw1", "spBv1.0/poles/+/gw1/+")


@pytest.mark.parametrize(
    "topic", ["spBv1.0/STATE/host", "spBv1.0/g/NDATA/n/d", "spBv1.0/g/DDATA/n", "spAv1.0/g/NDATA/n", "spBv1.0/g/NDATA/", "x"]
)
def test_what_is_no_topic_of_a_node_or_device_is_refused(topic: str) -> None:
    assert refusal(parse_topic, topic) is Reason.UNKNOWN_MESSAGE


# The life of a node


def metric(name: str = "", value: object = None, alias: int | None = None, at_ms: int | None = NOW_MS, **more: bool) -> Metric:
    kind = {bool: DataType.BOOLEAN, int: DataType.INT32, float: DataType.DOUBLE, str: DataType.STRING}.get(type(value))
    raw = None if value is None or kind is None else typed(value, kind)  # type: ignore[arg-type]
    datatype = kind if name else None
    return Metric(name=name, alias=alias, timestamp_ms=at_ms, datatype=datatype, raw=raw, is_null=value is None, **more)


def bdseq(number: int) -> Metric:
    return Metric(name="bdSeq", datatype=DataType.INT64, raw=typed(number, DataType.INT64))


class Node:
    """A node `g/n` with a device `d`, as a host sees it."""

    def __init__(self) -> None:
        self.session = NodeSession("g/n", ["d"])

    def say(self, kind: Kind, *metrics: Metric, seq: int | None = None, device: str = "d") -> Outcome:
        place = Place(kind, "g/n", device if kind.startswith("D") else "")
        # Over the wire and back: what a session sees is what a payload can say.
        return self.session.take(place, parse_payload(encode_payload(Payload(timestamp_ms=NOW_MS, metrics=metrics, seq=seq))))

    def be_born(self, number: int = 3) -> None:
        self.say(Kind.NBIRTH, bdseq(number), metric("Uptime", 5, alias=1), seq=0)
        self.say(Kind.DBIRTH, metric("T", 20.5, alias=10), metric("Door", False, alias=11), seq=1)


@pytest.fixture
def node() -> Node:
    born = Node()
    born.be_born()
    return born


def test_births_bring_values_and_say_who_is_there() -> None:
    node = Node()
    birth = node.say(Kind.NBIRTH, bdseq(3), metric("Node Control/Rebirth", False), metric("Uptime", 5, alias=1), seq=0)
    device = node.say(Kind.DBIRTH, metric("T", 20.5, alias=10), seq=1)
    assert (birth.there, device.there) == ({"g/n": True}, {"g/n/d": True})
    assert [spoken.items for spoken in (*birth.spoken, *device.spoken)] == [{"Uptime": 5}, {"T": 20.5}]
    assert device.spoken[0].time_ns == NOW_MS * 1_000_000
    assert birth.rebirth == device.rebirth == ""


def test_data_by_alias_has_the_births_name_and_datatype(node: Node) -> None:
    said = node.say(Kind.DDATA, metric(alias=10, value=None), metric(alias=11, value=True), seq=2)
    assert [spoken.items for spoken in said.spoken] == [{"T": None, "Door": True}]
    assert not said.refused


def test_an_alias_of_the_node_is_none_of_its_device(node: Node) -> None:
    said = node.say(Kind.DDATA, metric(alias=1, value=9), seq=2)
    assert (said.spoken, said.rebirth) == ((), "alias 1 was not born")
    assert [refused.reason for refused in said.refused] == [Reason.UNKNOWN_METRIC]


def test_metrics_of_one_message_are_grouped_by_their_own_times(node: Node) -> None:
    said = node.say(
        Kind.DDATA,
        metric(alias=10, value=21.0, at_ms=NOW_MS - 60_000, is_historical=True),
        metric(alias=10, value=22.0),
        metric(alias=11, value=True, at_ms=None),
        seq=2,
    )
    assert [(each.time_ns, each.historical, dict(each.items)) for each in said.spoken] == [
        ((NOW_MS - 60_000) * 1_000_000, True, {"T": 21.0}),
        (NOW_MS * 1_000_000, False, {"T": 22.0, "Door": True}),
    ]


def test_a_historical_value_without_a_time_is_of_nobody_knows_when(node: Node) -> None:
    said = node.say(Kind.DDATA, metric(alias=10, value=21.0, at_ms=None, is_historical=True), seq=2)
    assert [(dict(each.items), dict(each.unreadable)) for each in said.spoken] == [({}, {"T": Reason.IMPLAUSIBLE_TIME})]


def test_what_is_transient_is_not_kept(node: Node) -> None:
    assert node.say(Kind.DDATA, metric(alias=10, value=21.0, is_transient=True), seq=2).spoken == ()


def test_the_sequence_runs_to_255_and_round_again() -> None:
    node = Node()
    node.say(Kind.NBIRTH, bdseq(1), metric("Uptime", 5, alias=1), seq=0)
    for count in range(1, 300):
        assert node.say(Kind.NDATA, metric(alias=1, value=count), seq=count % 256).rebirth == ""


def test_a_gap_asks_for_a_rebirth_and_trusts_no_alias_until_it_comes(node: Node) -> None:
    said = node.say(Kind.DDATA, metric(alias=10, value=21.0), metric("Door", True, alias=11), seq=3)
    assert said.rebirth == "seq 3 after 1"
    assert [dict(each.items) for each in said.spoken] == [{"Door": True}]
    assert [refused.reason for refused in said.refused] == [Reason.UNKNOWN_METRIC]
    assert node.say(Kind.DDATA, metric(alias=10, value=21.0), seq=4).rebirth == "not heard since its birth"
    node.be_born(4)
    assert node.say(Kind.DDATA, metric(alias=10, value=21.0), seq=2).spoken[0].items == {"T": 21.0}


def test_an_alias_means_something_else_after_the_next_birth(node: Node) -> None:
    node.say(Kind.NBIRTH, bdseq(4), seq=0)
    node.say(Kind.DBIRTH, metric("Door", False, alias=10), metric("T", 20.5, alias=11), seq=1)
    assert node.say(Kind.DDATA, metric(alias=10, value=True), seq=2).spoken[0].items == {"Door": True}


def test_a_message_that_comes_twice_counts_once(node: Node) -> None:
    node.say(Kind.DDATA, metric(alias=10, value=21.0), seq=2)
    again = node.say(Kind.DDATA, metric(alias=10, value=21.0), seq=2)
    assert (again.spoken, [refused.reason for refused in again.refused]) == ((), [Reason.DUPLICATE])
    assert node.say(Kind.DDATA, metric(alias=10, value=21.5), seq=3).rebirth == ""


def test_a_host_that_comes_late_asks_for_a_birth() -> None:
    said = Node().say(Kind.DDATA, metric(alias=10, value=21.0), seq=77)
    assert (said.spoken, said.rebirth) == ((), "not heard since its birth")


def test_a_device_that_was_not_born_asks_its_node_to_be(node: Node) -> None:
    fresh = Node()
    fresh.say(Kind.NBIRTH, bdseq(1), seq=0)
    assert fresh.say(Kind.DDATA, metric("T", 1.0), seq=1).rebirth == "d was not born"


def test_the_death_of_a_node_takes_its_devices_and_an_older_one_nobody(node: Node) -> None:
    late = node.say(Kind.NDEATH, bdseq(2))
    assert (late.there, [refused.reason for refused in late.refused]) == ({}, [Reason.LATE])
    assert node.say(Kind.NDEATH, bdseq(3)).there == {"g/n": False, "g/n/d": False}
    assert node.say(Kind.DDATA, metric(alias=10, value=21.0), seq=2).spoken == ()


def test_the_death_of_a_device_leaves_its_node_alive(node: Node) -> None:
    assert node.say(Kind.DDEATH, seq=2).there == {"g/n/d": False}
    assert node.say(Kind.NDATA, metric(alias=1, value=6), seq=3).spoken[0].items == {"Uptime": 6}
    assert node.say(Kind.DDATA, metric(alias=10, value=6.0), seq=4).rebirth == "d was not born"


def test_what_nobody_listed_is_told_and_does_not_disturb_the_sequence(node: Node) -> None:
    said = node.say(Kind.DDATA, metric("T", 1.0), seq=2, device="other")
    assert [refused.reason for refused in said.refused] == [Reason.UNKNOWN_DEVICE]
    assert node.say(Kind.DDATA, metric(alias=10, value=21.0), seq=3).rebirth == ""


def test_a_lost_connection_makes_aliases_uncertain(node: Node) -> None:
    node.session.lose_touch()
    assert node.say(Kind.DDATA, metric(alias=10, value=21.0), seq=2).rebirth == "not heard since its birth"


def test_a_birth_of_too_many_metrics_is_not_remembered() -> None:
    node = Node()
    many = [metric(f"m{n}", n) for n in range(1500)]
    node.say(Kind.NBIRTH, bdseq(1), *many, seq=0)
    node.say(Kind.DBIRTH, *many, seq=1)
    session = NodeSession("g/n", ["d", "e", "f"])
    for seq, name in enumerate(("d", "e", "f"), start=1):
        if seq == 1:
            session.take(Place(Kind.NBIRTH, "g/n"), Payload(metrics=(bdseq(1),), seq=0))
        said = session.take(Place(Kind.DBIRTH, "g/n", name), Payload(metrics=tuple(many), seq=seq))
    assert said.rebirth == "born with more than 4096 metrics"


def test_the_request_for_a_rebirth_is_the_nodes_own_command() -> None:
    # sparkplug_b.proto by hand: timestamp, one metric of name, timestamp, datatype Boolean, boolean_value true.
    name = b"Node Control/Rebirth"
    body = b"\x0a" + bytes([len(name)]) + name + b"\x18" + bytes.fromhex(NOW) + b"\x20\x0b" + b"\x70\x01"
    assert rebirth_request(NOW_MS) == b"\x08" + bytes.fromhex(NOW) + b"\x12" + bytes([len(body)]) + body


def test_a_payload_is_shown_with_what_it_alone_can_tell() -> None:
    said = LANGUAGE.describe(
        encode_payload(Payload(timestamp_ms=NOW_MS, seq=4, metrics=(metric("T", 1.5), metric(alias=7, value=3))))
    )
    first, second = said["metrics"]  # type: ignore[misc]
    assert (said["protocol"], said["seq"], first["value"], first["datatype"]) == ("sparkplug-b", 4, 1.5, "double")
    assert (second["alias"], second["value"], second["refused"]) == (7, None, Reason.WRONG_TYPE)


# Promises


VALUES = (
    st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40)
)


@given(st.lists(VALUES, max_size=8), st.integers(0, 255))
def test_values_survive_a_payload(values: list[object], seq: int) -> None:
    payload = Payload(seq=seq, timestamp_ms=NOW_MS, metrics=tuple(metric(f"m{n}", value) for n, value in enumerate(values)))
    read = parse_payload(encode_payload(payload))
    assert [value_of(each) for each in read.metrics] == values
    assert read.seq == seq


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_reads_as_a_number_of_the_same_four_bytes(value: float) -> None:
    read = value_of(Metric(datatype=DataType.FLOAT, raw=typed(value, DataType.FLOAT)))
    assert struct.pack("<f", read) == struct.pack("<f", value)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    fuzz_one(data)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5), st.binary(max_size=12)), max_size=6))
def test_anything_that_looks_like_a_metric_is_read_or_refused(fields: list[tuple[int, int, bytes]]) -> None:
    body = b"".join(bytes([number << 3 & 0x7F | wire]) + bytes([len(data)]) * (wire == 2) + data for number, wire, data in fields)
    fuzz_one(b"\x12" + bytes([len(body)]) + body + b"\x18\x01" if len(body) < 128 else body)
