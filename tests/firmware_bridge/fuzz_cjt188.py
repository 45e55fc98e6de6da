"""Any bytes through the CJ/T 188 decoder."""

import json

from firmware_bridge.cjt188.frames import Cjt188Framer, Frame, encode_frame
from firmware_bridge.cjt188.record import explain, record
from firmware_bridge.errors import ParseError


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError, whether `data` is taken as a capture, as a stream, or as what stands in a whole frame."""
    framer = Cjt188Framer()
    for said in (*framer.feed(data), *framer.idle()):
        if isinstance(said, Frame):
            _show(said.raw)
    _show(data)
    if len(data) > 1:
        _show(encode_frame(data[0], "1", data[1], data[2:257]))


def _show(raw: bytes) -> None:
    for show in (record, explain):
        try:
            said = show(raw)
        except ParseError:
            continue
        if isinstance(said, dict):
            json.dumps(said, allow_nan=False)
