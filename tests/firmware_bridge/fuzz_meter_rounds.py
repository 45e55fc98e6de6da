"""Any frames, in any order, before a round of questions to a meter."""

import json
from collections.abc import Iterator
from itertools import islice

from device_profiles.loader import load_profile
from device_profiles.shelf import catalog_path
from firmware_bridge.cjt188 import frames as cjt188
from firmware_bridge.cjt188.rounds import Cjt188Plan
from firmware_bridge.dlt645 import frames as dlt645
from firmware_bridge.dlt645.rounds import Dlt645Plan

OURS, OTHERS = ("000000000161", "000000000162"), ("00201510270588", "00201510270589")
POWER = load_profile(catalog_path() / "electricity_meter_dlt645")
HEAT = load_profile(catalog_path() / "heat_meter_cjt188")
SEEDS = (
    bytes.fromhex("00 91 0a 00 ff 01 02 10 23 11 23 12 23 00 91 06 00 00 03 02 54 23"),
    bytes.fromhex("00 b1 06 00 ff 01 02 10 23 00 92 07 00 ff 01 02 11 23 01 00 d1 01 02"),
    bytes.fromhex("00 81 04 90 1f 01 00 00 c1 03 01 04 00"),
)
"""Rows of whose frame it is, control, length and data."""


def fuzz_one(data: bytes) -> None:
    """Nothing raised, a round that ends, and no value out of another meter's mouth."""
    _round(Dlt645Plan(POWER, OURS[0]), [_dlt645(*row) for row in _rows(data)], OURS[0])
    _round(Cjt188Plan(HEAT, OTHERS[0]), [_cjt188(*row) for row in _rows(data)], OTHERS[0])


def _round(plan, frames, address: str) -> None:  # type: ignore[no-untyped-def]
    for _ in range(2):  # what the first round taught the plan holds for the second
        asking = plan.begin()
        attributed = False
        for frame in frames:
            told = asking.hear(frame)
            assert not told.answers or (frame.address == address and frame.from_meter)
            attributed |= told.answers
        assert asking.spoke == attributed
        for _ in range(200):
            if asking.question() is None:
                break
            asking.give_up()
        assert asking.question() is None, "a round ends"
        decoded = asking.decoded()
        json.dumps(decoded.values, allow_nan=False)
        assert attributed or all(value is None for value in decoded.values.values())


def _rows(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    return islice(_all_rows(data), 64)


def _all_rows(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + 3 <= len(data):
        who, control, size = data[at : at + 3]
        yield who, control, data[at + 3 : at + 3 + size]
        at += 3 + size


def _dlt645(who: int, control: int, data: bytes) -> dlt645.Frame:
    return dlt645.parse_frame(dlt645.encode_frame(OURS[who % 2], control, data))


def _cjt188(who: int, control: int, data: bytes) -> cjt188.Frame:
    kind = 0x20 if who < 128 else who
    return cjt188.parse_frame(cjt188.encode_frame(kind, OTHERS[who % 2], control, data))
