"""Publications in the form that a profile names, words of presence, and the texts and clocks of documents."""

import json

import cbor2
import pytest
from bridge_profiles import metric, profile
from fuzz_publications import fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.quantities import MetricType, Scaling
from device_profiles.wires import Wire
from device_profiles.wires.documents import DocumentField, TimeField, TimeUnit
from device_profiles.wires.items import ItemField
from device_profiles.wires.mqtt import Form, MqttTopic, Presence, Several
from device_profiles.wires.mqtt_orders import PublishOrder
from firmware_bridge.errors import ParseError
from firmware_bridge.publications import (
    decode_publication,
    elements,
    encode_presence,
    encode_publication,
    parse_publication,
    read_presence,
)
from telemetry.reason import Reason

NS = 1_000_000_000
NOW_NS = 1_795_142_400 * NS
BIN = profile(Wire(), metric("fill_level_pct"), metric("open", MetricType.BOOLEAN), metric("mode", MetricType.STRING))
FIELDS = (
    DocumentField(metric="fill_level_pct", path=("f",), scaling=Scaling(scale=0.1)),
    DocumentField(metric="open", path=("lid",), words={"ON": True, "OFF": False}),
    DocumentField(metric="mode", path=("m",)),
)
ITEMS = (ItemField(metric="fill_level_pct", item="fill"), ItemField(metric="open", item="lid"))


def refusal(read: object, *args: object) -> Reason:
    with pytest.raises(ParseError) as error:
        read(*args)  # type: ignore[operator]
    return error.value.reason


def read(topic: MqttTopic, payload: bytes, address: str = "b-1", received_ns: int | None = NOW_NS) -> list[tuple[object, object]]:
    parsed = parse_publication(topic.form, payload)
    return [(each.values, each.time_ns) for each in decode_publication(BIN, topic, parsed, address, received_ns)]


# Documents


@pytest.mark.parametrize(
    ("said", "value"),
    [("ON", True), ("OFF", False), (True, True), (0, False), ("AJAR", Reason.NOT_IN_ENUM), (None, Reason.NO_VALUE)],
)
def test_a_word_means_what_the_profile_says_and_other_forms_go_on(said: object, value: object) -> None:
    topic = MqttTopic(topic="t", fields=FIELDS)
    (decoded,) = decode_publication(BIN, topic, {"lid": said}, "b-1", NOW_NS)
    flaw = decoded.flaws.get("open")
    assert (flaw.reason if flaw else decoded.values["open"]) == value


@pytest.mark.parametrize(
    ("text", "zone", "seconds"),
    [
        pytest.param("2026-11-20T10:40:00", 480, 1_795_142_400, id="a local time where the zone is known"),
        pytest.param("2026-11-19T23:10:00", -210, 1_795_142_400, id="west of Greenwich"),
        pytest.param("2026-11-20T02:40:00Z", 480, 1_795_142_400, id="a zone of its own counts"),
        pytest.param("2026-11-20T10:40:00", None, None, id="a local time of nobody knows where"),
    ],
)
def test_a_time_without_a_zone_is_placed_by_the_profile(text: str, zone: int | None, seconds: int | None) -> None:
    topic = MqttTopic(topic="t", fields=FIELDS, time=TimeField(path=("Time",), unit=TimeUnit.ISO8601, zone_minutes=zone))
    ((_, time_ns),) = read(topic, json.dumps({"Time": text, "f": 7}).encode())
    assert time_ns == (None if seconds is None else seconds * NS)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"23.5", 23.5),
        (b" 7 ", 7),
        (b"-0.25", -0.25),
        (b"n/a", Reason.WRONG_TYPE),
        (b"", Reason.WRONG_TYPE),
        (b"null", Reason.NO_VALUE),
    ],
)
def test_a_bare_value_is_a_number_or_a_word(payload: bytes, value: object) -> None:
    topic = MqttTopic(topic="t", form=Form.PLAIN, fields=(DocumentField(metric="fill_level_pct", path=()),))
    (decoded,) = decode_publication(BIN, topic, parse_publication(Form.PLAIN, payload), "b-1", NOW_NS)
    flaw = decoded.flaws.get("fill_level_pct")
    assert (flaw.reason if flaw else decoded.values["fill_level_pct"]) == value


def test_a_bare_value_is_no_list_and_not_long() -> None:
    assert refusal(parse_publication, Form.PLAIN, b"[1]") is Reason.BAD_FIELD
    assert refusal(parse_publication, Form.PLAIN, b"\xff\xfe") is Reason.BAD_FIELD
    assert refusal(parse_publication, Form.PLAIN, b"x" * 1025) is Reason.OVERSIZED


def test_many_devices_are_told_apart_at_the_root_or_below() -> None:
    root = Several(path=(), identity=("mac",))
    below = Several(path=("d", 0), identity=("id", "n"))
    assert list(elements([{"mac": "a"}, 7], root)) == [("a", {"mac": "a"}), (None, 7)]
    assert [who for who, _ in elements({"d": [[{"id": {"n": 5}}]]}, below)] == ["5"]
    assert refusal(lambda: list(elements({"d": 1}, below))) is Reason.BAD_FIELD


# SenML


def senml(*records: dict[str, object]) -> bytes:
    return json.dumps(records).encode()


SENML = MqttTopic(topic="t", form=Form.SENML, items=ITEMS, base="bin:{address}:")


def test_records_under_the_base_name_become_readings_by_their_times() -> None:
    pack = senml(
        {"bn": "bin:b-1:", "bt": 1_795_142_400, "n": "fill", "v": 62},
        {"n": "lid", "vb": True},
        {"n": "fill", "v": 60, "t": -3600},
        {"n": "other", "v": 1},
        {"bn": "bin:b-10:", "n": "fill", "v": 5},
    )
    assert read(SENML, pack) == [({"fill_level_pct": 60.0}, NOW_NS - 3600 * NS), ({"fill_level_pct": 62.0, "open": True}, NOW_NS)]
    assert read(SENML, pack, "b-10") == [({"fill_level_pct": 5.0}, NOW_NS)]
    assert read(SENML, pack, "b-2") == []


def test_a_relative_time_counts_from_the_arrival_and_from_nothing_in_a_kept_payload() -> None:
    pack = senml({"n": "bin:b-1:fill", "v": 1, "t": -60}, {"n": "bin:b-1:lid", "vb": False})
    assert read(SENML, pack) == [({"fill_level_pct": 1.0}, NOW_NS - 60 * NS), ({"open": False}, None)]
    assert read(SENML, pack, received_ns=None) == [({"fill_level_pct": 1.0, "open": False}, None)]


def test_a_sum_alone_is_not_its_names_value() -> None:
    assert read(SENML, senml({"n": "bin:b-1:fill", "s": 120.5})) == []


def test_a_number_that_is_not_finite_is_no_value() -> None:
    topic = MqttTopic(topic="t", form=Form.SENML_CBOR, items=ITEMS, base="")
    parsed = parse_publication(Form.SENML_CBOR, cbor2.dumps([{0: "fill", 2: float("nan")}]))
    (decoded,) = decode_publication(BIN, topic, parsed, "b-1", NOW_NS)
    assert decoded.flaws["fill_level_pct"].reason is Reason.NO_VALUE


# Presence


WILL = Presence(topic="t", online="Online", offline="Offline")
AVAILABILITY = Presence(topic="t", path=("state",))


@pytest.mark.parametrize(
    ("presence", "payload", "there"),
    [
        (WILL, b"Online", True),
        (WILL, b"Offline", False),
        (WILL, b"", None),
        (Presence(topic="t", online="1", offline="0"), b"0", False),
        (AVAILABILITY, b'{"state":"online"}', True),
        (AVAILABILITY, b'{"state":"offline"}', False),
        (AVAILABILITY, b"offline", False),
        (AVAILABILITY, b'"online"', True),
        (Presence(topic="t", online="1", offline="0", path=("up",)), b'{"up":1}', True),
    ],
)
def test_a_word_of_presence_is_read_bare_and_in_a_document(presence: Presence, payload: bytes, there: bool | None) -> None:
    assert read_presence(presence, payload) is there


@pytest.mark.parametrize("payload", [b"online", b"perhaps", b"true", b"7"])
def test_any_other_word_of_presence_is_refused(payload: bytes) -> None:
    assert refusal(read_presence, WILL, payload) is Reason.NOT_IN_ENUM


def test_a_document_without_the_word_is_refused() -> None:
    assert refusal(read_presence, AVAILABILITY, b'{"status":"online"}') is Reason.NOT_IN_ENUM
    assert refusal(read_presence, AVAILABILITY, b'{"state":') is Reason.NOT_JSON
    assert read_presence(AVAILABILITY, encode_presence(AVAILABILITY, online=False)) is False
    assert read_presence(WILL, encode_presence(WILL, online=True)) is True


# Orders


@pytest.mark.parametrize(
    ("order", "value", "text", "word"),
    [
        (PublishOrder(topic="t"), 1.0, "1", "1"),
        (PublishOrder(topic="t", words={1: "ON"}), 1.0, "ON", "ON"),
        (PublishOrder(topic="t", words={1: "ON"}), 1.5, "1.5", "1.5"),
        (PublishOrder(topic="t", payload='{"s":{value}}'), 60.0, '{"s":60}', "60"),
    ],
)
def test_an_order_says_its_argument_as_a_number_or_a_word(order: PublishOrder, value: float, text: str, word: str) -> None:
    assert order.text(value) == (text, word)


# Promises


@given(
    fill=st.integers(0, 1000),
    is_open=st.booleans(),
    mode=st.text(min_size=1, max_size=20).filter(str.isprintable),
    form=st.sampled_from([Form.JSON, Form.CBOR]),
    each=st.sampled_from([None, Several(path=(), identity=("mac",)), Several(path=("a", "b"), identity=("who", "n"))]),
    seconds=st.integers(1, 4_000_000_000),
)
def test_values_survive_a_document(fill: int, is_open: bool, mode: str, form: Form, each: Several | None, seconds: int) -> None:
    topic = MqttTopic(topic="t", form=form, fields=FIELDS, time=TimeField(path=("ts",)), each=each)
    values = {"fill_level_pct": fill / 10, "open": is_open, "mode": mode}
    parsed = parse_publication(form, encode_publication(BIN, topic, values, "b-1", seconds * NS))
    if each is not None:
        ((address, parsed),) = elements(parsed, each)
        assert address == "b-1"
    (decoded,) = decode_publication(BIN, topic, parsed, "b-1", NOW_NS)
    assert (decoded.values, decoded.time_ns) == (values, seconds * NS)


@given(
    fill=st.floats(-1e6, 1e6),
    is_open=st.booleans(),
    form=st.sampled_from([Form.SENML, Form.SENML_CBOR]),
    ms=st.integers(10**12, 4 * 10**12),
)
def test_values_survive_a_pack(fill: float, is_open: bool, form: Form, ms: int) -> None:
    topic = MqttTopic(topic="t", form=form, items=ITEMS, base="bin:{address}:")
    payload = encode_publication(BIN, topic, {"fill_level_pct": fill, "open": is_open}, "b-1", ms * 1_000_000)
    assert read(topic, payload) == [({"fill_level_pct": fill, "open": is_open}, ms * 1_000_000)]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    fuzz_one(data)
