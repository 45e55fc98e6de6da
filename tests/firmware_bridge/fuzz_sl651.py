"""Any bytes through the SL 651 decoder, in both encodings."""

import json

from firmware_bridge.errors import ParseError
from firmware_bridge.sl651.frames import Frame, Sl651Framer, encode_frame
from firmware_bridge.sl651.packets import Reassembler
from firmware_bridge.sl651.record import explain, record

SEEDS = (
    bytes.fromhex("32 00 01 24 11 23 10 30 15 F1 F1 00 12 34 56 78 48 F0 F0 24 11 23 10 30 20 19 00 00 05 39 23 00 00 12 34"),
)
"""Function code and body of a regular report (SL 651-2014, 6.6.4.3), which are put into a whole frame."""


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError, whether `data` is taken as a capture, as a stream, or as what stands in a whole frame."""
    framer, reassembler = Sl651Framer(), Reassembler()
    for said in (*framer.feed(data), *framer.idle()):
        if isinstance(said, Frame):
            _show(said.raw)
            reassembler.add(said, 0)
    _show(data)
    if data:
        for text in (False, True):
            _show(encode_frame(data[0], data[1:4000], station="1", text=text))
            _show(encode_frame(data[0], data[1:4000], station="1", text=text, up=False, packet=(2, 1)))


def _show(raw: bytes) -> None:
    for show in (record, explain):
        try:
            said = show(raw)
        except ParseError:
            continue
        if isinstance(said, dict):
            json.dumps(said, allow_nan=False)
