"""Any bytes through the DL/T 645 decoder."""

import json

from firmware_bridge.dlt645.frames import Dlt645Framer, Frame, encode_frame, parse_frame
from firmware_bridge.dlt645.record import explain, record
from firmware_bridge.errors import ParseError

SEEDS = (bytes.fromhex("91 00 00 01 00 78 56 34 12"), bytes.fromhex("91 00 01 01 02 05 23"), bytes.fromhex("D1 02"))
"""Control and data of answers (energy, voltage, an error), which are put into a whole frame."""


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError, whether `data` is taken as a capture, as a stream, or as what stands in a whole frame."""
    framer = Dlt645Framer()
    for said in (*framer.feed(data), *framer.idle()):
        if isinstance(said, Frame):
            _show(said.raw)
    _show(data)
    if data:
        raw = encode_frame("1", data[0], data[1:256])
        assert parse_frame(raw).data == data[1:256]
        _show(raw)


def _show(raw: bytes) -> None:
    for show in (record, explain):
        try:
            said = show(raw)
        except ParseError:
            continue
        if isinstance(said, dict):
            json.dumps(said, allow_nan=False)
