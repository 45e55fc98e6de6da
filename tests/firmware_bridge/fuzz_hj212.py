"""Any bytes at all, given to everything that reads HJ 212: nothing is raised but ParseError, and nothing is held for ever."""

import json
import math

from bridge_profiles import metric, profile

from device_profiles.wires import Wire
from device_profiles.wires.hj212 import Hj212Wire
from device_profiles.wires.items import ItemField
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.hj212.answers import answer_to
from firmware_bridge.hj212.deviations import EVERYTHING, STRICT
from firmware_bridge.hj212.frames import MAX_FRAME_BYTES, Frame, Hj212Framer, crc16, parse_frame
from firmware_bridge.hj212.metrics import decode_message
from firmware_bridge.hj212.reassembly import Reassembler
from firmware_bridge.hj212.record import LANGUAGE
from firmware_bridge.hj212.segment import Packet, parse_segment, without_secrets

HEADER = b"QN=20160801085857223;ST=32;CN=2051;PW=123456;MN=010000A8900016F000169DC0;Flag=7;PNUM=2;PNO=1;CP=&&"

SEEDS = (b"DataTime=20160801085857;a01001-Rtd=23.5,a01001-Flag=N;a01002-Rtd=55,a01002-Flag=N;", b"a=1;b=2;c=3;d=4;")
"""What stands in CP, as annex C writes it."""

_ITEMS = ("a01001.Rtd", "a01002.Rtd", "a.Rtd", "w01018.Avg@2051", "SB1.RS")
STATION = profile(
    Wire(hj212=Hj212Wire(items=tuple(ItemField(metric=f"m{at}", item=item) for at, item in enumerate(_ITEMS)))),
    *(metric(f"m{at}") for at in range(len(_ITEMS))),
)


def framed(segment: bytes) -> bytes:
    """`segment` as a frame whose length and checksum are right, however odd the segment is."""
    return b"##%04d%b%04X\r\n" % (len(segment) % 10000, segment, crc16(segment))


def fuzz_one(data: bytes) -> None:
    """Read `data` as a frame, a segment, the inside of CP and a stream."""
    for raw in (data, framed(data), framed(HEADER + data + b"&&"), framed(data + b"CP=&&" + data + b"&&")):
        _read(raw)
    _segment(data)
    _segment(HEADER + data)
    _stream(data)
    _stream(framed(HEADER + data + b"&&") + data)


def _read(raw: bytes) -> None:
    for tolerate in (STRICT, EVERYTHING):
        try:
            frame = parse_frame(raw, tolerate)
        except ParseError as error:
            assert error.at is None or 0 <= error.at <= len(raw)  # noqa: PT017 (either outcome is right)
        else:
            assert raw[frame.segment_at :].startswith(frame.segment)
    try:
        record = LANGUAGE.describe(raw)
        fields = LANGUAGE.explain(raw)
    except ParseError:
        return
    json.dumps(record, ensure_ascii=False, allow_nan=False)
    assert all(0 <= field.at <= field.at + field.size <= len(raw) for field in fields)


def _segment(segment: bytes) -> None:
    for tolerate in (STRICT, EVERYTHING):
        try:
            packet = parse_segment(segment, tolerate)
        except ParseError as error:
            assert error.at is None or 0 <= error.at <= len(segment)  # noqa: PT017 (either outcome is right)
            continue
        _metrics(packet)
        assert b"PW=123456" not in without_secrets(segment)
        reassembler = Reassembler(max_bytes=1000)
        again = reassembler.add(packet, 0)
        assert reassembler.held_bytes <= 1000, "more is held than may be"
        assert again is None or isinstance(again, Refused) or packet.pnum in {None, 1}
        try:
            answer_to(packet)
        except ParseError:
            assert len(segment) > 900 or {*packet.qn, *packet.pw, *packet.mn} & {*"&#\r\n"}


def _metrics(packet: Packet) -> None:
    decoded = decode_message(STATION, packet)
    assert decoded.flaws.keys() <= decoded.values.keys() <= STATION.metrics.keys()
    for name, value in decoded.values.items():
        assert value is not None or name in decoded.flaws
        assert not isinstance(value, float) or math.isfinite(value)


def _stream(data: bytes) -> None:
    framer = Hj212Framer()
    for at in range(0, len(data), 7):
        for said in framer.feed(data[at : at + 7]):
            assert isinstance(said, (Frame, Refused))
        assert len(framer._held) < MAX_FRAME_BYTES + 20
    framer.idle()
    assert not framer._held
