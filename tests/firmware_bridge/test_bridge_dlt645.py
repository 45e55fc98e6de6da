"""DL/T 645 electricity meters: frames, values, questions and answers."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fuzz_dlt645 import fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.dlt645 import commands
from firmware_bridge.dlt645 import record as records
from firmware_bridge.dlt645.frames import MAX_FRAME_BYTES, Dlt645Framer, Frame, encode_frame, parse_frame
from firmware_bridge.dlt645.items import find
from firmware_bridge.dlt645.parts import Value
from firmware_bridge.dlt645.record import explain
from firmware_bridge.errors import ParseError, Refused
from telemetry.reason import Reason

ENERGY = bytes.fromhex("6861010000000068910833333433593333338a16")
"""0.26 kWh from meter 161 (hwhale.com, article 138066)."""
NOW = datetime(2024, 11, 23, 10, 30, 15)  # noqa: DTZ001 (a meter's clock shows civil time)


OPENING = commands.relay_control("1", "open relay", NOW, password="02000000")  # noqa: S106


def record(raw: bytes, protocol: str = "dlt645") -> Any:
    return records.record(raw, protocol)


def entries(vectors: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (vectors / "dlt645.jsonl").read_text("utf-8").splitlines()]


def test_every_shared_frame_reads_as_its_source_and_an_independent_reading_state(vectors: Path) -> None:
    read = 0
    for entry in entries(vectors):
        raw, want, derived = bytes.fromhex(entry["hex"]), entry["expect"], entry["derived"]
        if not derived["cs_ok"]:
            with pytest.raises(ParseError) as refusal:
                record(raw)
            assert refusal.value.reason is Reason.BAD_CHECKSUM
            continue
        said = record(raw, entry["protocol"])
        assert said["protocol"] == entry["protocol"]
        assert (said["address"], said["control"]) == (derived["address"], derived["control"])
        assert said["trailing_hex"] == derived.get("trailing", "")
        assert "di" not in derived or said["data_id"] == derived["di"]
        if "value" in derived:
            assert (said["value"], said["unit"]) == (derived["value"], derived["unit"])
        for name, stated in want.items():
            if name == "action":
                assert stated.startswith(str(said["action"]))
            elif name != "meaning_claimed":
                assert said[{"di": "data_id"}.get(name, name)] == stated
        read += 1
    assert read > 30


def test_every_whole_shared_frame_encodes_back_to_the_same_bytes(vectors: Path) -> None:
    for entry in entries(vectors):
        if entry["derived"]["cs_ok"] and "trailing" not in entry["derived"]:
            raw = bytes.fromhex(entry["hex"])
            frame = parse_frame(raw)
            woken = len(raw) - len(frame.raw)
            assert encode_frame(frame.address, frame.control, frame.data, wake_up=woken) == raw


def test_a_value_that_is_no_bcd_is_refused_and_the_frame_is_not(vectors: Path) -> None:
    (entry,) = [entry for entry in entries(vectors) if "value_note" in entry["derived"]]
    said = record(bytes.fromhex(entry["hex"]))
    assert (said["value"], said["checksum_ok"]) == (None, True)
    (flaw,) = said["flaws"]
    assert flaw["reason"] == Reason.BAD_FIELD
    assert "byte 6" in flaw["where"]


# Worked by hand from annex A of DL/T 645-2007: identifier, data in wire order, value.
@pytest.mark.parametrize(
    ("data_id", "data", "value"),
    [
        pytest.param("00000000", "78563492", -123456.78, id="combined energy has its sign in the highest bit"),
        pytest.param("00010000", "78563492", 923456.78, id="forward energy has none"),
        pytest.param("02020100", "563492", -123.456, id="a current that flows back"),
        pytest.param("02030000", "451203", 3.1245, id="a power of four decimals"),
        pytest.param("02030100", "000080", 0, id="no power, with a sign, is no negative zero"),
        pytest.param("02060000", "5089", -0.95, id="a leading power factor"),
        pytest.param("02800002", "9849", 49.98, id="mains frequency"),
        pytest.param("02800007", "5502", 25.5, id="temperature"),
        pytest.param("04000102", "153010", "10:30:15", id="the clock"),
        pytest.param("04000401", "563412000000", "000000123456", id="an address keeps its leading zeros"),
        pytest.param("04000404", "563032320000", "220V", id="text comes last character first"),
        pytest.param("04000501", "1400", ["clock_battery_low", "active_power_reversed"], id="a status word"),
        pytest.param("04000503", "1200", ["auxiliary_supply", "relay_open"], id="the relay is open"),
        pytest.param("0001010C", "00100000", 10.0, id="a tariff at a settlement day"),
        pytest.param("00150000", "00100000", 10.0, id="one phase's energy"),
    ],
)
def test_values_by_the_standards_formats(data_id: str, data: str, value: Value) -> None:
    said = record(encode_frame("1", 0x91, bytes.fromhex(data_id)[::-1] + bytes.fromhex(data)))
    assert said["value"] == value
    assert not str(said["value"]).startswith("-0.0")
    assert said["flaws"] == []


def test_a_block_of_voltages_is_told_by_phase() -> None:
    said = record(commands.answer_read("1", "0201FF00", [220.1, 221.2, 219.9]))
    assert said["values"] == {"voltage_a": 220.1, "voltage_b": 221.2, "voltage_c": 219.9}
    assert said["value"] is None


def test_a_block_of_energies_is_told_by_tariff_as_far_as_it_goes() -> None:
    said = record(commands.answer_read("1", "0001FF00", [10.0, 1.0, 2.0, 3.0, 4.0]))
    values = said["values"]
    assert isinstance(values, dict)
    assert list(values.values()) == [10.0, 1.0, 2.0, 3.0, 4.0]
    assert list(values)[:2] == ["forward_active_energy_total", "forward_active_energy_tariff_1"]


def test_a_demand_has_its_time() -> None:
    said = record(commands.answer_read("1", "01010000", [1.2345, "2024-11-23T10:30"]))
    assert said["values"] == {"forward_active_demand": 1.2345, "time": "2024-11-23T10:30"}
    assert (said["value"], said["unit"]) == (1.2345, "kW")


def test_what_a_meter_does_not_have_is_filled_with_ff() -> None:
    said = record(encode_frame("1", 0x91, bytes.fromhex("00020102ffff")))
    assert said["value"] is None
    assert [flaw["reason"] for flaw in said["flaws"]] == [Reason.NO_VALUE]


def test_dates_and_clocks_are_civil_times() -> None:
    # 04000101 is YYMMDDWW, low byte first: Saturday, 23 November 2024.
    said = record(encode_frame("1", 0x91, bytes.fromhex("01010004" + "06231124")))
    assert (said["value"], said["values"]) == ("2024-11-23", {"weekday": 6, "date": "2024-11-23"})
    both = commands.answer_read("1", "0400010C", "2024-11-23T10:30:15")
    assert parse_frame(both).data[4:].hex() == "15301006231124"
    assert record(both)["value"] == "2024-11-23T10:30:15"
    never = record(encode_frame("1", 0x91, bytes.fromhex("00000101" + "0000000000000000")))
    assert (never["value"], never["values"]["time"]) == (0.0, None)
    wrong = record(encode_frame("999999999999", 0x08, bytes.fromhex("153010" + "321124")))
    assert (wrong["fields"], wrong["flaws"][0]["reason"]) == ({"time": "10:30:15", "date": None}, Reason.IMPLAUSIBLE_TIME)


def test_an_unknown_identifier_keeps_its_data() -> None:
    said = record(encode_frame("1", 0x91, bytes.fromhex("01028006abcd")))
    assert (said["data_id"], said["item"], said["rest_hex"]) == ("06800201", None, "abcd")


def test_a_refusal_tells_its_reasons_as_words() -> None:
    # DL/T 645-2007, clause 5.2.4.3: error word 06.
    raw = commands.refuse("161", 0x11, ["no_such_data", "not_authorised"])
    assert parse_frame(raw).control == 0xD1
    assert parse_frame(raw).data == b"\x06"
    said = record(raw)
    assert (said["errors"], said["error_flag"], said["ack"]) == (["no_such_data", "not_authorised"], True, False)


def test_an_answer_with_more_to_come_and_its_follow_up() -> None:
    first = parse_frame(commands.answer_read("1", "00010000", 1.5, more=True))
    assert (first.control, first.more) == (0xB1, True)
    following = record(commands.answer_read("1", "00010000", 2.5, sequence=1))
    assert (following["control"], following["value"], following["fields"]) == ("92", 2.5, {"sequence": 1})
    assert record(commands.read_following("1", "00010000", 1))["fields"] == {"sequence": 1}


def test_opening_a_relay_as_it_was_seen_on_a_line() -> None:
    # A published frame, except for its time: password 02 000000, operator 0, command 1A until 2012-12-31.
    raw = commands.relay_control("260305510009", "open relay", NOW, password="02000000")  # noqa: S106
    assert raw.hex().startswith("fefefefe68090051050326681c1035333333333333334d")
    said = record(raw)
    assert (said["action"], said["fields"]["valid_until"]) == ("open relay", "2024-11-23T10:30:15")
    assert (said["fields"]["password"], said["fields"]["command"]) == ("02000000", 0x1A)


def test_the_masters_other_frames_read_back() -> None:
    assert commands.read_address().hex() == "fefefefe68aaaaaaaaaaaa681300df16"
    assert commands.read("161", "00010000").hex() == "fefefefe68610100000000681104333334331416"
    assert commands.read_1997("000003430163", "9010").hex() == "fefefefe6863014303000068010243c38316"
    assert record(commands.answer_address("161"))["fields"] == {"address": "000000000161"}
    clock = record(commands.broadcast_time(NOW))
    assert (clock["broadcast"], clock["fields"]) == (True, {"time": "10:30:15", "date": "2024-11-23"})
    cleared = record(encode_frame("1", 0x1B, bytes.fromhex("04000000" + "00000000" + "ff001103")))
    assert (cleared["function"], cleared["fields"]["data_id"]) == ("clear_events", "031100FF")
    written = record(commands.write("1", "04000401", "42", password="04000000"))  # noqa: S106
    assert (written["value"], written["action"]) == ("000000000042", "write parameter")
    assert record(commands.confirm("1", 0x14))["ack"] is True


def test_an_answer_of_1997_is_known_by_its_control_code() -> None:
    # Two meters' answers as a public Android tool for them has them in its tests.
    for text, value in (("fefefefe6885141600181568810643c37b954333bf16", 1062.48), ("6845230300181568810643c333333333c116", 0.0)):
        captured = record(bytes.fromhex(text))
        assert (captured["version"], captured["item"], captured["value"]) == (1997, "forward_active_energy", value)
    said = record(commands.answer_read("1", "9010", 1234.56))
    assert (said["version"], said["data_id"], said["value"], said["unit"]) == (1997, "9010", 1234.56, "kWh")


@pytest.mark.parametrize(
    ("text", "reason", "at"),
    [
        pytest.param("", Reason.BAD_START, 0, id="nothing"),
        pytest.param("fefefe", Reason.BAD_START, 3, id="wake-up alone"),
        pytest.param("6861010000000068", Reason.TRUNCATED, 8, id="no length yet"),
        pytest.param(ENERGY.hex()[:-2], Reason.TRUNCATED, 19, id="no end"),
        pytest.param(ENERGY.hex()[:-2] + "17", Reason.BAD_FIELD, 19, id="another end"),
        pytest.param(ENERGY.hex() + "0d", Reason.BAD_LENGTH, 20, id="a byte behind the end"),
        pytest.param("fe" + ENERGY.hex().replace("8a16", "8b16"), Reason.BAD_CHECKSUM, 19, id="a wrong sum"),
        pytest.param("68610100000000670000", Reason.BAD_START, 7, id="no second 68"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_first_bad_byte(text: str, reason: Reason, at: int) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_frame(bytes.fromhex(text))
    assert (refusal.value.reason, refusal.value.at) == (reason, at)


def test_every_field_is_shown_where_it_stands() -> None:
    fields = explain(b"\xfe\xfe" + ENERGY)
    assert [(field.name, field.at) for field in fields][-4:] == [
        ("data_id", 12),
        ("forward_active_energy", 16),
        ("checksum", 20),
        ("end", 21),
    ]
    assert fields[-3].value == "0.26 kWh"


frames = st.builds(
    encode_frame, st.from_regex("[0-9A]{1,12}", fullmatch=True), st.integers(0, 255), st.binary(max_size=40), wake_up=st.just(0)
)


@given(st.data(), st.lists(st.one_of(frames, st.binary(max_size=20), st.just(ENERGY)), max_size=6))
def test_any_cut_of_the_stream_gives_the_same_messages(data: st.DataObject, pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer, whole = Dlt645Framer(), Dlt645Framer()
    said = [each for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for each in framer.feed(stream[start:end])]
    assert [*said, *framer.idle()] == [*whole.feed(stream), *whole.idle()]


@given(st.binary(max_size=40), st.lists(frames, min_size=2, max_size=4))
def test_noise_before_frames_costs_at_most_the_first(noise: bytes, sent: list[bytes]) -> None:
    framer = Dlt645Framer()
    said = [each for each in (*framer.feed(noise + b"".join(sent)), *framer.idle()) if isinstance(each, Frame)]
    assert [each.raw for each in said][-len(sent) + 1 :] == sent[1:]


def test_memory_is_bounded_whatever_comes_and_nothing_is_swallowed() -> None:
    framer = Dlt645Framer()
    noise = b"\x68" * 20_000
    refused = [each for each in framer.feed(noise) if isinstance(each, Refused)]
    assert all(len(each.raw) <= MAX_FRAME_BYTES for each in refused)
    assert 20_000 - sum(len(each.raw) for each in refused) <= 2 * MAX_FRAME_BYTES
    assert isinstance([*framer.feed(ENERGY), *framer.idle()][-1], Frame)


def test_wake_up_bytes_alone_are_nothing() -> None:
    framer = Dlt645Framer()
    assert [type(each) for each in framer.feed(b"\xfe" * 9 + ENERGY + b"\xfe" * 4 + ENERGY)] == [Frame, Frame]
    assert framer.idle() == []


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_parse_error(data: bytes) -> None:
    fuzz_one(data)


@given(
    st.sampled_from([ENERGY, commands.read_address(), OPENING]),
    st.data(),
)
def test_a_mutated_frame_raises_nothing_but_a_parse_error(raw: bytes, data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    fuzz_one(raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :])


@given(st.sampled_from(["00010000", "02010100", "02020200", "02030000", "02060100", "02800002"]), st.integers(0, 7999))
def test_what_a_meter_sends_reads_back_to_the_last_digit(data_id: str, whole: int) -> None:
    item = find(data_id)
    assert item is not None
    value = whole / 10 ** item.parts[0].decimals
    assert record(commands.answer_read("1", data_id, value))["value"] == value


@given(st.integers(0, 0xFFFFFFFF), st.binary(max_size=40))
def test_every_identifier_is_read_or_kept(number: int, data: bytes) -> None:
    said = record(encode_frame("1", 0x91, number.to_bytes(4, "little") + data))
    assert said["data_id"] == f"{number:08X}"
