"""JSON and CBOR documents: bounded parsing, fields by path, times, and the way back."""

import json
import math

import cbor2
import pytest
from bridge_profiles import document_profile, field, metric
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.quantities import MetricType, Scaling
from device_profiles.wires.documents import DocumentField, TimeField, TimeUnit
from firmware_bridge.documents import CBOR, JSON, decode_document, encode_document, identity, parse_document, read_time
from firmware_bridge.errors import ParseError
from firmware_bridge.values import apply_scaling
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

PROFILE = document_profile(
    metric("level_cm"),
    metric("open", MetricType.BOOLEAN),
    metric("count", MetricType.INTEGER),
    metric("mode", MetricType.STRING),
)
FIELDS = (field("water.level_cm", Scaling(scale=0.1)), field("open"), field("counts.1.count"), field("mode"))


@pytest.mark.parametrize(
    ("payload", "reason", "at"),
    [
        pytest.param(b"", Reason.NOT_JSON, 0, id="nothing"),
        pytest.param(b'{"a":1', Reason.NOT_JSON, 6, id="an object cut off"),
        pytest.param(b'{"a":\xff}', Reason.NOT_JSON, 5, id="not UTF-8"),
        pytest.param(b'{"a":NaN}', Reason.NOT_JSON, None, id="NaN"),
        pytest.param(b"[-Infinity]", Reason.NOT_JSON, None, id="infinity"),
        pytest.param(b"[1e999]", Reason.NOT_JSON, None, id="a float beyond floats"),
        pytest.param(b"[" + b"9" * 5000 + b"]", Reason.NOT_JSON, None, id="five thousand digits"),
        pytest.param(b'{"a":1,"a":2}', Reason.NOT_JSON, None, id="a key that stands there twice"),
        pytest.param(b'{"a":"\\ud800"}', Reason.NOT_JSON, None, id="half a surrogate pair"),
        pytest.param(b"[" * 17 + b"]" * 17, Reason.OVERSIZED, 16, id="nested too deep"),
        pytest.param(b"[" * 60_000, Reason.OVERSIZED, 16, id="nested far too deep"),
        pytest.param(b" " * 65_537, Reason.OVERSIZED, 65_536, id="too long"),
        pytest.param(b'{"a":1} {', Reason.NOT_JSON, 8, id="something behind it"),
    ],
)
def test_json_that_is_none(payload: bytes, reason: Reason, at: int | None) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_document(payload, JSON)
    assert (refusal.value.reason, refusal.value.at) == (reason, at)


def test_brackets_within_a_text_are_no_nesting() -> None:
    assert parse_document(json.dumps({"a": '[[[[\\"' * 20}).encode(), JSON) == {"a": '[[[[\\"' * 20}


# RFC 8949, appendix A.
CBOR_EXAMPLES = {
    "00": 0,
    "1903e8": 1000,
    "3903e7": -1000,
    "f93e00": 1.5,
    "fa47c35000": 100000.0,
    "fb3ff199999999999a": 1.1,
    "f5": True,
    "f6": None,
    "6449455446": "IETF",
    "83010203": [1, 2, 3],
    "a26161016162820203": {"a": 1, "b": [2, 3]},
    "9fff": [],
    "bf61610161629f0203ffff": {"a": 1, "b": [2, 3]},
    "7f657374726561646d696e67ff": "streaming",
}


@pytest.mark.parametrize(("text", "want"), CBOR_EXAMPLES.items())
def test_the_standards_cbor_examples(text: str, want: object) -> None:
    assert parse_document(bytes.fromhex(text), CBOR) == want


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param("", Reason.TRUNCATED, id="nothing"),
        pytest.param("a1", Reason.TRUNCATED, id="a map without its entry"),
        pytest.param("9bffffffffffffffff", Reason.TRUNCATED, id="a list of 2**64 - 1 entries"),
        pytest.param("7bffffffffffffffff", Reason.TRUNCATED, id="a text of 2**64 - 1 bytes"),
        pytest.param("9f" * 60_000, Reason.OVERSIZED, id="nested far too deep"),
        pytest.param("a2616101616102", Reason.NOT_CBOR, id="a key that stands there twice"),
        pytest.param("c11a514b67b0", Reason.NOT_CBOR, id="a tag"),
        pytest.param("0000", Reason.NOT_CBOR, id="something behind it"),
        pytest.param("bf00ff", Reason.NOT_CBOR, id="a key without its value"),
        pytest.param("ff", Reason.NOT_CBOR, id="a break outside"),
        pytest.param("61ff", Reason.NOT_CBOR, id="a text that is not UTF-8"),
        pytest.param("1c", Reason.NOT_CBOR, id="reserved additional information"),
    ],
)
def test_cbor_that_is_none(payload: str, reason: Reason) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_document(bytes.fromhex(payload), CBOR)
    assert refusal.value.reason is reason


def test_another_content_format_is_not_read() -> None:
    with pytest.raises(ParseError) as refusal:
        parse_document(b"{}", 0)
    assert refusal.value.reason is Reason.UNKNOWN_MESSAGE


@given(st.binary(max_size=300), st.sampled_from([JSON, CBOR]))
def test_any_bytes_are_a_document_or_refused(payload: bytes, content_format: int) -> None:
    try:
        document = parse_document(payload, content_format)
    except ParseError:
        return
    decode_document(PROFILE, FIELDS, TimeField(path=("t",)), document)
    identity(document, ("id",))


def test_fields_are_found_by_path_and_scaled() -> None:
    document = parse_document(b'{"water":{"level_cm":123},"open":true,"counts":[{},{"count":4}],"mode":"night"}', JSON)
    assert decode_document(PROFILE, FIELDS, None, document).values == {
        "level_cm": 12.3,
        "open": True,
        "count": 4,
        "mode": "night",
    }


def test_a_path_that_leads_nowhere_leaves_its_metric_out_and_null_is_no_value() -> None:
    decoded = decode_document(PROFILE, FIELDS, None, {"open": None, "water": 5, "counts": [1]})
    assert decoded.values == {"open": None}
    assert decoded.flaws == {"open": Flaw(Quality.BAD, Reason.NO_VALUE)}


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        pytest.param("level_cm", "12", Reason.WRONG_TYPE, id="text where a number is wanted"),
        pytest.param("level_cm", True, Reason.WRONG_TYPE, id="a boolean is no number"),
        pytest.param("level_cm", {"v": 1}, Reason.WRONG_TYPE, id="an object is no number"),
        pytest.param("level_cm", math.nan, Reason.NOT_A_NUMBER, id="NaN out of CBOR"),
        pytest.param("level_cm", 10**400, Reason.OUT_OF_RANGE, id="a number beyond floats"),
        pytest.param("count", 2**63, Reason.OUT_OF_RANGE, id="a count beyond 64 bits"),
        pytest.param("count", 1.5, Reason.WRONG_TYPE, id="half a person"),
        pytest.param("open", 2, Reason.WRONG_TYPE, id="two is neither open nor shut"),
        pytest.param("open", "true", Reason.WRONG_TYPE, id="the word true is no boolean"),
        pytest.param("mode", 3, Reason.WRONG_TYPE, id="a number where text is wanted"),
    ],
)
def test_a_value_of_the_wrong_kind_is_bad_and_loses_no_other(name: str, raw: object, reason: Reason) -> None:
    with pytest.raises(ParseError) as refusal:
        apply_scaling(raw, Scaling(), PROFILE.metrics[name])
    assert refusal.value.reason is reason
    other = "open" if name != "open" else "count"
    both = (DocumentField(metric=name, path=("bad",)), DocumentField(metric=other, path=("good",)))
    decoded = decode_document(PROFILE, both, None, {"bad": raw, "good": 1})
    assert decoded.values == {name: None, other: 1}
    assert decoded.flaws == {name: Flaw(Quality.BAD, reason)}


@pytest.mark.parametrize(
    ("unit", "raw", "want"),
    [
        pytest.param(TimeUnit.SECONDS, 1_750_000_000, 1_750_000_000_000_000_000, id="seconds"),
        pytest.param(TimeUnit.SECONDS, 1_750_000_000.25, 1_750_000_000_250_000_000, id="seconds with a fraction"),
        pytest.param(TimeUnit.MILLISECONDS, 1_750_000_000_123, 1_750_000_000_123_000_000, id="milliseconds"),
        pytest.param(TimeUnit.ISO8601, "2025-06-15T23:06:40+08:00", 1_750_000_000_000_000_000, id="ISO 8601 with a zone"),
        pytest.param(TimeUnit.ISO8601, "2025-06-15T15:06:40Z", 1_750_000_000_000_000_000, id="ISO 8601 in UTC"),
        pytest.param(TimeUnit.ISO8601, "2025-06-15T15:06:40", None, id="ISO 8601 without a zone is no instant"),
        pytest.param(TimeUnit.ISO8601, "yesterday", None, id="a word"),
        pytest.param(TimeUnit.SECONDS, "1750000000", None, id="digits in quotes"),
        pytest.param(TimeUnit.SECONDS, True, None, id="a boolean"),
        pytest.param(TimeUnit.SECONDS, 0, None, id="the epoch itself"),
        pytest.param(TimeUnit.SECONDS, -5, None, id="before it"),
        pytest.param(TimeUnit.SECONDS, 1e308, None, id="beyond all clocks"),
        pytest.param(TimeUnit.SECONDS, math.inf, None, id="infinity"),
    ],
)
def test_event_times(unit: TimeUnit, raw: object, want: int | None) -> None:
    assert read_time({"t": raw}, TimeField(path=("t",), unit=unit)) == want


@pytest.mark.parametrize(
    ("document", "doubted"),
    [
        pytest.param({"open": True}, False, id="no time told: the receiver's counts"),
        pytest.param({"open": True, "t": None}, False, id="null is no time told"),
        pytest.param({"open": True, "t": "noon"}, True, id="a time that cannot be read leaves doubt"),
        pytest.param({"open": True, "t": -1}, True, id="a time before the epoch leaves doubt"),
    ],
)
def test_a_time_that_cannot_be_read_leaves_every_value_uncertain(document: object, doubted: bool) -> None:
    decoded = decode_document(PROFILE, FIELDS, TimeField(path=("t",)), document)
    assert (decoded.values, decoded.time_ns) == ({"open": True}, None)
    assert decoded.flaws == ({"open": Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)} if doubted else {})


def test_who_a_document_is_from() -> None:
    assert identity({"id": "cover-1"}, ("id",)) == "cover-1"
    assert identity({"d": [{"id": 17}]}, ("d", 0, "id")) == "17"
    assert identity({"id": ""}, ("id",)) is None
    assert identity({"id": True}, ("id",)) is None
    assert identity([], ("id",)) is None


@given(
    level=st.integers(-(10**6), 10**6),
    is_open=st.booleans(),
    count=st.none() | st.integers(0, 10**6),
    mode=st.text(max_size=20).filter(lambda text: text.isprintable()),
    seconds=st.integers(1, 4_000_000_000),
    as_cbor=st.booleans(),
)
def test_values_survive_a_document(level: int, is_open: bool, count: int | None, mode: str, seconds: int, as_cbor: bool) -> None:
    values = {"level_cm": level / 10, "open": is_open, "count": count, "mode": mode}
    time = TimeField(path=("t",))
    document = encode_document(PROFILE, FIELDS, time, values, seconds * 10**9)
    payload = cbor2.dumps(document) if as_cbor else json.dumps(document).encode()
    decoded = decode_document(PROFILE, FIELDS, time, parse_document(payload, CBOR if as_cbor else JSON))
    assert (decoded.values, decoded.time_ns) == (values, seconds * 10**9)
