"""Any bytes through the SL 651 decoder, in both encodings."""

import json
import math

from bridge_profiles import metric, profile

from device_profiles.wires import Wire
from device_profiles.wires.items import ItemField
from device_profiles.wires.sl651 import Sl651Wire
from firmware_bridge.errors import ParseError
from firmware_bridge.sl651.elements import BY_ASCII
from firmware_bridge.sl651.frames import Frame, Sl651Framer, encode_frame, parse_frame
from firmware_bridge.sl651.metrics import decode_report
from firmware_bridge.sl651.packets import Reassembler
from firmware_bridge.sl651.record import body_of, explain, record

SEEDS = (
    bytes.fromhex("32 00 01 24 11 23 10 30 15 F1 F1 00 12 34 56 78 48 F0 F0 24 11 23 10 30 20 19 00 00 05 39 23 00 00 12 34"),
)
"""Function code and body of a regular report (SL 651-2014, 6.6.4.3), which are put into a whole frame."""

STATION = profile(
    Wire(sl651=Sl651Wire(items=tuple(ItemField(metric=name.lower(), item=name) for name in BY_ASCII))),
    *(metric(name.lower()) for name in BY_ASCII),
)


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
            _metrics(raw)


def _metrics(raw: bytes) -> None:
    try:
        body = body_of(parse_frame(raw))
    except ParseError:
        return  # a line end behind the frame, which a capture may have
    times: list[int] = []
    for decoded in decode_report(STATION, body):
        assert decoded.flaws.keys() <= decoded.values.keys() <= STATION.metrics.keys()
        assert decoded.values
        assert all(math.isfinite(value) for value in decoded.values.values() if isinstance(value, float))
        times += [] if decoded.time_ns is None else [decoded.time_ns]
    assert times == sorted(times)
