"""Any bytes through everything that reads Bluetooth."""

import json

from firmware_bridge.ble.bthome import parse_bthome
from firmware_bridge.ble.door import DoorFramer, Frame, encode_frame, parse_frame
from firmware_bridge.ble.gatt import CHARACTERISTICS, parse_value
from firmware_bridge.ble.record import LANGUAGES
from firmware_bridge.errors import ParseError

SEEDS = (
    bytes.fromhex("0201060b094449592d73656e736f720a16d2fc4002c40903bf13"),
    bytes.fromhex("44000902ca0903bf131a013c0103530341424354024142f100010204"),
    bytes.fromhex("c7000701050200000001") + b"\x70\xa8",
)


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError, whether `data` is an advertisement, a sensor's data, a value or what comes through the door."""
    for language in LANGUAGES.values():
        for show in (language.describe, language.explain):
            try:
                said = show(data)
            except ParseError:
                continue
            if isinstance(said, dict):
                json.dumps(said, allow_nan=False)
    for read in (parse_bthome, *(lambda raw, name=name: parse_value(name, raw) for name in CHARACTERISTICS)):
        try:
            read(data)  # type: ignore[operator]  # a table of readers of bytes
        except ParseError:
            continue
    framer = DoorFramer()
    for said in (*framer.feed(data), *framer.idle()):
        if isinstance(said, Frame):
            assert parse_frame(encode_frame(said)) == said
