"""A Modbus map's periods, texts, forbidden addresses and orders, as a profile says them."""

from pathlib import Path

import pytest

from device_profiles.loader import ProfileError, load_profile
from device_profiles.model import Profile
from device_profiles.shelf import catalog_path
from device_profiles.wires.modbus import RegisterArea, RegisterRange, modbus_rows


def changed(folder: Path, *changes: tuple[str, str]) -> Profile:
    """The loop controller's profile with some of its text replaced."""
    text = (catalog_path() / "lamp_loop" / "profile.yaml").read_text("utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "lamp_loop").mkdir()
    (folder / "lamp_loop" / "profile.yaml").write_text(text, "utf-8")
    return load_profile(folder / "lamp_loop")


def test_registers_that_no_alarm_judges_may_be_read_less_often(tmp_path: Path) -> None:
    profile = changed(tmp_path, ("scale: 0.01, no_value: [0xFFFFFFFF]}", "scale: 0.01, no_value: [0xFFFFFFFF], poll_s: 60}"))
    wire = profile.wire.modbus
    assert wire is not None
    assert wire.periods_s == (5.0, 60.0)
    assert next(row[3] for row in modbus_rows(wire) if row[1] == "energy_kwh").endswith("every 60 s")


def test_what_an_alarm_judges_may_not(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="leakage_ma is judged by an alarm, and read less often than other registers"):
        changed(
            tmp_path, ("address: 12, type: u16, no_value: [0xFFFF]}", "address: 12, type: u16, no_value: [0xFFFF], poll_s: 60}")
        )


def test_a_map_says_what_must_not_be_read_and_an_order_where_its_bits_go(tmp_path: Path) -> None:
    first = "commands:\n"
    orders = """commands:
  set_mode: {area: holding, address: 1, bits: {lowest: 4, count: 2}, argument: mode, title: {zh: 模式, en: Mode}}
  all_loops: {area: coil, address: 0, coils: 4, argument: loops, title: {zh: 回路, en: Loops}}
  restart: {area: holding, address: 9, value: 165, title: {zh: 重启, en: Restart}}
"""
    forbidden = "    timeout_s: 1\n    do_not_read: [{area: input, first: 18, last: 40}]\n"
    profile = changed(tmp_path, ("    timeout_s: 1\n", forbidden), (first, orders))
    wire = profile.wire.modbus
    assert wire is not None
    assert wire.do_not_read == (RegisterRange(RegisterArea.INPUT, 18, 40),)
    mode, loops, restart = (profile.commands[name] for name in ("set_mode", "all_loops", "restart"))
    assert (mode.low, mode.high, mode.where) == (0, 3, "holding 1")
    assert (loops.high, loops.where) == (15, "coil 0 to 3")
    assert (restart.argument, restart.low, restart.high) == ("", 165, 165)
