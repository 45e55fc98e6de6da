"""Rounds of questions to a meter: how few, which frames answer them, and what they make together."""

import pytest
from fuzz_meter_rounds import HEAT, POWER, SEEDS, fuzz_one
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from device_profiles.shelf import load_catalog
from firmware_bridge.cjt188.commands import answer
from firmware_bridge.cjt188.frames import parse_frame as parse_cjt188
from firmware_bridge.cjt188.rounds import Cjt188Plan
from firmware_bridge.dlt645.blocks import block_of, members, plan
from firmware_bridge.dlt645.commands import answer_read, refuse
from firmware_bridge.dlt645.frames import encode_frame, parse_frame
from firmware_bridge.dlt645.rounds import Dlt645Plan, Dlt645Round
from firmware_bridge.errors import ParseError
from firmware_bridge.meter_line import Told
from firmware_bridge.meter_units import UNITS, in_unit
from telemetry.reason import Reason

ADDRESS = "000000000161"


def asked(asking: Dlt645Round) -> str | None:
    question = asking.question()
    return None if question is None else parse_frame(question).data[:4][::-1].hex().upper()


@pytest.mark.parametrize(
    ("data_id", "block", "first", "count"),
    [
        ("02010200", "0201FF00", "02010100", 3),
        ("02030000", "0203FF00", "02030000", 4),
        ("00010300", "0001FF00", "00010000", 64),
        ("01010000", "0101FF00", "01010000", 64),
        ("04000506", "040005FF", "04000501", 7),
        ("02800002", None, "02800002", 1),
        ("04000101", None, "04000101", 1),
        ("9010", None, "9010", 1),
    ],
)
def test_a_block_holds_the_identifiers_that_differ_in_one_place(data_id: str, block: str | None, first: str, count: int) -> None:
    assert block_of(data_id) == block
    held = members(block or data_id)
    assert (held[0], len(held)) == (first, count)
    assert data_id in held


def test_settlement_days_are_a_block_of_the_last_place() -> None:
    assert members("000100FF")[:3] == ("00010000", "00010001", "00010002")


def test_a_lamp_cabinets_meter_is_read_in_nine_questions() -> None:
    questions = [question for question, _ in Dlt645Plan(POWER, ADDRESS).questions()]
    assert questions == [
        *("0201FF00", "0202FF00", "02030000", "02040000", "02060000", "02800002"),
        *("0001FF00", "00020000", "040005FF"),
    ]
    assert plan(["02010100"]) == (("02010100", ("02010100",)),), "a block that brings one value saves nothing"


def test_every_meter_of_the_catalog_asks_for_what_the_standard_has() -> None:
    for profile in load_catalog().values():
        if profile.wire.dlt645 is not None:
            assert Dlt645Plan(profile, "1").questions()
        if profile.wire.cjt188 is not None:
            assert Cjt188Plan(profile, "1").data_ids


def test_a_refused_block_is_taken_apart_in_the_same_round_and_for_good() -> None:
    power = Dlt645Plan(POWER, ADDRESS)
    asking = power.begin()
    assert asked(asking) == "0201FF00"
    told = asking.hear(parse_frame(refuse(ADDRESS, 0x11, ["no_such_data"])))
    assert told.answers
    assert told.refused is not None
    assert told.refused.reason is Reason.DEVICE_EXCEPTION
    assert [question for question, _ in power.questions()][:3] == ["02010100", "02010200", "02010300"]
    assert asked(asking) == "02010100"


def test_a_part_out_of_order_is_no_answer() -> None:
    asking = Dlt645Plan(POWER, ADDRESS).begin()
    head = bytes.fromhex("00ff0102")
    assert asking.hear(parse_frame(encode_frame(ADDRESS, 0xB1, head + b"\x10\x23"))) == Told(answers=True)
    told = asking.hear(parse_frame(encode_frame(ADDRESS, 0x92, head + b"\x11\x23\x02")))
    assert not told.answers
    assert told.refused is not None
    assert told.refused.reason is Reason.WRONG_TRANSACTION


def test_an_answer_without_end_is_cut_off() -> None:
    asking = Dlt645Plan(POWER, ADDRESS).begin()
    head = bytes.fromhex("00ff0102")
    asking.hear(parse_frame(encode_frame(ADDRESS, 0xB1, head)))
    reasons = []
    for part in range(1, 30):
        told = asking.hear(parse_frame(encode_frame(ADDRESS, 0xB2, head + b"\x10" * 200 + bytes((part,)))))
        reasons += [told.refused.reason] if told.refused is not None else []
    assert reasons[0] is Reason.REASSEMBLY_LIMIT
    assert asking.decoded().flaws["voltage_a_v"].reason is Reason.REASSEMBLY_LIMIT


def test_a_meter_of_1997_is_asked_by_its_own_identifiers() -> None:
    assert POWER.wire.dlt645 is not None
    energy = next(field for field in POWER.wire.dlt645.items if field.metric == "energy_kwh")
    wire = replace(POWER.wire.dlt645, items=(replace(energy, item="9010"),))
    asking = Dlt645Plan(replace(POWER, wire=replace(POWER.wire, dlt645=wire)), "0002").begin()
    assert asking.question() == b"\xfe" * 4 + bytes.fromhex("68 02 00 00 00 00 00 68 01 02 43 c3 db 16")
    # 68 02 .. 68 81 06 | 9010 -> 43 c3 | 123456.78 -> ab 89 67 45
    body = bytes.fromhex("68 02 00 00 00 00 00 68 81 06 43 c3 ab 89 67 45")
    asking.hear(parse_frame(body + bytes((sum(body) & 0xFF, 0x16))))
    assert asking.decoded().values == {"energy_kwh": 123456.78}


@given(
    st.lists(st.integers(0, 99999999), min_size=5, max_size=5),
    st.lists(st.integers(0, 9999), min_size=3, max_size=3),
    st.integers(-799999, 799999),
)
def test_what_a_meter_answers_is_what_was_measured(energies: list[int], voltages: list[int], power: int) -> None:
    asking = Dlt645Plan(POWER, ADDRESS).begin()
    answers = {
        "0001FF00": answer_read(ADDRESS, "0001FF00", [one / 100 for one in energies]),
        "0201FF00": answer_read(ADDRESS, "0201FF00", [one / 10 for one in voltages]),
        "02030000": answer_read(ADDRESS, "02030000", power / 10_000),
    }
    while (data_id := asked(asking)) is not None:
        if data_id in answers:
            assert asking.hear(parse_frame(answers[data_id])) == Told(answers=True)
        else:
            asking.give_up()
    decoded = asking.decoded()
    assert decoded.values["power_kw"] == power / 10_000
    assert [decoded.values[f"voltage_{phase}_v"] for phase in "abc"] == [one / 10 for one in voltages]
    assert decoded.values["energy_kwh"] == energies[0] / 100
    assert [decoded.values[f"energy_tariff_{n}_kwh"] for n in (1, 2, 3, 4)] == [one / 100 for one in energies[1:]]
    assert decoded.flaws["frequency_hz"].reason is Reason.TIMEOUT


@given(st.integers(0, 99999999), st.sampled_from(["kW.h", "MW.h", "GJ", "MJ"]), st.integers(0, 0xFFFF))
def test_heat_is_told_in_one_unit_whatever_the_meter_counts_in(number: int, unit: str, status: int) -> None:
    heat = Cjt188Plan(HEAT, "22220000777001")
    asking = heat.begin()
    question = asking.question()
    assert question is not None
    sequence = parse_cjt188(question).data[2]
    said = answer(0x20, "22220000777001", "901F", {"heat": number / 100, "heat_unit": unit, "status": status}, sequence)
    assert asking.hear(parse_cjt188(said)) == Told(answers=True)
    decoded = asking.decoded()
    gigajoules = {"kW.h": 0.0036, "MW.h": 3.6, "GJ": 1.0, "MJ": 0.001}[unit]
    assert decoded.values["heat_energy_gj"] == pytest.approx(number / 100 * gigajoules, abs=1e-8)
    assert decoded.values["battery_low"] is bool(status & 4)
    assert decoded.flaws["flow_m3h"].reason is Reason.NO_VALUE


def test_a_unit_of_another_quantity_is_a_flaw_and_no_number() -> None:
    heat = Cjt188Plan(HEAT, "22220000777001")
    asking = heat.begin()
    said = answer(0x20, "22220000777001", "901F", {"heat": 12.0, "heat_unit": "m3"}, 1)
    asking.hear(parse_cjt188(said))
    assert asking.decoded().flaws["heat_energy_gj"].reason is Reason.WRONG_TYPE


def test_units_turn_into_one_another_without_noise() -> None:
    assert in_unit(0.07, "kW", "W") == 70.0
    assert in_unit(12.34, "kW.h", "kW.h") == 12.34
    assert in_unit(1.0, "GJ", "kW.h") == pytest.approx(277.777777778)
    assert in_unit(5.0, None, "V") == in_unit(5.0, "1", "V") == 5.0
    with pytest.raises(ParseError, match="counts in kW, want m3"):
        in_unit(1.0, "kW", "m3")


@given(st.floats(0, 1e6), st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_a_unit_and_back_is_the_same(value: float, one: str, other: str) -> None:
    if UNITS[one][0] == UNITS[other][0] and UNITS[one][1] >= UNITS[other][1]:
        assert in_unit(in_unit(value, one, other), other, one) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@given(changed=st.binary(max_size=60), at=st.integers(0, 40))
def test_any_frames_make_a_round_that_ends_and_nobody_else_is_heard(seed: bytes, changed: bytes, at: int) -> None:
    fuzz_one(seed[:at] + changed + seed[at:])
