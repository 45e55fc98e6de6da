"""`citynerve frame decode`, as a person and as a program use it."""

import json
from pathlib import Path

import pytest
from bridge_jt808_frames import LOCATIONS, WRONG_CHECKSUM
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from citynerve.commands.frame import app
from device_profiles.shelf import load_catalog
from firmware_bridge.describe import LANGUAGES, with_profiles
from firmware_bridge.errors import ParseError

RUN = CliRunner()
GOOD = next(iter(LOCATIONS.values()))


def test_one_frame_is_shown_field_by_field_with_offsets() -> None:
    result = RUN.invoke(app, ["decode", "jt808", GOOD.hex])
    assert result.exit_code == 0
    lines = [line.split(maxsplit=3) for line in result.stdout.splitlines() if line]
    assert ["21", "01d37b35", "latitude", "30.636853"] in lines
    assert ["1", "0200", "message_id", "0x0200 location"] in lines


def test_offsets_count_the_bytes_as_given_escapes_and_all() -> None:
    raw = bytes.fromhex(LOCATIONS["an escaped 7e in an item"].hex)
    result = RUN.invoke(app, ["decode", "jt808", raw.hex()])
    shown = [line.split(maxsplit=3) for line in result.stdout.splitlines() if line]
    assert all(raw[int(at) :].hex().startswith(piece.rstrip(".")) for at, piece, *_ in shown)
    assert [entry for entry in shown if "7d01" in entry[1]] != []
    assert shown[-1][:2] == [str(len(raw) - 2), raw[-2:-1].hex()]


@pytest.mark.parametrize("way", ["7E 02", "0x7e 0x02", "7e:02", "7e-02", "7e,02", "0x7E02"])
def test_hex_may_be_written_in_many_ways(way: str) -> None:
    rest = GOOD.hex[4:]
    result = RUN.invoke(app, ["decode", "jt808", "--json", f"{way} {rest}"])
    assert json.loads(result.stdout)["latitude"] == GOOD.latitude


def test_a_refused_frame_names_its_first_bad_byte_and_ends_with_one() -> None:
    result = RUN.invoke(app, ["decode", "jt808", WRONG_CHECKSUM])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "bad_checksum: byte 22" in result.stderr
    assert "[54]" in result.stderr


def test_a_refused_frame_as_json_is_an_object_too() -> None:
    result = RUN.invoke(app, ["decode", "jt808", "--json", WRONG_CHECKSUM])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"refused": "bad_checksum", "where": "byte 22: checksum 54, want 53"}


def test_a_file_gives_one_object_a_line_whatever_stands_in_it(tmp_path: Path) -> None:
    file = tmp_path / "frames.hex"
    file.write_bytes(f"{GOOD.hex}\r\n\n{WRONG_CHECKSUM}\nnot hex\n".encode() + b"\xff\xfe\n" + GOOD.hex.upper().encode())
    result = RUN.invoke(app, ["decode", "jt808", "--json", "--file", str(file)])
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [entry.get("refused") for entry in said] == [None, "bad_checksum", "not_hex", "not_hex", None]
    assert said[0] == said[-1]
    assert "5 frames, 3 refused" in result.stderr


def test_a_line_without_end_costs_one_refusal_and_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "frames.hex"
    file.write_text("7e" * 3_000_000 + "\n" + GOOD.hex + "\n")
    result = RUN.invoke(app, ["decode", "jt808", "--json", "--file", str(file)])
    assert [json.loads(line).get("refused") for line in result.stdout.splitlines()] == ["oversized", None]


def test_a_dash_reads_standard_input() -> None:
    result = RUN.invoke(app, ["decode", "jt808", "--json", "--file", "-"], input=GOOD.hex)
    assert json.loads(result.stdout)["time"] == GOOD.time


def test_the_keys_of_a_location() -> None:
    said = json.loads(RUN.invoke(app, ["decode", "jt808", "--json", GOOD.hex]).stdout)
    head = {
        "protocol",
        "message_id",
        "message",
        "phone",
        "serial",
        "version",
        "checksum_ok",
        "body_length",
        "length_ok",
        "subpackage",
    }
    place = {
        "alarm",
        "status",
        "alarms",
        "states",
        "latitude",
        "longitude",
        "altitude_m",
        "speed_kmh",
        "course_deg",
        "time",
        "items",
    }
    assert head | place <= said.keys()
    assert (said["message_id"], said["phone"], said["version"], said["checksum_ok"]) == ("0x0200", "013808358246", 2013, True)
    assert said["items"][0] == {"id": "0x01", "hex": "00000c45", "name": "odometer_km", "value": 314.1}
    assert said["items"][-1] == {"id": "0x61", "hex": "1d74"}


def test_an_unknown_protocol_is_told_with_the_nearest_name_and_all_of_them() -> None:
    result = RUN.invoke(app, ["decode", "jt88", "00"])
    assert result.exit_code == 2
    assert "Did you mean 'jt808'?" in result.stderr
    assert "modbus-rtu" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["decode", "jt808"], id="neither hex nor file"),
        pytest.param(["decode", "jt808", "00", "--file", "-"], id="both"),
        pytest.param(["decode", "jt808", "--file", "/no/such/file"], id="a file that is not there"),
    ],
)
def test_a_question_that_cannot_be_answered_ends_with_two(args: list[str]) -> None:
    result = RUN.invoke(app, args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_a_profile_with_a_serial_wire_is_a_protocol_by_its_name() -> None:
    frame = "AA 55 03 01 0C 00 80 00 04 FF F1 02 8F 05 01 2F 30 3F 6F"
    for name in ("toilet_node_serial", "toilet-serial"):
        said = json.loads(RUN.invoke(app, ["decode", name, "--json", frame]).stdout)
        assert (said["address"], said["values"]["nh3_ppm"]) == (3, 1.28)
    assert "temperature_c" in RUN.invoke(app, ["decode", "toilet-serial", frame]).stdout


def test_a_json_document_may_be_written_as_it_is() -> None:
    said = json.loads(RUN.invoke(app, ["decode", "json", "--json", '{"level": 1.5}']).stdout)
    assert said["document"] == {"level": 1.5}


@pytest.mark.parametrize("text", ["010300120001240f", "01030c41f0000042200000424800005cca", "018302c0f1"])
def test_modbus_frames_are_shown(text: str) -> None:
    result = RUN.invoke(app, ["decode", "modbus-rtu", text])
    assert result.exit_code == 0
    assert "function" in result.stdout
    assert "crc" in result.stdout


@given(st.binary(max_size=80))
def test_no_bytes_in_any_language_raise_anything_but_a_parse_error(raw: bytes) -> None:
    for name, language in with_profiles(load_catalog()).items() if raw[:1] == b"\xaa" else LANGUAGES.items():
        for show in (language.describe, language.explain):
            try:
                said = show(raw)
            except ParseError:
                continue
            if isinstance(said, dict):
                assert said["protocol"] == name
                json.dumps(said, allow_nan=False)
