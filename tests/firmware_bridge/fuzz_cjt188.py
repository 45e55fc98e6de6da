"""Any bytes through the CJ/T 188 decoder."""

import json

from firmware_bridge.cjt188.frames import Cjt188Framer, Frame, encode_frame, parse_frame
from firmware_bridge.cjt188.record import explain, record
from firmware_bridge.errors import ParseError

SEEDS = (
    bytes.fromhex("68 10 AA AA AA AA AA AA AA 01 03 90 1F 00 D1 16"),
    bytes.fromhex("10 81 1F 90 00 00 77 66 55 2C 00 77 66 55 2C 31 01 22 11 05 15 20 21 84"),
)
"""A whole question; meter type, control and data of a water meter's answer, which are put into a frame."""


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError, whether `data` is taken as a capture, as a stream, or as what stands in a whole frame."""
    framer = Cjt188Framer()
    for said in (*framer.feed(data), *framer.idle()):
        if isinstance(said, Frame):
            _show(said.raw)
    _show(data)
    if len(data) > 1:
        raw = encode_frame(data[0], "1", data[1], data[2:257])
        assert parse_frame(raw).data == data[2:257]
        _show(raw)


def _show(raw: bytes) -> None:
    for show in (record, explain):
        try:
            said = show(raw)
        except ParseError:
            continue
        if isinstance(said, dict):
            json.dumps(said, allow_nan=False)
