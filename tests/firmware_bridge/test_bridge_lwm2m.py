"""LwM2M payloads: TLV, SenML, plain text, and the tables they are read by."""

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from fuzz_lwm2m import fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.model import Kind
from firmware_bridge.lwm2m.paths import format_path, parse_path
from firmware_bridge.lwm2m.payloads import Format, decode_payload, encode_payload
from firmware_bridge.lwm2m.record import LANGUAGES
from firmware_bridge.lwm2m.registry import OBJECTS, type_of
from firmware_bridge.lwm2m.senml import Entry, encode_cbor, encode_json, parse_cbor, parse_json
from firmware_bridge.lwm2m.tlv import MAX_ENTRIES, Tlv, TlvKind, encode_tlv, parse_tlv
from firmware_bridge.lwm2m.values import decode_text, decode_value, encode_text, encode_value
from telemetry.reason import Reason

# LwM2M 1.0, clause 6.4.3.1: what a read of /3/0 answers, without the wrapper of its instance.
DEVICE = bytes.fromhex(
    "c800144f70656e204d6f62696c6520416c6c69616e6365"
    "c801164c69676874776569676874204d324d20436c69656e74"
    "c80209333435303030313233"
    "c303312e30"
    "860641000141010588070842000ed842011388870841007d42010384"
    "c10964c10a0f830b410000c40d5182428fc60e2b30323a3030c11055"
)
DEVICE_VALUES = {
    "/3/0/0": "Open Mobile Alliance",
    "/3/0/1": "Lightweight M2M Client",
    "/3/0/2": "345000123",
    "/3/0/3": "1.0",
    "/3/0/6/0": 1,
    "/3/0/6/1": 5,
    "/3/0/7/0": 3800,
    "/3/0/7/1": 5000,
    "/3/0/8/0": 125,
    "/3/0/8/1": 900,
    "/3/0/9": 100,
    "/3/0/10": 15,
    "/3/0/11/0": 0,
    "/3/0/13": 1367491215,
    "/3/0/14": "+02:00",
    "/3/0/16": "U",
}


def describe(language: str, raw: bytes) -> Any:
    said = LANGUAGES[language].describe(raw)
    json.dumps(said, allow_nan=False)
    return said


def test_every_shared_payload_reads_as_its_source_states(vectors: Path) -> None:
    entries = [json.loads(line) for line in (vectors / "lwm2m.jsonl").read_text("utf-8").splitlines()]
    for entry in entries:
        raw = bytes.fromhex(entry["hex"]) if "hex" in entry else entry["text"].encode()
        values = describe(entry["protocol"], raw)["values"]
        expect = dict(entry["expect"])
        path = expect.pop("path")
        told = {name.rsplit("/", 1)[1]: value for name, value in values.items()}
        assert told == expect
        if "hex" in entry:
            whole = decode_payload(parse_path(path)[:1], Format.TLV, raw)
            assert {reading.path: reading.value for reading in whole} == {f"{path}/{name}": v for name, v in expect.items()}
    assert entries


def test_the_standards_own_device_reads_and_encodes_back() -> None:
    readings = decode_payload((3, 0), Format.TLV, DEVICE)
    assert {reading.path: reading.value for reading in readings} == DEVICE_VALUES
    assert [reading.flaw for reading in readings] == [None] * len(readings)
    assert encode_tlv(parse_tlv(DEVICE)) == DEVICE
    assert encode_payload((3, 0), Format.TLV, {parse_path(path): value for path, value in DEVICE_VALUES.items()}) == DEVICE


def test_object_instances_within_an_answer_for_the_whole_object() -> None:
    wrapped = encode_tlv([Tlv(kind=TlvKind.OBJECT_INSTANCE, id=0, parts=parse_tlv(DEVICE))])
    assert wrapped[:3] == bytes.fromhex("080079")  # as the standard prints it
    readings = decode_payload((3,), Format.TLV, wrapped)
    assert {reading.path: reading.value for reading in readings} == DEVICE_VALUES


def test_an_access_control_object_of_the_standard_with_wide_and_nested_parts() -> None:
    # LwM2M 1.0, clause 6.4.3.2: two instances, each with a multiple resource of rights.
    raw = bytes.fromhex("08000ec10001c101008302417f07c1037f080212c10003c101008702417f0761013601c1037f")
    outer = parse_tlv(raw)
    assert [each.id for each in outer] == [0, 2]
    assert [[part.id for part in each.parts] for each in outer] == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert outer[0].parts[2].parts == (Tlv(kind=TlvKind.RESOURCE_INSTANCE, id=127, value=b"\x07", at=11, size=3),)
    assert [part.id for part in outer[1].parts[2].parts] == [127, 310]
    assert encode_tlv(outer) == raw


@pytest.mark.parametrize(
    ("raw", "reason", "at"),
    [
        pytest.param("c3", Reason.TRUNCATED, 1, id="nothing behind the type"),
        pytest.param("c3093132", Reason.TRUNCATED, 0, id="a value that ends too soon"),
        pytest.param("d800", Reason.TRUNCATED, 2, id="a head that ends within its length"),
        pytest.param("08000541027f0001", Reason.BAD_FIELD, 3, id="a resource's instance right within an object's"),
        pytest.param("080003830941", Reason.TRUNCATED, 3, id="a part longer than what holds it"),
        pytest.param("c10964c10963", Reason.BAD_FIELD, 3, id="a resource twice"),
        pytest.param("08000300c10964", Reason.BAD_FIELD, 3, id="an instance within an instance"),
        pytest.param("080000c10964", Reason.BAD_FIELD, 3, id="an instance beside a resource"),
        pytest.param("e1ffff01", Reason.BAD_FIELD, 1, id="the reserved identifier"),
    ],
)
def test_a_broken_tlv_is_refused_with_its_first_bad_byte(raw: str, reason: Reason, at: int) -> None:
    with pytest.raises(ParseError) as error:
        parse_tlv(bytes.fromhex(raw))
    assert (error.value.reason, error.value.at) == (reason, at)


def test_a_tlv_has_bounds() -> None:
    many = b"".join(b"\xe0" + number.to_bytes(2, "big") for number in range(MAX_ENTRIES + 1))
    for payload in (many, bytes(64 * 1024 + 1)):
        with pytest.raises(ParseError) as error:
            parse_tlv(payload)
        assert error.value.reason is Reason.OVERSIZED


@pytest.mark.parametrize("size", [0, 7, 8, 255, 256, 60_000])
@pytest.mark.parametrize("number", [0, 255, 256, 65534])
def test_every_width_of_identifier_and_length(number: int, size: int) -> None:
    raw = encode_tlv([Tlv(kind=TlvKind.RESOURCE, id=number, value=b"x" * size)])
    (again,) = parse_tlv(raw)
    assert (again.id, len(again.value), again.size) == (number, size, len(raw))
    assert len(raw) == 1 + (2 if number > 255 else 1) + (0 if size < 8 else 1 if size < 256 else 2) + size


def test_a_value_that_cannot_be_used_is_a_flaw_of_its_own() -> None:
    raw = encode_tlv([Tlv(kind=TlvKind.RESOURCE, id=9, value=b"\x65"), Tlv(kind=TlvKind.RESOURCE, id=10, value=b"\1\2\3")])
    flaws = {reading.path: (reading.value, reading.flaw) for reading in decode_payload((3, 0), Format.TLV, raw)}
    assert flaws == {"/3/0/9": (None, Reason.OUT_OF_RANGE), "/3/0/10": (None, Reason.BAD_LENGTH)}


def test_a_tlv_that_does_not_lie_within_what_was_asked_is_refused() -> None:
    for path in ((), (3,), (3, 0, 10)):
        with pytest.raises(ParseError) as error:
            decode_payload(path, Format.TLV, bytes.fromhex("c10964"))
        assert error.value.reason is Reason.BAD_FIELD
    assert decode_payload((3, 0, 9), Format.TLV, bytes.fromhex("c10964"))[0].path == "/3/0/9"
    assert decode_payload((3, 0, 7), Format.OLD_TLV, bytes.fromhex("8607410001410105"))[1].path == "/3/0/7/1"


def test_without_a_request_only_what_means_the_same_everywhere_has_a_type() -> None:
    said = describe("lwm2m-tlv", bytes.fromhex("c10964"))
    assert said["entries"] == [{"path": "9", "value": "64", "could_be": {"string": "d", "integer": 100}}]


# RFC 8428, clauses 5.1.1 to 5.1.3.
def test_senml_examples_of_the_rfc() -> None:
    (single,) = parse_json(b'[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]')
    assert (single.name, single.unit, single.value, single.relative) == ("urn:dev:ow:10e2073a01080063", "Cel", 23.1, True)
    several = parse_json(
        b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bver":5,'
        b'"bu":"A","n":"voltage","u":"V","v":120.1},'  # codespell:ignore bu
        b'{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","v":1.7}]'
    )
    assert [(each.name[-7:], each.unit, each.value, each.time_s) for each in several] == [
        ("voltage", "V", 120.1, 1276020076.001),
        ("current", "A", 1.2, 1276020071.001),
        ("current", "A", 1.3, 1276020072.001),
        ("current", "A", 1.7, 1276020076.001),
    ]
    assert not any(each.relative for each in several)


def test_the_cbor_example_of_the_rfc() -> None:
    # RFC 8428, clause 6: the pack of clause 5.1.3 in CBOR, its first records.
    raw = bytes.fromhex(
        "82a721781b75726e3a6465763a6f773a313065323037336130313038303036"
        "3a22fb41d303a15b00106223614120050067766f6c7461676501615602fb405e066666666666"
        "a3006763757272656e74062402fb3ff3333333333333"
    )
    first, second = parse_cbor(raw)
    assert (first.name, first.unit, first.value) == ("urn:dev:ow:10e2073a0108006:voltage", "V", 120.1)
    assert (second.unit, second.value, second.time_s) == ("A", 1.2, 1276020071.001)


def test_decimal_fractions_halves_and_open_lists_of_cbor() -> None:
    fraction, half = parse_cbor(bytes.fromhex("9fa2006161 02c4822119 04d2 bf00616202f93e00ff ff".replace(" ", "")))
    assert (fraction.value, half.value) == (12.34, 1.5)


def test_base_fields_of_values_sums_and_times() -> None:
    first, second, third = parse_json(
        b'[{"bn":"/3305/0/","bv":20,"n":"5800","v":1.5},{"n":"5800"},{"bs":5,"n":"5805","s":2,"t":-3}]', now_s=1.8e9
    )
    assert (first.value, second.value) == (21.5, 20)
    assert (third.value, third.sum, third.time_s, third.relative) == (None, 7, 1.8e9 - 3, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("{}", Reason.NOT_JSON, id="no list"),
        pytest.param("[1]", Reason.NOT_JSON, id="no record"),
        pytest.param('[{"v":1}]', Reason.MISSING, id="no name"),
        pytest.param('[{"n":"a"}]', Reason.MISSING, id="no value"),
        pytest.param('[{"n":"a","v":1,"vb":true}]', Reason.BAD_FIELD, id="two values"),
        pytest.param('[{"n":"a","v":true}]', Reason.BAD_FIELD, id="a boolean for a number"),
        pytest.param('[{"n":"a","v":"1"}]', Reason.BAD_FIELD, id="a text for a number"),
        pytest.param('[{"n":"a","v":1,"new_":1}]', Reason.BAD_FIELD, id="what must be understood"),
        pytest.param('[{"n":"a","v":1,"bver":11}]', Reason.UNSUPPORTED_VERSION, id="a later version"),
        pytest.param('[{"n":"a","vd":"!"}]', Reason.BAD_FIELD, id="no base64"),
        pytest.param("[" + ",".join(['{"n":"a","v":1}'] * 1025) + "]", Reason.OVERSIZED, id="too many records"),
    ],
)
def test_a_broken_pack_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(ParseError) as error:
        parse_json(text.encode())
    assert error.value.reason is reason


def test_the_names_and_units_of_a_lamp_and_its_meter_come_from_the_table() -> None:
    said = describe(
        "senml-cbor",
        cbor2.dumps([{-2: "/3416/0/", 0: "3", 2: 80}, {0: "5", 4: False}, {-2: "/3418/0/", 0: "1", 2: 231}, {0: "5", 2: 1.5}]),
    )
    assert said["values"] == {"/3416/0/3": 80, "/3416/0/5": False, "/3418/0/1": 231.0, "/3418/0/5": None}
    assert said["units"] == {"/3416/0/3": "%", "/3418/0/1": "V", "/3418/0/5": "1"}
    assert [entry["name"] for entry in said["entries"]] == ["dimming_level", "lamp_failure", "supply_voltage", "power_factor"]
    assert said["flaws"] == [{"path": "/3418/0/5", "reason": "out_of_range", "where": "1.5, want -1 to 1"}]


def test_a_covers_boolean_is_never_told_without_its_warning() -> None:
    said = describe("senml-json", b'[{"bn":"/3408/0/","n":"2","v":12},{"n":"3","vb":true}]')
    tilt, cover = said["entries"]
    assert (tilt["unit"], cover["value"]) == ("deg", True)
    assert "not open" in cover["meaning"]
    assert "disagree" in cover["note"]


def test_names_of_the_older_json_continue_its_base_or_what_was_asked() -> None:
    # LwM2M 1.0, clause 6.4.4: a device's values, and a history that goes backwards from its base time.
    for text, path in (
        (b'{"bn":"/3/0/","e":[{"n":"0","sv":"Open Mobile Alliance"},{"n":"9","v":100}]}', (3,)),
        (b'{"e":[{"n":"0","sv":"Open Mobile Alliance"},{"n":"9","v":100}]}', (3, 0)),
    ):
        readings = decode_payload(path, Format.JSON, text)
        assert {each.path: each.value for each in readings} == {"/3/0/0": "Open Mobile Alliance", "/3/0/9": 100}
    history = decode_payload(
        (3303, 0, 5700), Format.OLD_JSON, b'{"bn":"/3303/0/5700","bt":1500000000,"e":[{"v":22.4,"t":-5},{"v":22.9}]}'
    )
    assert [(each.path, each.value, each.time_s) for each in history] == [
        ("/3303/0/5700", 22.4, 1499999995),
        ("/3303/0/5700", 22.9, 1500000000),
    ]


def test_texts_and_opaque_payloads() -> None:
    assert decode_payload((3, 0, 9), Format.TEXT, b"87")[0].value == 87
    assert decode_payload((3303, 0, 5700), Format.OLD_TEXT, b"-3.5e0")[0].value == -3.5
    assert decode_payload((19, 0, 0), Format.OPAQUE, b"\x68\x16")[0].value == b"\x68\x16"
    assert decode_payload((3408, 0, 3), Format.TEXT, b"2")[0].flaw is Reason.BAD_FIELD
    assert decode_payload((3, 0, 9), Format.TEXT, b"101")[0].flaw is Reason.OUT_OF_RANGE
    for path, content_format, reason in (((3, 0), 0, Reason.BAD_FIELD), ((3, 0, 9), 41, Reason.UNKNOWN_MESSAGE)):
        with pytest.raises(ParseError) as error:
            decode_payload(path, content_format, b"1")
        assert error.value.reason is reason


def test_another_devices_values_do_not_pass_for_the_answer() -> None:
    with pytest.raises(ParseError) as error:
        decode_payload((3303, 0), Format.SENML_JSON, b'[{"n":"/3303/1/5700","v":1}]')
    assert error.value.reason is Reason.BAD_FIELD


KINDS: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.STRING: st.text(max_size=20),
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.UNSIGNED: st.integers(0, 2**64 - 1),
    Kind.TIME: st.integers(0, 2**40),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.OPAQUE: st.binary(max_size=20),
    Kind.OBJLNK: st.builds("{}:{}".format, st.integers(0, 65535), st.integers(0, 65535)),
}


@given(st.sampled_from(list(KINDS)), st.data())
def test_every_type_reads_back_from_tlv_and_text(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(KINDS[kind])
    assert decode_value(kind, encode_value(kind, value)) == value
    assert decode_text(kind, encode_text(kind, value)) == value


leaves = st.builds(Tlv, kind=st.just(TlvKind.RESOURCE), id=st.integers(0, 65534), value=st.binary(max_size=20))
instances = st.builds(Tlv, kind=st.just(TlvKind.RESOURCE_INSTANCE), id=st.integers(0, 65534), value=st.binary(max_size=20))
unique = {"max_size": 4, "unique_by": lambda entry: entry.id}
multiples = st.builds(
    Tlv, kind=st.just(TlvKind.MULTIPLE_RESOURCE), id=st.integers(0, 65534), parts=st.lists(instances, **unique).map(tuple)
)
resources = st.lists(st.one_of(leaves, multiples), **unique).map(tuple)
objects = st.builds(Tlv, kind=st.just(TlvKind.OBJECT_INSTANCE), id=st.integers(0, 65534), parts=resources)


@given(st.one_of(resources, st.lists(objects, **unique).map(tuple)))
def test_any_tree_of_entries_reads_back(entries: tuple[Tlv, ...]) -> None:
    raw = encode_tlv(entries)
    again = parse_tlv(raw)
    assert [each.id for each in again] == [each.id for each in entries]
    assert encode_tlv(again) == raw


packs = st.lists(
    st.builds(
        Entry,
        name=st.from_regex(r"/[0-9]{1,4}/0/[0-9]{1,4}", fullmatch=True),
        value=st.one_of(
            st.booleans(), st.integers(-(2**53), 2**53), st.floats(-1e9, 1e9), st.text(max_size=9), st.binary(max_size=9)
        ),
        unit=st.sampled_from(["", "V", "Cel"]),
        time_s=st.integers(-1000, 1000),
    ),
    max_size=5,
)


@given(packs)
def test_any_pack_reads_back(entries: list[Entry]) -> None:
    assert list(parse_json(encode_json(entries))) == entries
    assert list(parse_cbor(encode_cbor(entries))) == entries


@given(st.lists(st.integers(0, 65534), max_size=4))
def test_any_path_reads_back(steps: list[int]) -> None:
    assert parse_path(format_path(tuple(steps))) == tuple(steps)


def test_the_tables_are_whole() -> None:
    for number, known in OBJECTS.items():
        assert (known.id, bool(known.zh), known.name.isidentifier()) == (number, True, True)
        names = [row.name for row in known.resources.values()]
        assert len(names) == len(set(names)) or number == 3336  # version 1.0's texts, 2.0's numbers
        for number_of_row, row in known.resources.items():
            assert (row.id, bool(row.zh)) == (number_of_row, True)
            assert (row.kind is Kind.NONE) == (row.operations == "E")
    assert type_of(9999, 5700) is type_of(None, 5700) is OBJECTS[3303].resources[5700]
    assert type_of(9999, 5) is None


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_parse_error(data: bytes) -> None:
    fuzz_one(data)


SEEDS = [
    DEVICE,
    b'[{"bn":"/3303/0/","bt":1.2e9,"bv":1,"n":"5700","v":31,"u":"Cel"},{"n":"5701","vs":"c","t":-3,"ut":9}]',
    b'{"bn":"/3303/0","bt":5,"e":[{"n":"5700","v":31},{"n":"5701","sv":"c","t":-1}]}',
    cbor2.dumps([{-2: "/3416/0/", -3: 1.5e9, 0: "3", 2: 80}, {0: "5", 4: False}, {0: "15", 2: float("nan")}]),
]


@given(st.sampled_from(SEEDS), st.data())
def test_a_mutated_payload_raises_nothing_but_a_parse_error(raw: bytes, data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    fuzz_one(raw)
    fuzz_one(raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :])


@pytest.mark.parametrize(
    ("record", "value", "unit"),
    [
        pytest.param({"n": "/3418/0/1", "u": "V", "v": 231.5}, 231.5, "V", id="the table's unit"),
        pytest.param({"n": "/3418/0/1", "u": "mV", "v": 231500}, 231.5, "V", id="a thousandth of it"),
        pytest.param({"n": "/3418/0/6", "u": "kWh", "v": 18.5}, 18500, "W.h", id="a thousand of it"),
        pytest.param({"n": "/3416/0/47", "u": "Wh", "v": 512250}, 512.25, "kW.h", id="energy of a lamp in Wh"),
        pytest.param({"n": "/3/0/7/0", "u": "V", "v": 3.412}, 3412, "mV", id="a whole number in the table"),
        pytest.param({"n": "/3418/0/1", "u": "furlong", "v": 231.5}, 231.5, "furlong", id="another name is not guessed at"),
    ],
)
def test_a_record_that_names_another_unit_is_counted_in_the_tables(record: dict[str, object], value: float, unit: str) -> None:
    (reading,) = decode_payload((), Format.SENML_JSON, json.dumps([record]).encode())
    assert (reading.value, reading.unit) == (value, unit)


def test_a_number_that_no_unit_can_hold_is_a_flaw() -> None:
    (reading,) = decode_payload((), Format.SENML_JSON, b'[{"n":"/3/0/7/0","u":"V","v":1e308}]')
    assert (reading.value, reading.flaw) == (None, Reason.NOT_A_NUMBER)
